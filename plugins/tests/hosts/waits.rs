//! Ports and pages as a host sees them.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_plugins::{Pool, SshBounds, Wait};

use crate::machine::{Keys, Machine, free_port};
use crate::stage::Stage;

/// Answers every GET.
async fn page() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                // Who only looks whether somebody listens asks nothing.
                if line.read(&mut request).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
                    line.write_all(answer).await.expect("it listens");
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_port_and_a_page_are_looked_at_from_a_host() {
    let keys = Keys::new();
    let (open, other, shut) = (page().await, page().await, free_port());
    // What the host may not connect to nobody has looked at from there.
    let allowed = format!("PermitOpen 127.0.0.1:{open} 127.0.0.1:{shut}");
    let machine = Machine::configured("jumpbox", &keys, &allowed);
    let mut stage = Stage::new();
    stage.cx.host = Some(Arc::new(machine.route()));
    let wait = Wait::new(Pool::of_user(SshBounds::default(), "ubuntu", keys.dir.path(), None));

    let with = json!({ "hosts": "jumpbox", "tcp": format!("127.0.0.1:{open}") });
    assert_eq!(stage.play(&wait, &with).await, "done {}");
    assert_eq!(
        stage.log.text(),
        format!(
            "waits for tcp 127.0.0.1:{open}, as seen from jumpbox\n127.0.0.1:{open} accepts connections"
        )
    );
    let with = json!({
        "hosts": "jumpbox",
        "http": { "url": format!("http://127.0.0.1:{open}/"), "body-matches": "(?<word>r.*)" },
    });
    assert_eq!(stage.play(&wait, &with).await, r#"done {"status":200,"word":"ready"}"#);
    let with = json!({ "hosts": "jumpbox", "tcp": format!("127.0.0.1:{shut}"), "within": "1s", "every": "1s" });
    let told = stage.play(&wait, &with).await;
    let why = format!("last seen: 127.0.0.1:{shut}: jumpbox can't connect to it");
    assert!(told.starts_with("failed, timeout: ") && told.contains(&why), "{told}");
    // Nothing will change that: it is not asked again and again.
    let with = json!({ "hosts": "jumpbox", "tcp": format!("127.0.0.1:{other}"), "within": "1h" });
    let told = stage.play(&wait, &with).await;
    assert!(told.starts_with("no end, refused: host jumpbox"), "{told}");
    assert!(told.contains("AllowTcpForwarding"), "{told}");
    // The host itself may come back.
    machine.stop_sshd();
    let with = json!({ "hosts": "jumpbox", "tcp": format!("127.0.0.1:{open}"), "within": "1s", "every": "1s" });
    let told = stage.play(&wait, &with).await;
    assert!(told.starts_with("failed, timeout: ") && told.contains("host jumpbox"), "{told}");
}
