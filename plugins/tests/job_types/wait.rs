//! `wait`: against listeners on this machine.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use weir_core::job_type::{JobType, PlanContext};
use weir_plugins::{Pool, SshBounds, Wait};

use crate::stage::Stage;

fn waiter() -> Wait {
    Wait::new(Pool::new(SshBounds::default()))
}

async fn told(settings: impl IntoIterator<Item = Value>) -> String {
    let mut told = String::new();
    for with in settings {
        let stage = Stage::new();
        fs::write(stage.cx.working_dir.join("here"), "state=ready\n").expect("the folder is ours");
        let outcome = stage.play(&waiter(), &with).await;
        let elapsed = stage.clock.elapsed();
        told += &[
            &with.to_string(),
            "\n  ",
            &outcome.replace('\n', "\n  "),
            &format!(" after {elapsed} ms\n"),
        ]
        .concat();
    }
    told
}

#[tokio::test]
async fn times_files_and_mistakes() {
    let table = told([
        json!({ "for": "1h30m" }),
        json!({ "for": "0" }),
        json!({ "for": "1h", "within": "10m" }),
        json!({ "until": "2026-01-01T08:00:05+08:00" }),
        json!({ "until": "1999-01-01T00:00:00Z" }),
        json!({ "file": { "path": "here" } }),
        json!({ "file": { "path": "here", "matches": "state=(?<state>\\w+)" } }),
        json!({ "file": { "path": "here", "matches": "state=done" }, "within": "3s", "every": "2s" }),
        json!({ "file": { "path": "here", "min-age": "1000d" }, "within": "1s" }),
        json!({ "file": { "path": "here", "exists": false }, "within": "1s" }),
        json!({ "file": { "path": "gone", "exists": false } }),
        json!({ "file": { "path": "gone" }, "within": "1s" }),
        json!({ "file": { "path": ".", "matches": "x" }, "within": "0" }),
        json!({ "file": { "path": "here", "exists": false, "matches": "x" } }),
        json!({}),
        json!({ "for": "1s", "until": "2026-01-01T00:00:00Z" }),
        json!({ "for": "soon" }),
        json!({ "until": "tomorrow" }),
        json!({ "tcp": "host" }),
        json!({ "tcp": "host:70000" }),
        json!({ "tcp": "fe80::1:80" }),
        json!({ "hosts": "web", "for": "1s" }),
        json!({ "hosts": "web", "dns": { "name": "a" } }),
        json!({ "http": { "url": "http://example.org/", "ca": "ca.pem" } }),
        json!({ "http": { "url": "example.org" } }),
        json!({ "http": { "url": "http://a/", "body-matches": "(" } }),
        json!({ "http": { "url": "http://a/", "headers": { "A": "b\r\nC: d" } } }),
        json!({ "dns": { "name": "a..b" } }),
        json!({ "dns": { "name": "a", "server": "ns1" } }),
        json!({ "dns": { "name": "a", "type": "ANY" } }),
        json!({ "tcp": "a:1", "every": "0" }),
        json!({ "sql": { "query": "select 1" } }),
        json!({ "sql": { "database": "postgres://a/b", "query": "select 1" } }),
        json!({ "sql": { "database": "gone.db", "query": "select 1" }, "within": "1s" }),
    ])
    .await;
    insta::assert_snapshot!("wait", table);
}

#[tokio::test]
async fn a_wait_is_not_begun_anew_by_a_restart() {
    let stage = Stage::new();
    let wait = waiter();
    let with = json!({ "for": "1h" });
    let handle = wait.start(&with, &stage.cx).await.expect("it starts");
    stage.clock.advance(Duration::from_mins(40));
    assert_eq!(stage.follow(&waiter(), &handle, &with).await, "done {}");
    assert_eq!(stage.clock.elapsed(), 3_600_000);

    let with = json!({ "tcp": "127.0.0.1:1", "within": "2h" });
    stage.clock.advance(Duration::from_hours(1));
    assert_eq!(
        stage.follow(&wait, &handle, &with).await,
        "failed, timeout: waited 2h; last seen: 127.0.0.1:1: connection refused"
    );
}

#[tokio::test]
async fn a_port_that_opens_later_is_found() {
    let stage = Stage::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = closed.local_addr().expect("it is bound");
    drop(closed);
    let mut open = None;
    stage.clock.after_sleep(move |elapsed| {
        if elapsed > 3_000 && open.is_none() {
            open = Some(std::net::TcpListener::bind(address).expect("the port was ours"));
        }
    });
    let with = json!({ "tcp": address.to_string(), "within": "1m" });
    assert_eq!(stage.play(&waiter(), &with).await, "done {}");
    let log = stage.log.text().replace(&address.to_string(), "ADDRESS");
    assert_eq!(
        log,
        "waits for tcp ADDRESS\nADDRESS: connection refused\nADDRESS accepts connections"
    );
    assert!((3_000..6_000).contains(&stage.clock.elapsed()), "{}", stage.clock.elapsed());
}

