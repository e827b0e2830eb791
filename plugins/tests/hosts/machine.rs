//! A machine to log in to: a real sshd with users, a home for each, `sudo` and a boot id of its own, in namespaces
//! that end with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weir_core::hosts::{Hop, Key, KnownHosts, Route};
use weir_core::secret::Secret;

/// The password of the users that have one.
pub(crate) const PASSWORD: &str = "c1oudc0w";
const HASH: &str = "$6$weir$/HwNG77dONZSR4sCQGI2KsZV5eGxikQysu5bSap.MgURGN/WX6GabPS.LBoSt/efOEw/.nCf3iZZLbZYxqU7I/";

/// A key pair, and the files that everybody on the way knows.
pub(crate) struct Keys {
    pub(crate) dir: TempDir,
}

impl Keys {
    /// A folder with one key, `id`, and no more.
    pub(crate) fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let keys = Self { dir };
        keygen(&keys.path("id"), &["-t", "ed25519"]);
        Arc::new(keys)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn public(&self) -> String {
        fs::read_to_string(self.path("id.pub")).expect("ssh-keygen wrote it")
    }
}

/// Makes a key.
pub(crate) fn keygen(path: &Path, how: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", "test", "-f"]).arg(path).args(how);
    run(&mut command);
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One machine.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    keys: Arc<Keys>,
    unshared: Option<Child>,
    boots: u32,
}

/// What the first process of a machine does: an /etc of its own over the real one, /run and boot id, and sshd again and
/// again.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$D/etc,workdir=$D/etc.work" /etc
mount --bind "$D/boot_id" /proc/sys/kernel/random/boot_id
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
umask 022
while :; do
    if [ -e "$D/down" ]; then sleep 0.05; else /usr/sbin/sshd -D -f "$D/config" -E "$D/sshd.log" || sleep 0.05; fi
done
"#;

impl Machine {
    /// A machine that lets in whoever has the key of `keys`.
    pub(crate) fn start(name: &str, keys: &Arc<Keys>) -> Self {
        Self::configured(name, keys, "")
    }

