//! The lab of real hosts itself: what reaches what, and what each fault looks like to OpenSSH's own client. What Weir
//! makes of it is shown elsewhere.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir_tests::{Ended, LIMIT, Lab, root, until};

const JUMPBOX: &str = "ubuntu@10.50.0.5";
const MASTER: &str = "ubuntu@10.2.14.11";

#[track_caller]
fn fails(command: Command, words: &str) {
    let ended = Ended::of(command, None);
    assert_eq!(ended.code, 255, "{}{}", ended.out, ended.err);
    assert!(ended.err.contains(words), "{words}: {}", ended.err);
}

#[track_caller]
fn prints(command: Command, words: &str) {
    assert_eq!(Ended::of(command, None).good().trim_end(), words);
}

fn boot_id(lab: &Lab, host: &str) -> String {
    lab.on(host, "cat /proc/sys/kernel/random/boot_id").good().to_owned()
}

#[test]
fn hosts_are_reached_as_in_the_field() {
    let Some(lab) = Lab::up(&["jumpbox", "master1", "inner"]) else { return };
    prints(lab.ssh(&[JUMPBOX, "hostname; sudo -n id -un"]), "jumpbox\nroot");
    prints(lab.ssh(&["ec2-user@10.50.0.5", "sudo -n id -un"]), "root");
    fails(lab.ssh(&["vcap@10.50.0.5", "true"]), "Permission denied (publickey,password)");
    fails(lab.ssh(&[MASTER, "true"]), "Network is unreachable");
    prints(lab.ssh(&["-J", JUMPBOX, MASTER, "hostname"]), "master1");
    prints(lab.ssh(&["-tt", JUMPBOX, "tty"]), "/dev/pts/0");
    // Only root of the jump box has a key for that one.
    let inner = "ubuntu@10.2.14.29";
    fails(lab.ssh(&["-J", JUMPBOX, inner, "true"]), "Permission denied");
    let nested = format!("sudo ssh -o StrictHostKeyChecking=no {inner} hostname");
    prints(lab.ssh(&[JUMPBOX, &nested]), "inner");
    // The jump box hands nothing on, even to who knows the way.
    let route = ["route", "add", "10.2.14.0/24", "via", "10.50.0.5"];
    let mut ip = lab.operator("ip");
    ip.args(route);
    Ended::of(ip, None).good();
    fails(lab.ssh(&[MASTER, "true"]), "timed out");

    let password = lab.password();
    let with_password = |password: &str| {
        let mut command = lab.operator("sshpass");
        command.args([
            "-e",
            "ssh",
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
        ]);
        command.arg(format!("UserKnownHostsFile={}", lab.known_hosts().display()));
        command.args(["vcap@10.50.0.5", "sudo -S -p '' id -un"]).env("SSHPASS", password);
        command
    };
    let ended = Ended::of(with_password(&password), Some(&format!("{password}\n")));
    assert_eq!(ended.good(), "root\n");
    let ended = Ended::of(with_password("wrong"), None);
    assert_eq!(ended.code, 5, "{}", ended.err);
}

#[test]
fn each_fault_is_what_it_says() {
    let Some(lab) = Lab::up(&["jumpbox", "master1", "slave1"]) else { return };
    let refused = [
        ("cut", "timed out"),
        ("freeze", "timed out during banner exchange"),
        ("sshd", "Connection refused"),
        ("crash", "Connection refused"),
        ("power", "timed out"),
    ];
    for (kind, words) in refused {
        let fault = lab.fault(kind, "jumpbox", &[]);
        fails(lab.ssh(&[JUMPBOX, "true"]), words);
        fault.end();
        // Who asked for it meanwhile may hold it for gone a moment longer.
        until("it is back", || {
            let ended = Ended::of(lab.ssh(&[JUMPBOX, "echo back"]), None);
            (ended.out == "back\n").then_some(())
        });
    }

    let fault = lab.fault("partition", "master1", &["slave1"]);
    let ping = |host: &str, other: &str| lab.on(host, &format!("ping -q -c 1 -W 1 {other}")).code;
    assert_eq!((ping("slave1", "master1"), ping("slave1", "jumpbox")), (1, 0));
    assert_eq!((ping("master1", "slave1"), ping("master1", "jumpbox")), (1, 0));
    fault.end();
    assert_eq!(ping("slave1", "master1"), 0);

    let fault = lab.fault("loss", "jumpbox", &["90"]);
    let mut many = lab.operator("ping");
    many.args(["-q", "-c", "100", "-i", "0.01", "-W", "1", "10.50.0.5"]);
    let ended = Ended::of(many, None);
    // Each of a hundred comes back with a chance of one in a hundred.
    let lost =
        ended.out.split(", ").find_map(|part| part.strip_suffix("% packet loss")?.parse().ok());
    assert!(lost.is_some_and(|lost: f64| lost > 80.0), "{}", ended.out);
    fault.end();

    let fault = lab.fault("slow", "jumpbox", &["256"]);
    let begun = Instant::now();
    Ended::of(lab.ssh(&[JUMPBOX, "head -c 40000 /dev/urandom | base64"]), None).good();
    assert!(begun.elapsed() > Duration::from_millis(1200), "{:?}", begun.elapsed());
    fault.end();

    let fault = lab.fault("disk", "master1", &["/opt/small"]);
    let ended = lab.on("master1", "cp /etc/hosts /opt/small/");
    assert!(ended.code != 0 && ended.err.contains("No space left"), "{}", ended.err);
    fault.end();
    lab.on("master1", "test ! -e /opt/small/.full").good();
}

