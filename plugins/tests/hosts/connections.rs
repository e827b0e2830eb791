//! Getting in: keys, passwords, the keys of machines, chains of them, and how much at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::hosts::{Become, Hop, Key, KnownHosts, Route};
use weir_plugins::{Pool, SshBounds};

use crate::machine::{Keys, Machine, PASSWORD, keygen, route, run, secret};

const SOON: Duration = Duration::from_secs(30);

fn pool(home: &Path) -> Arc<Pool> {
    Pool::of_user(SshBounds::default(), "ubuntu", home, None)
}

/// Who answers at the end of a route, or what went wrong.
pub(crate) async fn whoami(pool: &Pool, route: &Route) -> String {
    match pool.run(route, "id -un; read -r a; echo $a", SOON).await {
        Ok(ran) => format!("{} {}", ran.code, String::from_utf8_lossy(&ran.out).trim()),
        Err(error) => format!("{}: {}", error.class.name(), error.message),
    }
}

pub(crate) fn with(machine: &Machine, change: impl FnOnce(&mut Hop)) -> Route {
    let mut hop = machine.hop();
    change(&mut hop);
    route(&[machine], vec![hop])
}

#[tokio::test]
async fn keys_of_every_form_let_in() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let pool = pool(keys.dir.path());
    assert_eq!(whoami(&pool, &machine.route()).await, "0 ubuntu");
    for (name, how) in [
        ("ecdsa", &["-t", "ecdsa"][..]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
    ] {
        let file = keys.path(name);
        keygen(&file, how);
        let public = fs::read_to_string(keys.path(&format!("{name}.pub"))).expect("reads");
        fs::write(machine.path("authorized_keys"), public).expect("writes");
        let by_file = with(&machine, |hop| hop.key = Key::File(file.clone()));
        assert_eq!(whoami(&pool, &by_file).await, "0 ubuntu", "{name}");
        let text = fs::read_to_string(&file).expect("reads");
        let by_text = with(&machine, |hop| hop.key = Key::Text(secret(&text)));
        assert_eq!(whoami(&pool, &by_text).await, "0 ubuntu", "{name} as text");
    }
}

#[tokio::test]
async fn the_agent_and_the_usual_files_let_in() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let home = tempfile::tempdir().expect("a folder");
    let usual = with(&machine, |hop| hop.key = Key::Usual);
    let told = whoami(&pool(home.path()), &usual).await;
    let at = format!("127.0.0.1:{}", machine.port);
    assert_eq!(
        told,
        format!(
            "refused: host nginx ({at}): the login as `ubuntu` was refused (tried: nothing to try; it takes: \
             publickey)\n  help: name the right `key` (or `password`) and `user` for it in the project's hosts"
        )
    );
    fs::create_dir(home.path().join(".ssh")).expect("makes");
    fs::copy(keys.path("id"), home.path().join(".ssh/id_ed25519")).expect("copies");
    assert_eq!(whoami(&pool(home.path()), &usual).await, "0 ubuntu");

    // The agent holds a key whose file asks for a passphrase.
    let locked = keys.path("locked");
    fs::copy(keys.path("id"), &locked).expect("copies");
    let socket = keys.path("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent comes with ssh");
    let since = Instant::now();
    while !socket.exists() && since.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run(Command::new("ssh-add").arg("-q").arg(&locked).env("SSH_AUTH_SOCK", &socket));
    run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(&locked));
    let other = tempfile::tempdir().expect("a folder");
    let by_agent = Pool::of_user(SshBounds::default(), "ubuntu", other.path(), Some(&socket));
    let by_usual = whoami(&by_agent, &usual).await;
    let by_locked =
        whoami(&by_agent, &with(&machine, |hop| hop.key = Key::File(locked.clone()))).await;
    let without =
        whoami(&pool(other.path()), &with(&machine, |hop| hop.key = Key::File(locked.clone())))
            .await;
    agent.kill().expect("it runs");
    agent.wait().expect("it is ours");
    assert_eq!(by_usual, "0 ubuntu");
    assert_eq!(by_locked, "0 ubuntu");
    assert!(without.contains("asks for a passphrase, and the agent does not hold it"), "{without}");
}