    /// As [`Machine::start`], with more lines for its `sshd_config`.
    pub(crate) fn configured(name: &str, keys: &Arc<Keys>, config: &str) -> Self {
        assert!(
            Path::new("/usr/sbin/sshd").exists(),
            "this test needs sshd: scripts/install-test-needs installs it"
        );
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes namespaces, and needs root for it"
        );
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let at = |name: &str| dir.path().join(name);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let d = dir.path().display();
        for home in ["root", "ubuntu", "vcap", "etc", "etc.work"] {
            fs::create_dir(at(home)).expect("the folder is ours");
        }
        for (home, id) in [("ubuntu", 4711), ("vcap", 4712)] {
            std::os::unix::fs::chown(at(home), Some(id), Some(id)).expect("we are root");
        }
        let passwd = format!(
            "root:x:0:0:root:{d}/root:/bin/sh\nubuntu:x:4711:4711::{d}/ubuntu:/bin/sh\n\
             vcap:x:4712:4712::{d}/vcap:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
             nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
        );
        fs::write(at("etc/passwd"), passwd).expect("writes");
        let shadow = format!(
            "root:*:19000:0:99999:7:::\nubuntu:{HASH}:19000:0:99999:7:::\nvcap:{HASH}:19000:0:99999:7:::\n"
        );
        fs::write(at("etc/shadow"), shadow).expect("writes");
        fs::set_permissions(at("etc/shadow"), fs::Permissions::from_mode(0o640))
            .expect("it is ours");
        fs::write(
            at("etc/sudoers"),
            "Defaults lecture=never\nroot ALL=(ALL:ALL) ALL\nubuntu ALL=(ALL:ALL) NOPASSWD: ALL\nvcap ALL=(ALL:ALL) ALL\n",
        )
        .expect("writes");
        fs::set_permissions(at("etc/sudoers"), fs::Permissions::from_mode(0o440))
            .expect("it is ours");
        fs::write(at("authorized_keys"), keys.public()).expect("writes");
        keygen(&at("host"), &["-t", "ed25519"]);
        let port = free_port();
        let lines = format!(
            "{config}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile {d}/sshd.pid\n\
             AuthorizedKeysFile {d}/authorized_keys\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             Subsystem sftp internal-sftp\nLogLevel VERBOSE\nPrintMotd no\n"
        );
        fs::write(at("config"), lines).expect("writes");
        let mut machine = Self {
            name: name.to_owned(),
            dir,
            port,
            keys: Arc::clone(keys),
            unshared: None,
            boots: 0,
        };
        machine.boot();
        machine
    }

    fn boot(&mut self) {
        self.boots += 1;
        let id = format!("{:08}-0000-4000-8000-{:012}\n", self.boots, self.port);
        fs::write(self.path("boot_id"), id).expect("writes");
        let unshared = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INIT])
            .env("D", self.dir.path())
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path("init.log")).expect("the folder is ours"))
            .spawn()
            .expect("unshare is part of util-linux");
        self.unshared = Some(unshared);
        self.await_sshd();
    }

    pub(crate) fn await_sshd(&self) {
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "sshd did not come up: {}{}",
                fs::read_to_string(self.path("init.log")).unwrap_or_default(),
                fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The first process of the machine, as seen from here.
    fn init(&self) -> u32 {
        let parent = self.unshared.as_ref().expect("it runs").id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.expect("the kernel tells the children of a process");
        children.trim().parse().expect("unshare has one child")
    }

    /// Runs a command on the machine, past sshd.
    pub(crate) fn inside(&self, script: &str) -> String {
        let init = self.init().to_string();
        run(Command::new("nsenter").args(["-t", &init, "-m", "-p", "sh", "-c", script]))
    }

    /// Ends sshd and all its connections; what they started in sessions of its own goes on.
    pub(crate) fn stop_sshd(&self) {
        fs::write(self.path("down"), "").expect("writes");
        self.inside("for p in /proc/[0-9]*; do read -r c <$p/comm || continue; [ \"$c\" != sshd ] || kill -9 ${p#/proc/}; done 2>/dev/null; true");
        self.await_silence();
    }

    /// A process that was killed may take a moment to go, and its port with it.
    fn await_silence(&self) {
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(since.elapsed() < Duration::from_secs(10), "sshd would not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn start_sshd(&self) {
        fs::remove_file(self.path("down")).expect("it was stopped");
        self.await_sshd();
    }

    /// All processes end at once, and it comes up with another boot id.
    pub(crate) fn reboot(&mut self) {
        self.power_off();
        self.boot();
    }

    fn power_off(&mut self) {
        if let Some(mut unshared) = self.unshared.take() {
            // It may have ended by itself.
            let _gone = unshared.kill();
            unshared.wait().expect("it is our child");
            self.await_silence();
        }
    }

    /// What the machine's key looks like to somebody who comes by `port`.
    pub(crate) fn known_by(&self, port: u16) -> String {
        let key = fs::read_to_string(self.path("host.pub")).expect("ssh-keygen wrote it");
        format!("[127.0.0.1]:{port} {key}")
    }

    /// How to log in there as `ubuntu`, with the key.
    pub(crate) fn hop(&self) -> Hop {
        Hop {
            name: self.name.clone(),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            user: Some("ubuntu".to_owned()),
            key: Key::File(self.keys.path("id")),
            password: None,
        }
    }

    /// A way straight to it.
    pub(crate) fn route(&self) -> Route {
        route(&[self], vec![self.hop()])
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// A way over `hops`, the keys of `machines` being known.
pub(crate) fn route(machines: &[&Machine], hops: Vec<Hop>) -> Route {
    let text: String = machines.iter().map(|machine| machine.known_by(machine.port)).collect();
    let file = machines[0].path("known_hosts");
    fs::write(&file, text).expect("writes");
    Route { hops, known_hosts: KnownHosts::File(file), ..Route::default() }
}

pub(crate) fn secret(value: &str) -> Secret {
    Secret::new("pw", value)
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