#[tokio::test]
async fn a_cancelled_wait_ends() {
    let stage = Stage::new();
    let wait = waiter();
    let (server, _) = serve(Vec::new()).await;
    let with = json!({ "http": { "url": format!("http://{server}/") } });
    let handle = wait.start(&with, &stage.cx).await.expect("it starts");
    let (told, cancelled) = tokio::join!(
        stage.follow(&wait, &handle, &with),
        wait.cancel(Some(&handle), &with, &stage.cx)
    );
    assert_eq!((told.as_str(), cancelled), ("cancelled", Ok(())));
}

/// Answers each connection with the next of these texts and then holds the line open.
async fn serve(answers: Vec<String>) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        let mut held = Vec::new();
        for answer in answers {
            let (mut line, _) = listener.accept().await.expect("somebody calls");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = line.read_buf(&mut request).await.expect("the caller writes");
                assert!(read > 0, "the caller hung up");
            }
            asked.push(String::from_utf8(request).expect("a request is text"));
            line.write_all(answer.as_bytes()).await.expect("the caller listens");
            // An answer that tells its length is whole without the line being closed.
            if answer.contains("Content-Length") || answer.contains("chunked") {
                held.push(line);
            }
        }
        asked
    });
    (address, served)
}

#[tokio::test]
async fn a_page_is_waited_for() {
    let (server, served) = serve(vec![
        String::new(),
        "SSH-2.0-x\r\n\r\n".to_owned(),
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"live\": 2}".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         9\r\n{\"live\": \r\n2\r\n3}\r\n0\r\n\r\n"
            .to_owned(),
    ])
    .await;
    let stage = Stage::with_secret("token", "s3cret-value");
    let with = json!({
        "http": {
            "url": format!("http://{server}/health?key=1"),
            "status": [200, 201],
            "body-matches": "\"live\": (?<live>[3-9])",
            "headers": { "Authorization": "Bearer s3cret-value" },
        },
        "within": "1m",
    });
    let told = stage.play(&waiter(), &with).await;
    assert_eq!(told, r#"done {"live":"3","status":200}"#);
    let asked = served.await.expect("the server served all");
    assert_eq!(
        asked[0].replace(&server.to_string(), "SERVER"),
        "GET /health?key=1 HTTP/1.1\r\nHost: SERVER\r\nUser-Agent: weir\r\nAccept: */*\r\n\
         Authorization: Bearer s3cret-value\r\nConnection: close\r\n\r\n"
    );
    let log = stage.log.text().replace(&server.to_string(), "SERVER");
    insta::assert_snapshot!(log, @r#"
    waits for http://SERVER/health
    http://SERVER/health: it closes the line without an HTTP answer
    http://SERVER/health: it does not answer in HTTP/1
    http://SERVER/health answers 503
    http://SERVER/health answers 200, but the page does not match `"live": (?<live>[3-9])`
    http://SERVER/health answers 200
    "#);
}

/// A name server that knows one name, and says so in the ways that servers do.
async fn name_server(answers: Vec<Vec<u8>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    tokio::spawn(async move {
        for answer in answers {
            let mut packet = [0; 512];
            let (length, caller) = socket.recv_from(&mut packet).await.expect("somebody asks");
            let stray = [packet[0] ^ 1, packet[1], 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            socket.send_to(&stray, caller).await.expect("the caller is near");
            let mut reply = packet[..length].to_vec();
            reply[2] |= 0x80;
            reply[3] = answer[0];
            reply[7] = answer[1];
            reply.extend(&answer[2..]);
            socket.send_to(&reply, caller).await.expect("the caller is near");
        }
    });
    address
}

#[tokio::test]
async fn a_name_is_waited_for() {
    let record =
        |last: u8| [vec![0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4], vec![10, 0, 0, last]].concat();
    let server = name_server(vec![
        vec![2, 0],
        vec![3, 0],
        [vec![0, 1], record(1)].concat(),
        [vec![0, 2], record(2), record(1)].concat(),
    ])
    .await;
    let stage = Stage::new();
    let with = json!({
        "dns": { "name": "ns1.example.org", "server": server.to_string(), "is": ["10.0.0.1", "10.0.0.2"] },
        "within": "1m",
    });
    let told = stage.play(&waiter(), &with).await;
    assert_eq!(told, r#"done {"answers":["10.0.0.1","10.0.0.2"]}"#);
    let log = stage.log.text().replace(&server.to_string(), "SERVER");
    insta::assert_snapshot!(log, @r#"
    waits for dns ns1.example.org A at SERVER
    dns ns1.example.org A at SERVER: the server fails (SERVFAIL)
    dns ns1.example.org A at SERVER: no answer
    dns ns1.example.org A at SERVER: 10.0.0.1
    dns ns1.example.org A at SERVER: 10.0.0.1, 10.0.0.2
    "#);

    let server = name_server(vec![vec![3, 0]]).await;
    let with =
        json!({ "dns": { "name": "gone.example.org", "server": server.to_string(), "is": [] } });
    assert_eq!(stage.play(&waiter(), &with).await, r#"done {"answers":[]}"#);
    let with = json!({ "dns": { "name": "localhost", "is": "127.0.0.1" }, "within": "1s" });
    assert_eq!(stage.play(&waiter(), &with).await, r#"done {"answers":["127.0.0.1"]}"#);
}

#[tokio::test]
async fn a_plan_says_what_is_waited_for() {
    let cx = PlanContext {
        path: "job".to_owned(),
        working_dir: "/".into(),
        env: Vec::new(),
        host: None,
    };
    let with = json!({ "http": { "url": "http://a:81/x?secret=1" }, "within": "5m" });
    let plan = waiter().plan(&with, &cx).await.expect("it can be told");
    assert_eq!(plan.steps, ["wait for http://a:81/x, at most 5m"]);
}

#[tokio::test]
async fn an_answer_of_a_database_is_waited_for() {
    let stage = Stage::new();
    let path = stage.cx.working_dir.join("state.db");
    let database = rusqlite::Connection::open(&path).expect("it is made");
    database.pragma_update(None, "journal_mode", "wal").expect("it is ours");
    let mut steps = vec![
        "CREATE TABLE loaded (day TEXT, parts INTEGER)",
        "INSERT INTO loaded VALUES ('monday', 0)",
        "UPDATE loaded SET parts = NULL",
        "UPDATE loaded SET parts = 3",
    ]
    .into_iter();
    stage.clock.after_sleep(move |_| {
        if let Some(step) = steps.next() {
            database.execute_batch(step).expect("it is ours");
        }
    });
    let ask = |query: &str| json!({ "sql": { "database": "sqlite:state.db", "query": query }, "within": "1m" });
    let told = stage.play(&waiter(), &ask("SELECT parts FROM loaded WHERE day = 'monday'")).await;
    assert_eq!(told, r#"done {"value":3}"#);
    insta::assert_snapshot!(stage.log.text(), @"
    waits for sql state.db
    state.db: no such table: loaded
    state.db answers nothing
    state.db answers 0
    state.db answers nothing
    state.db answers 3
    ");
    for (query, why) in [
        ("DELETE FROM loaded", "it would change something, and may only read"),
        ("SELECT 1; SELECT 2", "it must be one statement"),
    ] {
        let stage_of = waiter().start(&ask(query), &stage.cx).await.expect("it starts");
        let told = stage.follow(&waiter(), &stage_of, &ask(query)).await;
        assert!(told.contains(why), "{told}");
    }
    let kept = rusqlite::Connection::open(&path).expect("it is there");
    let count: i64 =
        kept.query_row("SELECT count(*) FROM loaded", [], |row| row.get(0)).expect("read");
    assert_eq!(count, 1, "nothing was deleted");
}

/// Answers over TLS, with a certificate for `localhost` that an authority of its own stands for; the file of that.
async fn serve_tls(folder: &std::path::Path, answers: usize) -> u16 {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).expect("signed");
    fs::write(folder.join("ca.pem"), certificate.pem()).expect("the folder is ours");
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&own, &issuer).expect("signed");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(own.serialize_der()).into(),
        )
        .expect("they fit");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        for _ in 0..answers {
            let (line, _) = listener.accept().await.expect("somebody calls");
            // Who does not believe us hangs up.
            let Ok(mut line) = acceptor.accept(line).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                line.read_buf(&mut request).await.expect("the caller writes");
            }
            line.write_all(b"HTTP/1.1 200 OK\r\n\r\nlive=3").await.expect("the caller listens");
            // Hung up without a word, as many servers do.
            drop(line);
        }
    });
    port
}

#[tokio::test]
async fn a_page_of_https_is_believed_only_if_somebody_stands_for_it() {
    let stage = Stage::new();
    let port = serve_tls(&stage.cx.working_dir, 4).await;
    let page = |host: &str, ca: Option<&str>| {
        let mut http =
            json!({ "url": format!("https://{host}:{port}/"), "body-matches": "live=(?<live>3)" });
        if let Some(ca) = ca {
            http["ca"] = ca.into();
        }
        json!({ "http": http, "within": "0" })
    };
    let told = stage.play(&waiter(), &page("localhost", Some("ca.pem"))).await;
    assert_eq!(told, r#"done {"live":"3","status":200}"#);
    for (host, ca, why) in [
        // Nobody on this machine stands for it, and it is not for this name.
        ("localhost", None, "certificate"),
        ("127.0.0.1", Some("ca.pem"), "not valid for"),
        ("localhost", Some("gone.pem"), "gone.pem"),
    ] {
        let told = {
            let wait = waiter();
            let with = page(host, ca);
            let handle = wait.start(&with, &stage.cx).await.expect("it starts");
            stage.follow(&wait, &handle, &with).await
        };
        assert!(told.starts_with("failed, timeout") && told.contains(why), "{host}: {told}");
    }
}