#[tokio::test]
async fn a_wrong_key_user_or_password_is_refused_in_words() {
    let keys = Keys::new();
    let config = "PasswordAuthentication yes";
    let machine = Machine::configured("broker", &keys, config);
    let pool = pool(keys.dir.path());
    let at = format!("host broker (127.0.0.1:{})", machine.port);
    keygen(&keys.path("other"), &["-t", "ed25519"]);
    let wrong = with(&machine, |hop| hop.key = Key::File(keys.path("other")));
    let told = whoami(&pool, &wrong).await;
    assert!(
        told.starts_with(&format!("refused: {at}: the login as `ubuntu` was refused (tried: ")),
        "{told}"
    );
    assert!(
        told.contains("; it takes: publickey,password)") || told.contains("publickey, password"),
        "{told}"
    );

    let password = |value: &str| {
        with(&machine, |hop| {
            hop.key = Key::Usual;
            hop.user = Some("vcap".to_owned());
            hop.password = Some(secret(value));
        })
    };
    assert_eq!(whoami(&pool, &password(PASSWORD)).await, "0 vcap");
    let told = whoami(&pool, &password("hunter22")).await;
    assert!(told.contains("the login as `vcap` was refused (tried: the password"), "{told}");
    assert!(!told.contains("hunter22"), "{told}");

    let told =
        whoami(&pool, &with(&machine, |hop| hop.key = Key::File("/nowhere/key".into()))).await;
    assert!(
        told.starts_with(&format!(
            "definition: {at}: the key /nowhere/key can't be used: No such file"
        )),
        "{told}"
    );
    let told =
        whoami(&pool, &with(&machine, |hop| hop.key = Key::Text(secret("no key at all")))).await;
    assert!(told.contains("the secret `pw` is no private key"), "{told}");
}

#[tokio::test]
async fn a_machine_that_does_not_answer_is_unreachable() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let pool = pool(keys.dir.path());
    let nobody = with(&machine, |hop| hop.port = crate::machine::free_port());
    let told = whoami(&pool, &nobody).await;
    assert!(told.starts_with("connection: host nginx (127.0.0.1:"), "{told}");
    assert!(told.ends_with("connection refused: nothing listens there"), "{told}");

    // Something that listens and says nothing, and something that is no SSH server.
    let quick = SshBounds { handshake: Duration::from_millis(300), ..SshBounds::default() };
    let quick = Pool::of_user(quick, "ubuntu", keys.dir.path(), None);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let told = whoami(&quick, &with(&machine, |hop| hop.port = port)).await;
    assert!(told.contains("it did not answer as an SSH server does within 0.3 s"), "{told}");
    let told =
        whoami(&pool, &with(&machine, |hop| hop.address = "no-such-host.invalid".into())).await;
    assert!(told.contains("its address `no-such-host.invalid` is not found"), "{told}");
}