#[test]
fn open_sessions_meet_faults_too() {
    let Some(lab) = Lab::up(&["jumpbox"]) else { return };
    let session = |wait: &str| {
        let command = format!("touch /tmp/began; {wait}; echo went on");
        let mut ssh = lab.ssh(&[JUMPBOX, &command]);
        let child = ssh.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssh is here");
        let began = || (lab.on("jumpbox", "rm /tmp/began").code == 0).then_some(());
        until("the session runs", began);
        child
    };
    // Where sshd is gone, who is in stays.
    let open = session("until [ -e /tmp/go ]; do sleep 0.05; done");
    let fault = lab.fault("sshd", "jumpbox", &[]);
    lab.on("jumpbox", "touch /tmp/go").good();
    let output = open.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "went on\n");
    fault.end();
    // What stands still for a moment goes on afterwards.
    lab.on("jumpbox", "rm -f /tmp/go").good();
    let open = session("until [ -e /tmp/go ]; do sleep 0.05; done");
    lab.fault("freeze", "jumpbox", &[]).end();
    lab.on("jumpbox", "touch /tmp/go").good();
    let output = open.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "went on\n");
    // A dead line is noticed by who keeps asking.
    let open = session("sleep 600");
    let fault = lab.fault("cut", "jumpbox", &[]);
    let begun = Instant::now();
    let output = open.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(255));
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    fault.end();
    // The host itself did not notice.
    lab.on("jumpbox", "pgrep -x sleep").good();
}

#[test]
fn a_host_that_boots_keeps_its_disk_and_tells_by_its_boot_id() {
    let Some(lab) = Lab::up(&["jumpbox"]) else { return };
    lab.on("jumpbox", "echo kept >/var/lib/kept; echo gone >/run/gone").good();
    let before = boot_id(&lab, "jumpbox");
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    assert_ne!(before, machine);
    // Whoever logs in sees the same.
    prints(lab.ssh(&[JUMPBOX, "cat /proc/sys/kernel/random/boot_id"]), before.trim_end());
    lab.reboot("jumpbox");
    let after = boot_id(&lab, "jumpbox");
    assert_ne!(before, after);
    assert_eq!(after.len(), 37, "{after}");
    lab.on("jumpbox", "cat /var/lib/kept && ! cat /run/gone 2>/dev/null").good();
    // Its key is the same one.
    prints(lab.ssh(&[JUMPBOX, "echo same"]), "same");
}

#[test]
fn nothing_of_a_lab_stays() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    // Twice is as once.
    let before = boot_id(&lab, "master1");
    lab.start(&["jumpbox", "master1"]);
    assert_eq!(boot_id(&lab, "master1"), before);
    lab.on("master1", "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!").good();
    let _frozen = std::mem::ManuallyDrop::new(lab.fault("freeze", "master1", &[]));
    let (name, path) = (lab.name().to_owned(), lab.path().to_owned());
    let leftovers = || {
        let script = format!(
            "ls /run/netns | grep '^{name}-'; find /sys/fs/cgroup -maxdepth 2 -name '{name}-*'; \
             grep -s {path} /proc/[0-9]*/mountinfo /proc/[0-9]*/cmdline | head",
            path = path.display()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        Ended::of(shell, None).out
    };
    assert!(leftovers().lines().count() > 4, "{}", leftovers());
    drop(lab);
    assert_eq!(leftovers(), "");
    assert!(!path.exists());
}

#[test]
fn wrong_calls_are_told() {
    let call = |script: &str, arguments: &[&str], name: &str| {
        let mut command = Command::new(root().join("tests/lab").join(script));
        command.args(arguments).env("LAB_NAME", name).env("LAB_STATE", "/nonexistent/lab");
        Ended::of(command, None)
    };
    for (script, arguments, name, words) in [
        ("up", &[][..], "a", "up NAME..."),
        ("up", &["13"], "a", "up NAME..."),
        ("up", &["mastre1"], "a", "there is no host mastre1"),
        ("up", &["1"], "A-b", "the lab's name is \"A-b\""),
        ("exec", &["jumpbox"], "a", "exec HOST COMMAND"),
        ("fault", &["cut", "jumpbox"], "a", "fault cut HOST on|off"),
        ("fault", &["cut", "nobody", "on"], "a", "there is no host nobody"),
        ("down", &["--all"], "a", "down [--purge]"),
    ] {
        let ended = call(script, arguments, name);
        assert_eq!(ended.code, 2, "{script} {arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{script} {arguments:?}: {}", ended.err);
    }
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    as_nobody.arg(root().join("tests/lab/up")).arg("1").env("LAB_NAME", "a");
    if rustix::process::geteuid().is_root() {
        let ended = Ended::of(as_nobody, None);
        assert_eq!(ended.code, 77, "{}", ended.err);
        assert!(ended.err.contains("only root"), "{}", ended.err);
    }
}
