//! Executables as job types: the example of the documentation, and many that misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_core::job_type::{Handle, JobType, Nature, PlanContext};
use weir_plugins::{Bounds, external, external_within};

use crate::stage::Stage;

fn write(folder: &Path, name: &str, text: &str, mode: u32) {
    let file = folder.join(name);
    fs::write(&file, text).expect("the folder is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

/// Bounds for what is meant to be late.
fn short() -> Bounds {
    let short = Duration::from_secs(1);
    Bounds { describe: short, plan: short, start: short, cancel: Duration::ZERO, leave: short }
}

/// Bounds that nothing in these tests reaches however busy the machine is.
fn long() -> Bounds {
    let long = Duration::from_mins(2);
    Bounds { describe: long, plan: long, start: long, cancel: long, leave: long }
}

#[tokio::test]
async fn the_example_of_the_documentation_works() {
    let plugins = tempfile::tempdir().expect("a temporary folder can be made");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/http_ping.py");
    fs::copy(example, plugins.path().join("http_ping.py")).expect("the example is there");
    let (types, problems) = external_within(plugins.path(), long()).await;
    assert_eq!(problems, []);
    let [ping] = types.as_slice() else { panic!("one type was written") };
    assert_eq!((ping.name(), ping.nature()), ("http.ping", Nature::Waits));

    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/", server.local_addr().expect("it is bound"));
    let served = tokio::spawn(async move {
        let mut request = Vec::new();
        for status in ["200 OK", "503 Busy", "200 OK", "204 Empty"] {
            let (mut line, _) = server.accept().await.expect("somebody calls");
            request.clear();
            while !request.ends_with(b"\r\n\r\n") {
                line.read_buf(&mut request).await.expect("the caller writes");
            }
            let answer = format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n");
            line.write_all(answer.as_bytes()).await.expect("the caller listens");
        }
        String::from_utf8(request).expect("a request is text")
    });
    let stage = Stage::with_secret("ping_token", "s3cret-value");
    let with = json!({ "url": url, "times": 2, "pause": 0, "token": "s3cret-value" });
    let told = stage.play(&**ping, &with).await;
    assert!(told.starts_with(r#"done {"looks":4,"seconds":"#), "{told}");
    let request = served.await.expect("all were served");
    assert!(request.contains("Authorization: Bearer s3cret-value"), "{request}");
    assert_eq!(
        stage.log.text(),
        "200, 1 in a row\n503, 0 in a row\n200, 1 in a row\n204, 2 in a row"
    );
    ping.cancel(None, &with, &stage.cx).await.expect("there is nothing to end");

    let cx = PlanContext {
        path: "job".to_owned(),
        working_dir: "/".into(),
        env: Vec::new(),
        host: None,
    };
    let plan = ping.plan(&json!({ "url": "http://a/" }), &cx).await.expect("it can be told");
    assert_eq!(plan.steps, ["GET http://a/ until it answers well 3 times in a row"]);
    assert_eq!(
        stage.play(&**ping, &json!({ "url": "gopher://a/" })).await,
        "not begun, definition: `gopher://a/` is no URL of a page"
    );
    let told = stage.play(&**ping, &json!({ "times": 0 })).await;
    assert!(told.contains("`url` is missing") && told.contains("wrong at `/times`"), "{told}");
}

#[tokio::test]
async fn what_is_no_job_type_is_told() {
    let plugins = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = plugins.path();
    let describe = |result: &Value| {
        let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
        format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    };
    let fine = json!({ "name": "fine", "about": "Is fine.", "schema": { "type": "object" } });
    let with = |key: &str, value: Value| {
        let mut result = fine.clone();
        result[key] = value;
        describe(&result)
    };
    write(folder, "a-fine", &describe(&fine), 0o755);
    write(folder, "b-double", &describe(&fine), 0o755);
    write(folder, "b-taken", &with("name", json!("command")), 0o755);
    write(folder, "b-name", &with("name", json!("Not A Name")), 0o755);
    write(folder, "b-schema", &with("schema", json!([])), 0o755);
    write(folder, "b-nature", &with("nature", json!("instant")), 0o755);
    write(folder, "b-about", &describe(&json!({ "name": "x" })), 0o755);
    write(folder, "c-garbage", "#!/bin/sh\necho 'Loading modules ...'\n", 0o755);
    write(folder, "c-silent", "#!/bin/sh\nsleep 1000 &\nexit 0\n", 0o755);
    write(folder, "c-crash", "#!/bin/sh\necho 'no module named x' >&2\nexit 3\n", 0o755);
    write(folder, "c-killed", "#!/bin/sh\nkill -9 $$\n", 0o755);
    write(
        folder,
        "c-error",
        "#!/bin/sh\necho '{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"not today\"}}'\n",
        0o755,
    );
    write(
        folder,
        "c-id",
        "#!/bin/sh\necho '{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}'\n",
        0o755,
    );
    write(
        folder,
        "c-version",
        "#!/bin/sh\necho '{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":{}}'\n",
        0o755,
    );
    write(folder, "c-long", "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\n", 0o755);
    write(folder, "c-bytes", "#!/bin/sh\nprintf '\\377\\000\\033[31m\\n'\n", 0o755);
    write(folder, "d-interpreter", "#!/no/such/interpreter\n", 0o755);
    write(folder, "d-not-executable", "#!/bin/sh\n", 0o644);
    write(folder, "d-open-to-all", "#!/bin/sh\n", 0o777);
    write(folder, "README.md", "# Notes\n", 0o644);
    write(folder, ".hidden", "#!/bin/sh\n", 0o755);
    fs::create_dir(folder.join("lib")).expect("the folder is ours");
    let (types, problems) = external_within(folder, long()).await;
    let names: Vec<_> = types.iter().map(|known| known.name()).collect();
    assert_eq!(names, ["fine"]);
    let home = folder.canonicalize().expect("it is there").display().to_string();
    let told: Vec<_> =
        problems.iter().map(|problem| problem.to_string().replace(&home, "PLUGINS")).collect();
    insta::assert_snapshot!("problems", told.join("\n"));

    let (types, problems) = external(&folder.join("none")).await;
    assert!(types.is_empty() && problems.is_empty(), "a folder that is not there has no types");
    let (_, problems) = external(&folder.join("a-fine")).await;
    assert_eq!(problems.len(), 1, "a file is no folder");
}

/// Waits for a process that was killed, and says whether it went: a kill is on its way for a moment, and what nobody has
/// reaped is still listed.
async fn is_gone(pid: &str) -> bool {
    for _ in 0..200 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z")) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_all_it_began() {
    let plugins = tempfile::tempdir().expect("a temporary folder can be made");
    let script = "#!/bin/sh\ncd \"${0%/*}\"\nsleep 1000 &\necho $! >pid\nwait\n";
    write(plugins.path(), "hang", script, 0o755);
    // Long enough to write its number on a busy machine.
    let bounds = Bounds { describe: Duration::from_secs(5), ..short() };
    let (types, problems) = external_within(plugins.path(), bounds).await;
    assert!(types.is_empty());
    assert_eq!(problems[0].message, "it did not answer `describe` within 5s");
    let pid = fs::read_to_string(plugins.path().join("pid")).expect("it wrote it in time");
    assert!(is_gone(&pid).await, "{pid}");
}

/// A type that does as its setting `how` says; each call also leaves a mark.
const MOODY: &str = r#"
import json, os, sys, time
call = json.loads(sys.stdin.readline())
method, params = call["method"], call["params"]
with open("calls", "a") as calls:
    calls.write(method + "\n")
def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
if method == "describe":
    send(id=1, result={"name": "moody", "about": "Does as it is told.", "schema": {"type": "object"}})
    sys.exit()
how = params["with"].get(method, "well")
if how == "crash":
    print("Traceback: the token is s3cret-value", file=sys.stderr)
    sys.exit(1)
elif how == "garbage":
    print("token=s3cret-value")
elif how == "hang":
    open("hangs", "w").write(str(os.getpid()))
    sys.stdin.read()
    time.sleep(1000)
elif how == "crash-once" and open("calls").read().count(method) == 1:
    sys.exit(1)
elif how == "nothing":
    send(id=1, result=None)
elif how == "much":
    send(id=1, result={"handle": "x" * 4000})
elif isinstance(how, dict) and "error" in how:
    send(id=1, error=how["error"])
elif isinstance(how, dict):
    send(id=1, result=how)
elif method == "start":
    send(id=1, result={"handle": "h-" + params["context"]["attempt"]})
elif method == "follow":
    print("a complaint", file=sys.stderr)
    send(method="log", params={"line": "one\ntwo"})
    send(method="sing", params=[1])
    env = {name: value for name, value in os.environ.items() if "s3cret" in value}
    send(id=1, result={"kind": "done", "outputs": {
        "handle": params["handle"], "path": params["context"]["path"], "seen": env, "argv": len(sys.argv),
        "env": len(params["context"]["env"]["TOKEN"]), "folder": os.path.isdir(params["context"]["folder"])}})
else:
    send(id=1, result={})
"#;

struct Moody {
    plugins: tempfile::TempDir,
    moody: Arc<dyn JobType>,
}

impl Moody {
    async fn new(bounds: Bounds) -> Self {
        let plugins = tempfile::tempdir().expect("a temporary folder can be made");
        // It is started some fifty times: by the interpreter itself, whatever stands before it in the path.
        let asked = std::process::Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .expect("python3 is installed");
        let python = String::from_utf8(asked.stdout).expect("a path here is text");
        write(plugins.path(), "moody", &format!("#!{} -SE{MOODY}", python.trim()), 0o755);
        // Describing must not be late, only what comes after it.
        let bounds = Bounds { describe: Duration::from_mins(2), ..bounds };
        let (mut types, problems) = external_within(plugins.path(), bounds).await;
        assert_eq!(problems, []);
        fs::remove_file(plugins.path().join("calls")).expect("it was described");
        Self { moody: types.remove(0), plugins }
    }

    fn calls(&self) -> String {
        let file = self.plugins.path().join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        drop(fs::remove_file(file));
        calls.trim_end().replace('\n', " ")
    }
}

#[tokio::test]
async fn each_way_to_misbehave_has_its_words() {
    let moody = Moody::new(long()).await;
    let mut told = String::new();
    for with in [
        json!({}),
        json!({ "start": "crash" }),
        json!({ "start": "garbage" }),
        json!({ "start": "nothing" }),
        json!({ "start": "much" }),
        json!({ "start": { "error": { "code": -32000, "message": "no such region" } } }),
        json!({ "start": { "error": { "code": -32602, "message": "no s3cret-value" } } }),
        json!({ "start": { "error": { "code": -32000, "message": "no line", "data": { "class": "connection" } } } }),
        json!({ "follow": "crash" }),
        json!({ "follow": "crash-once" }),
        json!({ "follow": "garbage" }),
        json!({ "follow": "nothing" }),
        json!({ "follow": { "kind": "done" } }),
        json!({ "follow": { "kind": "done", "outputs": { "token": "s3cret-value" } } }),
        json!({ "follow": { "kind": "already-done" } }),
        json!({ "follow": { "kind": "failed", "message": "no s3cret-value" } }),
        json!({ "follow": { "kind": "failed", "message": "full", "class": "quota", "exit_code": 3 } }),
        json!({ "follow": { "kind": "failed", "message": "full", "class": "boredom" } }),
        json!({ "follow": { "kind": "ask", "message": "go on?" } }),
        json!({ "follow": { "kind": "cancelled" } }),
        json!({ "follow": { "error": { "code": -32000, "message": "no line", "data": { "class": "connection" } } } }),
        json!({ "follow": { "error": { "code": -32601, "message": "no follow" } } }),
    ] {
        let mut stage = Stage::with_secret("token", "s3cret-value");
        stage.cx.env = vec![("TOKEN".to_owned(), "s3cret-value".to_owned())];
        let outcome = stage.play(&*moody.moody, &with).await;
        told +=
            &[&with.to_string(), "\n  ", &outcome, "\n  calls: ", &moody.calls(), "\n"].concat();
    }
    insta::assert_snapshot!("misbehaviour", told);
}

#[tokio::test]
async fn a_cancelled_follow_is_ended() {
    let moody = Moody::new(long()).await;
    let stage = Stage::new();
    let with = json!({ "follow": "hang" });
    let handle = moody.moody.start(&with, &stage.cx).await.expect("it starts");
    let hangs = moody.plugins.path().join("hangs");
    let (told, cancelled) = tokio::join!(stage.follow(&*moody.moody, &handle, &with), async {
        while fs::read_to_string(&hangs).unwrap_or_default().is_empty() {
            tokio::task::yield_now().await;
        }
        moody.moody.cancel(Some(&handle), &with, &stage.cx).await
    });
    assert_eq!((told.as_str(), cancelled), ("cancelled", Ok(())));
    assert!(is_gone(&fs::read_to_string(&hangs).expect("it wrote its number")).await);
    assert_eq!(moody.calls(), "start follow cancel");

    let with = json!({ "cancel": "crash" });
    let error = moody.moody.cancel(None, &with, &stage.cx).await.expect_err("it crashes");
    assert_eq!(
        error.message,
        "`moody` ended with code 1 without an answer to `cancel`; it said: Traceback: the token is s3cret-value"
    );
}

#[tokio::test]
async fn a_follow_goes_on_after_a_restart() {
    let moody = Moody::new(long()).await;
    let mut stage = Stage::new();
    stage.cx.env = vec![("TOKEN".to_owned(), "four".to_owned())];
    let with = json!({});
    let handle = moody.moody.start(&with, &stage.cx).await.expect("it starts");
    // Another engine: all it has is the handle and the folder of plugins.
    let (types, _) = external_within(moody.plugins.path(), long()).await;
    let told = stage.follow(&*types[0], &Handle(handle.0), &with).await;
    assert!(
        told.starts_with(r#"done {"argv":1,"env":4,"folder":true,"handle":"h-7/12/1""#),
        "{told}"
    );
    assert_eq!(stage.log.text().lines().count(), 3);

    stage.cx.run_as = Some("nobody".to_owned());
    assert_eq!(
        stage.play(&*types[0], &with).await,
        "not begun, definition: `moody` works as Weir's own user and can't change to another: take `run-as` away"
    );
}

#[tokio::test]
async fn a_late_start_leaves_the_outcome_unknown() {
    let moody = Moody::new(short()).await;
    let stage = Stage::new();
    let with = json!({ "start": "hang" });
    assert_eq!(
        stage.play(&*moody.moody, &with).await,
        "failed, unknown-outcome: `moody` did not answer `start` within 1s"
    );
}