#[tokio::test]
async fn keys_of_machines_are_checked() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let home = keys.dir.path();
    let good = machine.route();
    let KnownHosts::File(file) = &good.known_hosts else { panic!("a file") };
    assert_eq!(whoami(&pool(home), &good).await, "0 ubuntu");

    run(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(file));
    assert!(fs::read_to_string(file).expect("reads").starts_with("|1|"));
    assert_eq!(whoami(&pool(home), &good).await, "0 ubuntu", "hashed");

    fs::write(file, "# nothing\n").expect("writes");
    let told = whoami(&pool(home), &good).await;
    assert!(told.starts_with("refused: host nginx"), "{told}");
    assert!(
        told.contains("its key ssh-ed25519 SHA256:")
            && told.contains("is not known\n  help: compare it"),
        "{told}"
    );

    let other = keys.path("other-host");
    keygen(&other, &["-t", "ed25519"]);
    let public = fs::read_to_string(keys.path("other-host.pub")).expect("reads");
    fs::write(file, format!("# one\n[127.0.0.1]:{} {public}", machine.port)).expect("writes");
    let told = whoami(&pool(home), &good).await;
    assert!(
        told.contains(&format!("line 2 of {} knows it by ssh-ed25519 SHA256:", file.display())),
        "{told}"
    );

    // Met for the first time, kept, and from then on it must stay.
    let learnt = keys.path("deep/learnt");
    let mut new = good.clone();
    new.known_hosts = KnownHosts::AcceptNew(learnt.clone());
    assert_eq!(whoami(&pool(home), &new).await, "0 ubuntu");
    let text = fs::read_to_string(&learnt).expect("it was written");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(whoami(&pool(home), &new).await, "0 ubuntu");
    assert_eq!(fs::read_to_string(&learnt).expect("reads"), text);
    fs::write(&learnt, format!("[127.0.0.1]:{} {public}", machine.port)).expect("writes");
    assert!(whoami(&pool(home), &new).await.contains("its key has changed"));

    fs::write(
        &learnt,
        format!(
            "{text}@revoked * {}",
            fs::read_to_string(machine.path("host.pub")).expect("reads")
        ),
    )
    .expect("writes");
    let told = whoami(&pool(home), &new).await;
    assert!(told.contains("has been revoked by line 2 of"), "{told}");
}

#[tokio::test]
async fn an_authority_may_vouch_for_a_machine() {
    let keys = Keys::new();
    let ca = keys.path("ca");
    keygen(&ca, &["-t", "ed25519"]);
    let machine = Machine::start("nginx", &keys);
    let host = machine.path("host.pub");
    let config = fs::read_to_string(machine.path("config")).expect("reads");
    let cert = machine.path("host-cert.pub");
    fs::write(machine.path("config"), format!("{config}HostCertificate {}\n", cert.display()))
        .expect("writes");
    let sign = |principal: &str, validity: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-h", "-I", "nginx-key", "-n", principal, "-V", validity, "-s"]);
        run(command.arg(&ca).arg(&host));
        machine.stop_sshd();
        machine.start_sshd();
    };
    let mut to = machine.route();
    let file = keys.path("by-authority");
    let public = fs::read_to_string(keys.path("ca.pub")).expect("reads");
    fs::write(&file, format!("@cert-authority 127.0.0.* {public}")).expect("writes");
    to.known_hosts = KnownHosts::File(file);
    sign("127.0.0.1", "+1h");
    assert_eq!(whoami(&pool(keys.dir.path()), &to).await, "0 ubuntu");
    sign("elsewhere.example.org", "+1h");
    let told = whoami(&pool(keys.dir.path()), &to).await;
    assert!(
        told.contains("its certificate `nginx-key` is made for elsewhere.example.org"),
        "{told}"
    );
    sign("127.0.0.1", "-2h:-1h");
    let told = whoami(&pool(keys.dir.path()), &to).await;
    assert!(told.contains("has run out"), "{told}");
}

#[tokio::test]
async fn a_chain_of_three_each_with_its_own_user_and_key() {
    let (one, two, three) = (Keys::new(), Keys::new(), Keys::new());
    let jump = Machine::start("jumpbox", &one);
    let middle = Machine::start("middle", &two);
    let inner = Machine::configured("inner", &three, "PasswordAuthentication yes");
    let mut last = inner.hop();
    last.user = Some("vcap".to_owned());
    last.key = Key::Usual;
    last.password = Some(secret(PASSWORD));
    let hops = vec![jump.hop(), middle.hop(), last.clone()];
    let to = route(&[&jump, &middle, &inner], hops);
    let pool = pool(one.dir.path());
    assert_eq!(whoami(&pool, &to).await, "0 vcap");
    assert_eq!(pool.open_connections(), 3);
    // What the machines before it need is shared.
    let short = Route { hops: to.hops[..2].to_vec(), ..to.clone() };
    assert_eq!(whoami(&pool, &short).await, "0 ubuntu");
    assert_eq!(pool.open_connections(), 3);

    // The error names the machine that refuses.
    let mut wrong = to.clone();
    wrong.hops[1].key = Key::File(one.path("id"));
    let told = whoami(&pool, &wrong).await;
    let at = format!(
        "refused: host inner, hop middle (127.0.0.1:{}): the login as `ubuntu` was refused",
        middle.port
    );
    assert!(told.starts_with(&at), "{told}");
    inner.stop_sshd();
    let told = whoami(&self::pool(one.dir.path()), &to).await;
    assert!(told.starts_with("connection: host inner (127.0.0.1:"), "{told}");
    assert!(told.contains("the machine before it can't connect to it"), "{told}");
    let closed = Machine::configured("closed", &one, "AllowTcpForwarding no");
    let to = route(&[&closed, &middle], vec![closed.hop(), middle.hop()]);
    let told = whoami(&pool, &to).await;
    assert!(
        told.contains("the machine before it forwards no connections\n  help: allow it"),
        "{told}"
    );
}

