//! Real hosts for a test: network namespaces with an sshd each, behind a jump box, and the faults that befall such hosts.
//! The scripts in `tests/lab` make them; here is what tests ask of them. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::{Ended, Process, Stage, root};

/// What the folders of labs begin with; then comes the lab's name.
const FOLDER: &str = "weir-lab-";

/// A lab of its own for one test. Gone when dropped, whatever happened.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    name: String,
}

/// A fault that lasts until this is dropped.
#[derive(Debug)]
pub struct Fault<'a> {
    lab: &'a Lab,
    off: Vec<String>,
}

impl Lab {
    /// Starts these hosts, and `ops`, the operator's machine. It never has none.
    ///
    /// # Panics
    /// They do not start; only root can make them.
    pub fn up(hosts: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let is_root = rustix::process::geteuid().is_root();
        assert!(
            is_root,
            "this test makes hosts out of namespaces, and only root can: run it as root"
        );
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        if count == 0 {
            end_what_died_tests_left();
        }
        let name = format!("t{}x{count}", std::process::id());
        let dir = tempfile::Builder::new().prefix(&format!("{FOLDER}{name}-")).tempdir();
        let lab = Self { dir: dir.expect("a folder is made"), name };
        lab.start(hosts);
        Some(lab)
    }

    /// Starts more hosts, or those that have crashed.
    ///
    /// # Panics
    /// They do not start.
    pub fn start(&self, hosts: &[&str]) {
        self.script("up", hosts).good();
    }

    /// Gives the hosts a real Hadoop, which is fetched once.
    ///
    /// # Panics
    /// It can't be had.
    pub fn hadoop(&self) {
        self.script("hadoop", &[]).good();
    }

    /// Runs a script of sh as root on a host.
    pub fn on(&self, host: &str, script: &str) -> Ended {
        self.script("exec", &[host, "sh", "-c", script])
    }

    /// Makes a fault, as `tests/lab/fault` names them, until what is given back is dropped.
    ///
    /// # Panics
    /// It can't be made.
    pub fn fault(&self, kind: &str, host: &str, more: &[&str]) -> Fault<'_> {
        self.script("fault", &[&[kind, host, "on"], more].concat()).good();
        let off = [&[kind, host, "off"], more].concat();
        Fault { lab: self, off: off.into_iter().map(str::to_owned).collect() }
    }

    /// A host goes down without a word and boots.
    ///
    /// # Panics
    /// It does not.
    pub fn reboot(&self, host: &str) {
        self.script("fault", &["reboot", host]).good();
    }

    /// A program on the operator's machine: with the files of this one, but in the lab's outer net.
    pub fn operator(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.net().display())).arg("--").arg(program);
        command
    }

    /// OpenSSH's own client on the operator's machine, which asks nothing and does not wait long.
    pub fn ssh(&self, arguments: &[&str]) -> Command {
        let config = self.dir.path().join("ssh_config");
        let text = format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  BatchMode yes\n  \
             ConnectTimeout 2\n  ServerAliveInterval 1\n  ServerAliveCountMax 2\n",
            self.key().display(),
            self.known_hosts().display()
        );
        fs::write(&config, text).expect("written");
        let mut command = self.operator("ssh");
        command.arg("-F").arg(config).args(arguments);
        command
    }

    /// The operator's private key.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("secret/ops_key")
    }

    /// The password of the user vcap.
    ///
    /// # Panics
    /// It is not there.
    pub fn password(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("secret/vcap_password"));
        text.expect("`up` has made one").trim_end().to_owned()
    }

    /// The keys of all hosts that were started.
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// A stage whose commands run on the operator's machine.
    pub fn stage(&self) -> Stage {
        Stage::in_net(self.net())
    }

    /// The lab's name: what it leaves on this machine begins with it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn net(&self) -> PathBuf {
        Path::new("/run/netns").join(format!("{}-ops", self.name))
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Ended {
        let mut command = Command::new(root().join("tests/lab").join(name));
        command.args(arguments).env("LAB_NAME", &self.name).env("LAB_STATE", self.dir.path());
        Ended::of(command, None)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ended = self.script("down", &["--purge"]);
        let is_gone = ended.code == 0 || std::thread::panicking();
        assert!(is_gone, "the lab {} does not go: {}", self.name, ended.err);
    }
}

impl Fault<'_> {
    /// Takes it back now.
    pub fn end(self) {}
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        let off: Vec<&str> = self.off.iter().map(String::as_str).collect();
        let ended = self.lab.script("fault", &off);
        assert!(ended.code == 0 || std::thread::panicking(), "{off:?}: {}", ended.err);
    }
}

/// A test that was killed could not tidy; the next one does.
fn end_what_died_tests_left() {
    let temp = std::env::temp_dir();
    for file in names(Path::new("/run/netns")) {
        if let Some(name) = file.strip_suffix("-switch").filter(|name| is_of_the_dead(name)) {
            let mut down = Command::new(root().join("tests/lab/down"));
            let _tried = down.env("LAB_NAME", name).env("LAB_STATE", temp.join(name)).output();
        }
    }
    for file in names(&temp) {
        let name = file.strip_prefix(FOLDER).and_then(|rest| rest.split_once('-'));
        if name.is_some_and(|(name, _)| is_of_the_dead(name)) {
            let _gone = fs::remove_dir_all(temp.join(&file));
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether it is the name of a lab whose test does not live any more.
fn is_of_the_dead(lab: &str) -> bool {
    let pid = lab.strip_prefix('t').and_then(|rest| rest.split_once('x')?.0.parse().ok());
    pid.is_some_and(|pid| !(Process { pid }).is_alive())
}

impl Ended {
    /// It must have gone well; what it printed.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn good(&self) -> &str {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        &self.out
    }
}
