//! Whatever asks a person, or stands still, on the way to a host: it ends in time, with words that tell what and where.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::hosts::{Become, Hop, Key, Route};
use weir_plugins::{Pool, SshBounds};

use crate::connections::{whoami, with};
use crate::machine::{Keys, Machine, PASSWORD, keygen, route, run, secret};

/// A pool that waits for two seconds wherever it would wait longer.
fn quick(home: &Path) -> Arc<Pool> {
    let soon = Duration::from_secs(2);
    let bounds = SshBounds {
        connect: soon,
        handshake: soon,
        login: soon,
        open: soon,
        sudo: soon,
        ..SshBounds::default()
    };
    Pool::of_user(bounds, "ubuntu", home, None)
}

/// What is told, within the bounds of all steps together.
async fn told_soon(keys: &Keys, route: &Route) -> String {
    let since = Instant::now();
    let told = whoami(&quick(keys.dir.path()), route).await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}: {told}", since.elapsed());
    told
}

fn as_root(to: &Route, password: Option<&str>) -> Route {
    let password = password.map(secret);
    Route { become_user: Some(Become { user: "root".to_owned(), password }), ..to.clone() }
}

fn by(machine: &Machine, user: &str) -> Route {
    with(machine, |hop: &mut Hop| hop.user = Some(user.to_owned()))
}

#[tokio::test]
async fn a_login_that_is_never_answered() {
    let keys = Keys::new();
    let machine = Machine::configured(
        "nginx",
        &keys,
        "AuthorizedKeysCommand /usr/bin/sleep 1000\nAuthorizedKeysCommandUser nobody",
    );
    // No file lets anybody in before that is asked.
    machine.inside(&format!(": >{}", machine.path("authorized_keys").display()));
    let told = told_soon(&keys, &machine.route()).await;
    assert!(told.starts_with("connection: host nginx (127.0.0.1:"), "{told}");
    assert!(told.contains("within 2 s"), "{told}");
}

#[tokio::test]
async fn a_login_shell_that_asks() {
    let keys = Keys::new();
    let machine = Machine::start("bastion", &keys);
    // As bastions have them: a menu in the place of a shell.
    let menu = machine.path("menu");
    std::fs::write(
        &menu,
        "#!/bin/sh\nwhile :; do echo 'Select a host: '; read -r _ || sleep 1000; done\n",
    )
    .expect("writes");
    run(std::process::Command::new("chmod").arg("755").arg(&menu));
    machine.inside(&format!(
        "sed -i 's|^\\(ubuntu:.*\\):/bin/sh$|\\1:{}|' /etc/passwd",
        menu.display()
    ));
    let told = told_soon(&keys, &machine.route()).await;
    assert!(told.contains("host bastion (127.0.0.1:"), "{told}");
    assert!(told.contains("no shell began within 2 s"), "{told}");
    assert!(told.contains("Select a host:"), "{told}");
}

#[tokio::test]
async fn sudo_that_asks_in_words_of_its_own() {
    let keys = Keys::new();
    let own = tempfile::tempdir().expect("a folder");
    run(std::process::Command::new("chmod").arg("755").arg(own.path()));
    let path = own.path().display();
    let machine =
        Machine::configured("broker", &keys, &format!("SetEnv PATH={path}:/usr/bin:/bin"));
    // As with modules of PAM that want a code besides, and do not care for the words that they were given.
    let sudo = own.path().join("sudo");
    let asks = "#!/bin/sh\nprintf 'The code of the day: ' >&2\nread -r code\nexec sleep 1000\n";
    std::fs::write(&sudo, asks).expect("writes");
    run(std::process::Command::new("chmod").arg("755").arg(&sudo));
    let told = told_soon(&keys, &as_root(&by(&machine, "vcap"), Some(PASSWORD))).await;
    assert!(told.contains("host broker (127.0.0.1:"), "{told}");
    assert!(told.contains("`sudo` did not let it begin within 2 s"), "{told}");
    assert!(told.contains("it says: The code of the day:"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");

    // A lecture before the question changes nothing.
    let lectured = Machine::start("nginx", &keys);
    lectured.inside("sed -i 's/lecture=never/lecture=always/' /etc/sudoers");
    assert_eq!(told_soon(&keys, &as_root(&by(&lectured, "vcap"), Some(PASSWORD))).await, "0 root");
}

#[tokio::test]
async fn a_key_on_the_hop_that_asks_for_a_passphrase() {
    let (one, two) = (Keys::new(), Keys::new());
    let jump = Machine::start("jumpbox", &one);
    let inner = Machine::start("inner", &two);
    let key = jump.path("root/id");
    keygen(&key, &["-t", "ed25519"]);
    run(std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret", "-f"])
        .arg(&key));
    let mut last = inner.hop();
    last.key = Key::OnHopBefore {
        path: key.display().to_string(),
        become_user: Some(Become { user: "root".to_owned(), password: None }),
    };
    let to = route(&[&jump, &inner], vec![jump.hop(), last]);
    let told = told_soon(&one, &to).await;
    assert!(told.contains("host inner ("), "{told}");
    assert!(told.starts_with("refused: "), "{told}");
}
