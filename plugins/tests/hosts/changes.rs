//! What is brought about on hosts: done once, nothing the second time, told beforehand by the plan.
//!
//! Files and users are real, in an /etc of the machine's own, and so is the script under /etc/init.d. What a Debian
//! without its first process can't run (apt-get, systemctl, upstart's commands) are stand-ins that keep their state in
//! files and say what the real ones say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_core::hosts::Become;
use weir_core::job_type::{JobType, PlanContext};
use weir_core::secret::Secret;
use weir_plugins::{Changing, Fetch, File, Package, Pool, Service, Ssh, SshBounds, User};

use crate::machine::{Keys, Machine};
use crate::stage::Stage;

struct Scene {
    machine: Machine,
    stage: Stage,
    pool: Arc<Pool>,
    ssh: Arc<Ssh>,
    bin: PathBuf,
    attempts: u32,
}

impl Scene {
    fn new(is_root: bool) -> Self {
        let keys = Keys::new();
        let bin = keys.path("bin");
        fs::create_dir(&bin).expect("the folder is ours");
        fs::set_permissions(keys.dir.path(), fs::Permissions::from_mode(0o755))
            .expect("it is ours");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
        let machine = Machine::configured("web", &keys, &format!("SetEnv PATH={path}"));
        let mut route = machine.route();
        if is_root {
            route.become_user = Some(Become { user: "root".to_owned(), password: None });
        }
        let mut stage = Stage::new();
        stage.cx.host = Some(Arc::new(route));
        let pool = Pool::of_user(SshBounds::default(), "ubuntu", keys.dir.path(), None);
        let ssh = Arc::new(Ssh::new(Arc::clone(&pool)));
        // Its folder must live as long as the machine, which keeps the keys.
        Self { machine, stage, pool, ssh, bin, attempts: 0 }
    }

    fn file(&self) -> Changing<File> {
        Changing::new(&self.pool, &self.ssh)
    }

    async fn plan(&self, job_type: &dyn JobType, with: &Value) -> String {
        let cx = PlanContext {
            path: "job".to_owned(),
            working_dir: self.stage.cx.working_dir.clone(),
            env: Vec::new(),
            host: self.stage.cx.host.clone(),
        };
        match job_type.plan(with, &cx).await {
            Ok(plan) => [plan.destroys, plan.steps, plan.diffs].concat().join("\n"),
            Err(error) => format!("{}: {}", error.class.name(), error.message),
        }
    }

    /// An attempt: how it ended, and its log.
    async fn play(&mut self, job_type: &dyn JobType, with: &Value) -> (String, String) {
        self.attempts += 1;
        let number = self.attempts;
        self.stage.attempt(number);
        let told = self.stage.play(job_type, with).await;
        let log = fs::read_to_string(self.stage.cx.folder.join("log")).unwrap_or_default();
        (told, log)
    }