#[tokio::test]
async fn a_key_that_only_the_hop_has_is_used_there() {
    let (one, two) = (Keys::new(), Keys::new());
    let jump = Machine::start("jumpbox", &one);
    let inner = Machine::start("inner", &two);
    let deep = Machine::start("deep", &one);
    // As in the notes: root's key, on the jump box, and nobody else may read it.
    let lies_at = jump.path("root/id_rsa");
    fs::copy(two.path("id"), &lies_at).expect("copies");
    run(Command::new("chmod").arg("600").arg(&lies_at));
    let mut last = inner.hop();
    last.key = Key::OnHopBefore {
        path: lies_at.display().to_string(),
        become_user: Some(Become { user: "root".to_owned(), password: None }),
    };
    let to = route(&[&jump, &inner, &deep], vec![jump.hop(), last.clone()]);
    let pool = pool(one.dir.path());
    assert_eq!(whoami(&pool, &to).await, "0 ubuntu");
    assert!(inner.log().contains("Accepted publickey for ubuntu"), "{}", inner.log());
    // As another user at the end, and further on from there.
    let mut as_root = to.clone();
    as_root.become_user = Some(Become { user: "root".to_owned(), password: None });
    assert_eq!(whoami(&pool, &as_root).await, "0 root");
    let further = Route { hops: vec![jump.hop(), last.clone(), deep.hop()], ..to.clone() };
    assert_eq!(whoami(&pool, &further).await, "0 ubuntu");
    // Its key is checked by our own file, not by what the hop believes.
    let mut unknown = to.clone();
    unknown.known_hosts = route(&[&jump], Vec::new()).known_hosts;
    let told = whoami(&self::pool(one.dir.path()), &unknown).await;
    assert!(told.starts_with("refused: host inner (") && told.contains("is not known"), "{told}");
    // The user there may not read it.
    let mut not_ours = to.clone();
    not_ours.hops[1].key =
        Key::OnHopBefore { path: lies_at.display().to_string(), become_user: None };
    not_ours.known_hosts = route(&[&jump, &inner], Vec::new()).known_hosts;
    let told = whoami(&pool, &not_ours).await;
    assert!(told.starts_with("refused: host inner ("), "{told}");
}