    /// A program that stands in for one that can't run here.
    fn stand_in(&self, name: &str, script: &str) {
        let file = self.bin.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}

#[tokio::test]
async fn a_file_is_written_once_with_a_diff_a_check_and_a_copy_of_the_old() {
    let mut scene = Scene::new(true);
    let file = scene.file();
    let path = scene.machine.path("conf");
    let p = path.display().to_string();
    let with = json!({"path": p, "content": "one\ntwo\n", "owner": "ubuntu", "mode": "0640"});
    assert_eq!(
        scene.plan(&file, &with).await,
        format!("create {p}\n--- {p}\n+++ {p} (new)\n@@ -0,0 +1,2 @@\n+one\n+two\n")
    );
    assert!(!path.exists());
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with(r#"done with 0 {"backup":"","changed":"true","path":"#), "{told}");
    assert!(
        log.starts_with(&format!("create {p}\n--- {p}\n")) && log.ends_with("+one\n+two\n"),
        "{log}"
    );
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "one\ntwo\n");
    let stat = scene.machine.inside(&format!("stat -c '%U %a' {p}"));
    assert_eq!(stat, "ubuntu 640\n");

    assert_eq!(scene.plan(&file, &with).await, "nothing: it is so already");
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with(r#"already done {"backup":"","changed":"false""#), "{told}");
    assert_eq!(log, "");

    // Other content: owner and mode stay as they are, and the old file is kept.
    let changed = json!({"path": p, "content": "one\nthree\n", "validate": "grep -q three {}"});
    let (told, log) = scene.play(&file, &changed).await;
    assert!(told.contains(&format!(r#""backup":"{p}.before-run-7""#)), "{told}");
    assert!(log.contains("-two\n+three\n"), "{log}");
    assert_eq!(fs::read_to_string(format!("{p}.before-run-7")).expect("it is there"), "one\ntwo\n");
    assert_eq!(scene.machine.inside(&format!("stat -c '%U %a' {p}")), "ubuntu 640\n");

    // What is not valid never takes its place, and leaves nothing behind.
    let bad = json!({"path": p, "content": "four\n", "validate": "grep -q three {}"});
    let (told, _) = scene.play(&file, &bad).await;
    assert_eq!(
        told,
        format!(
            "failed with 71, refused: the new {p} is not valid: grep -q three {{}} ended with code 1; nothing was changed"
        )
    );
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "one\nthree\n");
    let left = scene
        .machine
        .inside(&format!("ls -A {} | grep weir || true", scene.machine.dir.path().display()));
    assert_eq!(left, "");

    let rights = json!({"path": p, "owner": "root", "mode": "0600"});
    assert_eq!(
        scene.plan(&file, &rights).await,
        format!("give {p} to root (it is ubuntu's)\nset the mode of {p} to 0600 (it is 640)")
    );
    scene.play(&file, &rights).await;
    assert_eq!(scene.machine.inside(&format!("stat -c '%U %a' {p}")), "root 600\n");

    let gone = json!({"path": p, "state": "absent", "backup": false});
    assert!(scene.play(&file, &gone).await.0.starts_with("done with 0"));
    assert!(scene.play(&file, &gone).await.0.starts_with("already done"));
    assert!(!path.exists());
}

#[tokio::test]
async fn what_was_written_is_undone_by_its_output() {
    let mut scene = Scene::new(true);
    let records = scene.stage.home.path().join("records");
    let mut route = (**scene.stage.cx.host.as_ref().expect("there is one")).clone();
    route.records = Some(records.clone());
    scene.stage.cx.host = Some(Arc::new(route));
    let file = scene.file();
    let path = scene.machine.path("conf");
    let p = path.display().to_string();
    let undo_of = |told: &str| {
        let outputs =
            told.split_once('{').map(|(_, outputs)| format!("{{{outputs}")).expect("outputs");
        let outputs: Value = serde_json::from_str(&outputs).expect("JSON");
        outputs["undo"].as_str().expect("it tells how to undo it").to_owned()
    };
    let history = || {
        let text = fs::read_to_string(records.join("files.jsonl")).expect("a history");
        text.lines().count()
    };
    // What was not there goes again.
    let (told, _) = scene
        .play(&file, &json!({"path": p, "content": "one\n", "owner": "ubuntu", "mode": "0640"}))
        .await;
    assert_eq!(undo_of(&told), "remove");
    let (told, log) = scene.play(&file, &json!({"path": p, "undo": "remove"})).await;
    assert!(told.starts_with("done with 0") && undo_of(&told).is_empty(), "{told}");
    assert_eq!(log, format!("remove {p}\n"));
    assert!(!path.exists());
    assert!(
        scene
            .play(&file, &json!({"path": p, "undo": "remove"}))
            .await
            .0
            .starts_with("already done")
    );
    assert_eq!(history(), 2);

    // What was replaced stands again, with its owner and mode.
    scene.machine.inside(&format!("echo two >{p}; chown ubuntu {p}; chmod 600 {p}"));
    let (told, _) = scene
        .play(&file, &json!({"path": p, "content": "three\n", "owner": "root", "mode": "0644"}))
        .await;
    let undo = undo_of(&told);
    assert_eq!(undo, format!("{p}.before-run-7"));
    let with = json!({"path": p, "undo": undo});
    assert!(scene.plan(&file, &with).await.starts_with(&format!("write {p}\n")));
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with("done with 0"), "{told}{log}");
    assert!(log.contains("it may hold secrets") && !log.contains("+two"), "{log}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "two\n");
    assert_eq!(scene.machine.inside(&format!("stat -c '%U %a' {p}")), "ubuntu 600\n");
    assert!(scene.play(&file, &with).await.0.starts_with("already done"));

    // Nothing was changed: nothing is undone.
    let (told, _) = scene.play(&file, &json!({"path": p, "content": "two\n"})).await;
    assert!(told.starts_with("already done") && undo_of(&told).is_empty(), "{told}");
    assert!(scene.play(&file, &json!({"path": p, "undo": ""})).await.0.starts_with("already done"));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "two\n");
    assert_eq!(
        scene.plan(&file, &json!({"path": p, "undo": "{{ jobs.config.outputs.undo }}"})).await,
        ""
    );
    for (with, wrong) in [
        (json!({"path": p, "undo": "/etc/shadow"}), "undo is no output of a job that wrote"),
        (json!({"path": p, "undo": format!("{p}.before-run-99")}), "is gone"),
        (json!({"path": p, "undo": "remove", "content": "x"}), "has no meaning beside `undo`"),
    ] {
        let (told, _) = scene.play(&file, &with).await;
        assert!(told.contains(wrong), "{told}");
    }
}

#[tokio::test]
async fn a_copied_file_is_the_same_byte_for_byte_and_a_link_stays_one() {
    let mut scene = Scene::new(false);
    let file = scene.file();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    fs::write(scene.stage.cx.working_dir.join("blob"), &bytes).expect("writes");
    let home = scene.machine.path("ubuntu");
    std::os::unix::fs::symlink("deep/blob", home.join("link")).expect("links");
    let with = json!({"path": home.join("deep/blob"), "source": "blob", "make-folders": true});
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with("done with 0"), "{told}{log}");
    assert_eq!(fs::read(home.join("deep/blob")).expect("it is there"), bytes);
    let by_link = json!({"path": home.join("link"), "content": "text\n"});
    scene.play(&file, &by_link).await;
    assert!(home.join("link").is_symlink());
    assert_eq!(fs::read(home.join("deep/blob")).expect("it is there"), b"text\n");

    let nowhere = json!({"path": home.join("no/where"), "content": "x"});
    let (told, _) = scene.play(&file, &nowhere).await;
    assert!(told.starts_with("failed with 71, refused: there is no folder "), "{told}");
    let missing = json!({"path": "/x", "source": "no-such"});
    let (told, _) = scene.play(&file, &missing).await;
    assert!(
        told.starts_with("not begun, definition: `source` can't be read: HOME/work/no-such"),
        "{told}"
    );
    let not_ours = json!({"path": "/etc/passwd", "content": "x"});
    let (told, _) = scene.play(&file, &not_ours).await;
    assert!(told.starts_with("failed with 71, refused: nothing can be written in /etc"), "{told}");
}

#[tokio::test]
async fn a_file_with_a_secret_is_written_and_not_shown() {
    let mut scene = Scene::new(false);
    scene.stage.cx.secrets = Arc::new([Secret::new("pw", "hunter22")]);
    let file = scene.file();
    let path = scene.machine.path("ubuntu").join("proxy.json");
    let with = json!({"path": path, "content": "{\"password\": \"hunter22\"}\n", "mode": "0600"});
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with("done with 0"), "{told}");
    assert!(log.contains("is not shown: it holds secrets") && !log.contains("hunter22"), "{log}");
    assert_eq!(fs::read_to_string(path).expect("it is there"), "{\"password\": \"hunter22\"}\n");
}

#[tokio::test]
async fn a_file_of_this_machine_needs_no_host() {
    let mut scene = Scene::new(false);
    scene.stage.cx.host = None;
    let file = scene.file();
    let path = scene.stage.home.path().join("here");
    let with = json!({"path": path, "content": "text\n"});
    let (told, log) = scene.play(&file, &with).await;
    assert!(told.starts_with("done with 0"), "{told}{log}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "text\n");
    assert!(scene.play(&file, &with).await.0.starts_with("already done"));
    let package = Changing::<Package>::new(&scene.pool, &scene.ssh);
    let (told, _) = scene.play(&package, &json!({"name": "curl"})).await;
    assert!(told.starts_with("not begun, definition: no host was chosen"), "{told}");
    let (told, _) = scene.play(&file, &json!({"path": "here", "mode": 640})).await;
    assert!(told.contains("wrong at `/path`") && told.contains("wrong at `/mode`"), "{told}");
}

#[tokio::test]
async fn packages_are_installed_without_a_question() {
    let mut scene = Scene::new(false);
    let package = Changing::<Package>::new(&scene.pool, &scene.ssh);
    let state = scene.machine.path("ubuntu").display().to_string();
    scene.stand_in(
        "dpkg-query",
        &format!("for last; do :; done; [ -e {state}/has.$last ] && echo \"install ok installed $(cat {state}/has.$last)\""),
    );
    scene.stand_in(
        "apt-get",
        &format!(
            r#"[ "$DEBIAN_FRONTEND" = noninteractive ] || {{ echo "it would ask"; exit 9; }}
read -r answer && exit 8
echo "$*" >>{state}/calls
case $* in *" update") : >{state}/fresh; exit 0 ;; esac
[ -e {state}/fresh ] || {{ echo "E: Unable to locate package $4"; exit 100; }}
for last; do case $last in -*|install|remove|Dpkg*) ;; broken) echo "E: it is broken"; exit 100 ;; *) case $* in *" install"*) v=${{last#*=}}; [ "$v" != "$last" ] || v=1.0; echo $v >{state}/has.${{last%%=*}} ;; *) rm -f {state}/has.$last ;; esac ;; esac; done"#
        ),
    );
    let with = json!({"name": ["curl", "mesos=0.19"]});
    assert_eq!(scene.plan(&package, &with).await, "install curl mesos=0.19");
    let (told, log) = scene.play(&package, &with).await;
    assert_eq!(told, r#"done with 0 {"changed":"true"}"#, "{log}");
    assert!(log.contains("fetches the lists of packages and tries once more"), "{log}");
    assert_eq!(scene.play(&package, &with).await.0, r#"already done {"changed":"false"}"#);
    assert_eq!(scene.plan(&package, &json!({"name": "mesos=0.20"})).await, "install mesos=0.20");
    let (told, _) = scene.play(&package, &json!({"name": "broken"})).await;
    assert_eq!(told, "failed with 72, exit: apt-get could not install broken");
    assert_eq!(
        scene.play(&package, &json!({"name": "curl", "state": "absent"})).await.0,
        r#"done with 0 {"changed":"true"}"#
    );
    let (told, _) = scene.play(&package, &json!({"name": "curl; rm -rf /"})).await;
    assert!(told.starts_with("wrong at `/name`: `curl; rm -rf /` is no package"), "{told}");
}

#[tokio::test]
async fn services_of_all_three_kinds() {
    let mut scene = Scene::new(true);
    let service = Changing::<Service>::new(&scene.pool, &scene.ssh);
    // Really run, by a script under /etc/init.d.
    let state = scene.machine.dir.path().display().to_string();
    let script = format!(
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: thing\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\n\
         case $1 in start) sleep 0.2; : >{state}/on; echo started ;; stop) rm -f {state}/on ;; restart) : >{state}/on; echo again ;; status) [ -e {state}/on ] || exit 3 ;; *) exit 2 ;; esac\n"
    );
    fs::create_dir_all(scene.machine.path("etc/init.d")).expect("ours");
    scene.machine.inside(&format!(
        "cat >/etc/init.d/thing <<'END'\n{script}END\nchmod 755 /etc/init.d/thing"
    ));
    let run = json!({"name": "thing", "state": "running"});
    assert_eq!(scene.plan(&service, &run).await, "start thing");
    let (told, log) = scene.play(&service, &run).await;
    assert_eq!(
        (told.as_str(), log.as_str()),
        (
            r#"done with 0 {"by":"sysv","changed":"true","state":"running"}"#,
            "start thing\nstarted\n"
        )
    );
    assert_eq!(
        scene.play(&service, &run).await.0,
        r#"already done {"by":"sysv","changed":"false","state":"running"}"#
    );
    let (told, log) = scene.play(&service, &json!({"name": "thing", "enabled": true})).await;
    assert!(told.contains(r#""changed":"true""#), "{told}{log}");
    assert!(
        scene
            .play(&service, &json!({"name": "thing", "enabled": true}))
            .await
            .0
            .starts_with("already done")
    );
    assert!(
        scene
            .play(&service, &json!({"name": "thing", "enabled": false}))
            .await
            .0
            .starts_with("done")
    );
    assert!(
        scene
            .play(&service, &json!({"name": "thing", "enabled": false}))
            .await
            .0
            .starts_with("already done")
    );
    assert!(
        scene
            .play(&service, &json!({"name": "thing", "state": "stopped"}))
            .await
            .0
            .starts_with("done")
    );
    let (told, _) = scene.play(&service, &json!({"name": "nothing", "state": "running"})).await;
    assert_eq!(told, "failed with 71, refused: there is no service nothing here");

    // Upstart, by stand-ins that say what it says.
    scene.machine.inside(
        "mkdir -p /etc/init; printf 'start on runlevel [2345]\\nexec x\\n' >/etc/init/zoo.conf",
    );
    scene.stand_in("initctl", "case $1 in version) echo 'init (upstart 1.12.1)' ;; esac");
    scene.stand_in("status", &format!("if [ -e {state}/zoo ]; then echo 'zoo start/running, process 7'; else echo 'zoo stop/waiting'; fi"));
    scene.stand_in("start", &format!("if [ -e {state}/zoo ]; then echo 'start: Job is already running: zoo' >&2; exit 1; fi; : >{state}/zoo; echo 'zoo start/running, process 7'"));
    scene.stand_in("stop", &format!("if [ ! -e {state}/zoo ]; then echo 'stop: Unknown instance: ' >&2; exit 1; fi; rm {state}/zoo; echo 'zoo stop/waiting'"));
    let off = json!({"name": "zoo", "state": "stopped", "enabled": false});
    // Sudo looks for programs in its own places, so this is done by who logs in there as root.
    scene.machine.inside(&format!("printf 'Defaults !secure_path\\n' >>/etc/sudoers; printf 'Defaults env_keep+=PATH\\n' >>/etc/sudoers; touch {state}/zoo"));
    assert_eq!(scene.plan(&service, &off).await, "keep zoo from starting at boot\nstop zoo");
    let (told, log) = scene.play(&service, &off).await;
    assert_eq!(told, r#"done with 0 {"by":"upstart","changed":"true","state":"stopped"}"#, "{log}");
    assert_eq!(scene.machine.inside("cat /etc/init/zoo.override"), "manual\n");
    assert!(scene.play(&service, &off).await.0.starts_with("already done"));
    let on = json!({"name": "zoo", "state": "running", "enabled": true});
    assert!(scene.play(&service, &on).await.0.starts_with("done"));
    assert!(scene.play(&service, &on).await.0.starts_with("already done"));
    assert_eq!(scene.machine.inside("ls /etc/init"), "zoo.conf\n");

    // systemd, likewise.
    scene.machine.inside("mkdir -p /run/systemd/system");
    scene.stand_in(
        "systemctl",
        &format!(
            "[ \"$2\" = unit ] || {{ echo \"Failed to $1 $2.service: Unit $2.service not found.\" >&2; exit 5; }}\n\
             case $1 in start|restart) echo active >{state}/unit ;; stop) rm -f {state}/unit ;; enable) : >{state}/boot ;; disable) rm -f {state}/boot ;;\n\
             is-active) cat {state}/unit 2>/dev/null || {{ echo inactive; exit 3; }} ;; is-enabled) [ -e {state}/boot ] && echo enabled || {{ echo disabled; exit 1; }} ;; esac"
        ),
    );
    let on = json!({"name": "unit", "state": "running", "enabled": true});
    let (told, log) = scene.play(&service, &on).await;
    assert_eq!(told, r#"done with 0 {"by":"systemd","changed":"true","state":"running"}"#, "{log}");
    assert!(scene.play(&service, &on).await.0.starts_with("already done"));
    assert!(
        scene
            .play(&service, &json!({"name": "unit", "state": "restarted"}))
            .await
            .0
            .starts_with("done")
    );
    let (told, _) = scene.play(&service, &json!({"name": "other", "state": "running"})).await;
    assert!(
        told.starts_with(
            "failed with 71, refused: there is no service other here: Failed to start"
        ),
        "{told}"
    );
    fs::write(scene.machine.path("unit"), "failed").expect("writes");
    scene.stand_in("systemctl", "case $1 in is-active) echo activating; exit 3 ;; esac");
    let (told, _) =
        scene.play(&service, &json!({"name": "unit", "state": "running", "within": "300ms"})).await;
    assert!(told.starts_with("failed with 72, exit: unit is changing 0 s after"), "{told}");
}

#[tokio::test]
async fn a_user_is_made_with_groups_and_keys() {
    let mut scene = Scene::new(true);
    let user = Changing::<User>::new(&scene.pool, &scene.ssh);
    let home = scene.machine.path("hdfs").display().to_string();
    let with = json!({"name": "hdfs", "uid": 4800, "groups": ["hadoop"], "home": home, "shell": "/bin/sh", "keys": "ssh-ed25519 AAAA somebody"});
    assert_eq!(
        scene.plan(&user, &with).await,
        "make the group hadoop\nmake the user hdfs\nadd hdfs to the group hadoop\nlet in hdfs by 1 more keys"
    );
    let (told, log) = scene.play(&user, &with).await;
    assert_eq!(
        told,
        format!(r#"done with 0 {{"changed":"true","home":"{home}","uid":"4800"}}"#),
        "{log}"
    );
    assert_eq!(scene.machine.inside("id -nG hdfs; stat -c '%U %a' ~hdfs/.ssh/authorized_keys; cat ~hdfs/.ssh/authorized_keys"), "hdfs hadoop\nhdfs 600\nssh-ed25519 AAAA somebody\n");
    assert!(scene.play(&user, &with).await.0.starts_with("already done"));
    assert_eq!(
        scene.plan(&user, &json!({"name": "hdfs", "shell": "/bin/bash"})).await,
        "give hdfs the shell /bin/bash (it is /bin/sh)"
    );
    let (told, _) = scene.play(&user, &json!({"name": "hdfs", "uid": 1})).await;
    assert_eq!(
        told,
        "failed with 71, refused: the user hdfs has the number 4800, not 1: its files would be left behind"
    );
    let (told, log) = scene.play(&user, &json!({"name": "hdfs", "state": "absent"})).await;
    assert!(told.starts_with("done with 0"), "{told}{log}");
    assert!(
        scene
            .play(&user, &json!({"name": "hdfs", "state": "absent"}))
            .await
            .0
            .starts_with("already done")
    );
}

#[tokio::test]
async fn files_are_fetched_whole_and_within_bounds() {
    let mut scene = Scene::new(false);
    let fetch = Fetch::new(Arc::clone(&scene.pool));
    let home = scene.machine.path("ubuntu");
    let h = home.display().to_string();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    fs::write(home.join("a.log"), &big).expect("writes");
    fs::write(home.join("b c.log"), b"two\n").expect("writes");
    fs::write(home.join("secret"), b"three\n").expect("writes");
    scene.machine.inside(&format!("chmod 600 {h}/secret"));
    let with = json!({"paths": [format!("{h}/*.log"), format!("{h}/b c.log")]});
    assert_eq!(
        scene.plan(&fetch, &with).await,
        format!("fetch {h}/a.log (3000000 bytes) from web\nfetch {h}/b c.log (4 bytes) from web")
    );
    let (told, _) = scene.play(&fetch, &with).await;
    assert_eq!(told, format!(r#"done {{"bytes":3000004,"files":["{h}/a.log","{h}/b c.log"]}}"#));
    let kept = scene.stage.cx.folder.join("artifacts").join(h.trim_start_matches('/'));
    assert_eq!(fs::read(kept.join("a.log")).expect("it came"), big);
    assert_eq!(fs::read(kept.join("b c.log")).expect("it came"), b"two\n");

    let (told, _) =
        scene.play(&fetch, &json!({"paths": format!("{h}/*.log"), "most-bytes": 1000})).await;
    assert!(
        told.starts_with("failed, quota: host web")
            || told.starts_with("failed, quota: 2 files have 3000004 bytes"),
        "{told}"
    );
    let (told, _) = scene.play(&fetch, &json!({"paths": format!("{h}/none*")})).await;
    assert_eq!(told, format!("failed, exit: no file there is meant by {h}/none*"));
    let (told, _) =
        scene.play(&fetch, &json!({"paths": format!("{h}/none*"), "optional": true})).await;
    assert_eq!(told, r#"done {"bytes":0,"files":[]}"#);
    let secret = json!({"paths": format!("{h}/secret")});
    let (told, _) = scene.play(&fetch, &secret).await;
    assert!(told.contains("can't be read there\n  help: set `become`"), "{told}");
    let (told, _) =
        scene.play(&fetch, &json!({"paths": format!("{h}/secret"), "become": "root"})).await;
    assert!(told.starts_with("done "), "{told}");
    let (told, _) = scene.play(&fetch, &json!({"paths": "../etc/shadow"})).await;
    assert!(told.starts_with("wrong at `/paths`"), "{told}");
}