#[tokio::test]
async fn another_user_with_and_without_a_password() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let quick = SshBounds { sudo: Duration::from_secs(8), ..SshBounds::default() };
    let pool = Pool::of_user(quick, "ubuntu", keys.dir.path(), None);
    let by = |user: &str, become_user: &str, password: Option<&str>| {
        let mut to = with(&machine, |hop| hop.user = Some(user.to_owned()));
        let password = password.map(secret);
        to.become_user = Some(Become { user: become_user.to_owned(), password });
        to
    };
    assert_eq!(whoami(&pool, &by("ubuntu", "root", None)).await, "0 root");
    assert_eq!(whoami(&pool, &by("ubuntu", "vcap", None)).await, "0 vcap");
    // Never asked for: the input is not taken for a password.
    assert_eq!(whoami(&pool, &by("ubuntu", "root", Some("unused"))).await, "0 root");
    assert_eq!(whoami(&pool, &by("vcap", "root", Some(PASSWORD))).await, "0 root");
    let since = Instant::now();
    let told = whoami(&pool, &by("vcap", "root", Some("hunter22"))).await;
    assert!(told.contains("`sudo` does not take the password to become `root`"), "{told}");
    assert!(told.starts_with("refused: host nginx (") && !told.contains("hunter22"), "{told}");
    assert!(since.elapsed() < Duration::from_secs(8));
    let told = whoami(&pool, &by("vcap", "root", None)).await;
    assert!(
        told.contains(
            "`sudo` refuses: sudo: a password is required\n  help: give `become` the password"
        ),
        "{told}"
    );
    let told = whoami(&pool, &by("ubuntu", "nosuchuser", None)).await;
    assert!(told.contains("`sudo` refuses: sudo: unknown user"), "{told}");
}

#[tokio::test]
async fn one_connection_is_shared_and_the_limits_of_sshd_are_kept() {
    let keys = Keys::new();
    let machine = Machine::configured("nginx", &keys, "MaxSessions 10\nMaxStartups 10:30:100");
    let pool = pool(keys.dir.path());
    let to = Arc::new(machine.route());
    let all = |count: usize| {
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let (pool, to) = (Arc::clone(&pool), Arc::clone(&to));
                tokio::spawn(async move { pool.run(&to, "sleep 0.3; echo $$", SOON).await })
            })
            .collect();
        async move {
            for task in tasks {
                assert_eq!(task.await.expect("no panic").expect("it runs").code, 0);
            }
        }
    };
    all(8).await;
    assert_eq!(pool.open_connections(), 1);
    all(20).await;
    assert!((3..=4).contains(&pool.open_connections()), "{}", pool.open_connections());

    // A machine that takes less than usual.
    let narrow = Machine::configured("narrow", &keys, "MaxSessions 2");
    let to = Arc::new(narrow.route());
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (pool, to) = (Arc::clone(&pool), Arc::clone(&to));
            tokio::spawn(async move { pool.run(&to, "sleep 0.3", SOON).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no panic").expect("it runs").code, 0);
    }
    let none = Machine::configured("none", &keys, "MaxSessions 0");
    let told = whoami(&pool, &none.route()).await;
    assert!(told.contains("it takes no commands") && told.contains("MaxSessions"), "{told}");
}

#[tokio::test]
async fn a_dead_host_is_tried_once_for_all_who_wait() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let bounds = SshBounds { handshake: Duration::from_millis(500), ..SshBounds::default() };
    let pool = Pool::of_user(bounds, "ubuntu", keys.dir.path(), None);
    let to = Arc::new(with(&machine, |hop| hop.port = port));
    let since = Instant::now();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (pool, to) = (Arc::clone(&pool), Arc::clone(&to));
            tokio::spawn(async move { whoami(&pool, &to).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("no panic").starts_with("connection: "));
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let keys = Keys::new();
    let machine = Machine::start("nginx", &keys);
    let bounds = SshBounds { idle: Duration::from_millis(200), ..SshBounds::default() };
    let pool = Pool::of_user(bounds, "ubuntu", keys.dir.path(), None);
    assert_eq!(whoami(&pool, &machine.route()).await, "0 ubuntu");
    let since = Instant::now();
    while pool.open_connections() > 0 {
        assert!(since.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(whoami(&pool, &machine.route()).await, "0 ubuntu");
}

#[tokio::test]
async fn a_machine_that_was_rebooted_is_connected_to_anew() {
    let keys = Keys::new();
    let mut machine = Machine::start("nginx", &keys);
    let pool = pool(keys.dir.path());
    let to = machine.route();
    assert_eq!(whoami(&pool, &to).await, "0 ubuntu");
    machine.reboot();
    assert_eq!(whoami(&pool, &to).await, "0 ubuntu");
    assert_eq!(pool.open_connections(), 1);
}
