//! HDFS over HTTP where it misbehaves as the real one can't be made to: a stand-in that answers what it is told. What
//! the real one does is proven on the lab.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use weir_core::job_type::{JobType, PlanContext};
use weir_plugins::all;

use crate::stage::Stage;

/// A server whose answers a test makes up. It takes one connection after the other, and ends with the test.
struct StandIn {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What is answered: the status line's end, headers, body; or the line is closed without a word.
enum Say {
    Json(u16, Value),
    To(String),
    Raw(&'static str),
    HangUp,
}

impl StandIn {
    /// `answer` is given the request's line and how often something was asked before.
    fn start(mut answer: impl FnMut(&str, usize) -> Say + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        std::thread::spawn(move || {
            for line in listener.incoming() {
                let Ok(mut line) = line else { return };
                let Some(request) = read(&mut line) else { continue };
                let mut told = told.lock().expect("nobody panics with it");
                let said = answer(&request, told.len());
                told.push(request);
                // Whoever hung up meanwhile does not want it.
                let _gone = match said {
                    Say::Json(status, value) => {
                        let body = if value.is_null() { String::new() } else { value.to_string() };
                        write!(
                            line,
                            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        )
                    }
                    Say::To(url) => write!(
                        line,
                        "HTTP/1.1 307 x\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"
                    ),
                    Say::Raw(text) => line.write_all(text.as_bytes()),
                    Say::HangUp => Ok(()),
                };
            }
        });
        Self { address, asked }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }

    /// The methods and operations that were asked for.
    fn ops(&self) -> String {
        let asked = self.asked.lock().expect("nobody panics with it");
        let op = |line: &String| {
            let method = line.split(' ').next().unwrap_or_default();
            let op = line.split("op=").nth(1).unwrap_or("?").split(['&', ' ']).next();
            format!("{method} {}", op.unwrap_or_default())
        };
        asked.iter().map(op).collect::<Vec<_>>().join(", ")
    }
}

/// The request's line, after all of it was read.
fn read(line: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return head.lines().next().map(str::to_owned);
            }
        }
        match line.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(more) => bytes.extend_from_slice(&part[..more]),
        }
    }
}

fn job_type(name: &str) -> Arc<dyn JobType> {
    all().into_iter().find(|job_type| job_type.name() == name).expect("it ships")
}

async fn play(name: &str, with: Value) -> (String, String) {
    let stage = Stage::new();
    let told = stage.play(&*job_type(name), &with).await;
    (told, stage.log.text())
}

fn exception(name: &str, message: &str) -> Value {
    json!({ "RemoteException": { "exception": name, "javaClassName": format!("org.{name}"), "message": message } })
}

fn missing() -> Say {
    Say::Json(404, exception("FileNotFoundException", "File does not exist: /x"))
}

fn status(kind: &str, length: u64) -> Say {
    let status = json!({ "type": kind, "length": length, "owner": "hdfs", "group": "hadoop", "permission": "644", "blockSize": 1024 });
    Say::Json(200, json!({ "FileStatus": status }))
}

#[tokio::test]
async fn what_answers_true_or_false_is_believed_only_if_true() {
    let node = StandIn::start(|line, _| match line {
        _ if line.contains("GETFILESTATUS") => missing(),
        _ => Say::Json(200, json!({ "boolean": false })),
    });
    let (told, _) = play("hdfs.dir", json!({ "name-node": node.name(), "path": "/x" })).await;
    assert_eq!(told, "failed, exit: /x: HDFS did not make the folder, and does not say why");
    assert_eq!(node.ops(), "GET GETFILESTATUS, PUT MKDIRS");
}

#[tokio::test]
async fn a_standby_is_passed_over_and_what_is_refused_is_told_in_its_own_words() {
    let standby = StandIn::start(|_, _| {
        let words = "Operation category READ is not supported in state standby";
        Say::Json(403, exception("StandbyException", words))
    });
    let active = StandIn::start(|line, _| match line {
        _ if line.contains("GETFILESTATUS") => missing(),
        _ => Say::Json(
            403,
            exception(
                "SafeModeException",
                "Cannot create directory /x. Name node is in safe mode.\nThe end.",
            ),
        ),
    });
    let both = json!([standby.name(), active.name()]);
    let (told, log) = play("hdfs.dir", json!({ "name-node": both, "path": "/x" })).await;
    assert!(told.starts_with("failed, connection: /x: SafeModeException: Cannot create"), "{told}");
    // Where known failures are looked for.
    assert!(log.contains("Name node is in safe mode."), "{log}");
    let alone = json!({ "name-node": standby.name(), "path": "/x" });
    let (told, _) = play("hdfs.dir", alone.clone()).await;
    assert!(told.starts_with("failed, connection: /x: StandbyException: Operation"), "{told}");
    let stage = Stage::new();
    let cx = PlanContext {
        path: "job".to_owned(),
        working_dir: stage.cx.working_dir.clone(),
        env: Vec::new(),
        host: None,
    };
    let plan =
        job_type("hdfs.dir").plan(&alone, &cx).await.expect("a plan fails for nobody's absence");
    assert!(plan.unknown[0].starts_with("whether /x is there: StandbyException"), "{plan:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error_and_no_wait() {
    for (say, expected) in [
        (Say::Raw("HTTP/1.1 200 OK\r\n\r\n<html>"), "does not answer as a name node does"),
        (Say::Raw("SSH-2.0-OpenSSH_9\r\n\r\n"), "it does not answer in HTTP/1"),
        (Say::HangUp, "it closes the line without an HTTP answer"),
        (Say::Raw("HTTP/1.1 307 x\r\nContent-Length: 0\r\n\r\n"), "sends us on, but not where to"),
        (Say::To("https://127.0.0.1/".into()), "sends us on, to a page of https"),
        (Say::To("/webhdfs".into()), "sends us on, but to no URL"),
        (
            Say::Raw("HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\noops"),
            "it answers 500 and does not say why",
        ),
    ] {
        let mut say = Some(say);
        let node = StandIn::start(move |_, _| say.take().unwrap_or(Say::HangUp));
        let (told, _) = play("hdfs.dir", json!({ "name-node": node.name(), "path": "/x" })).await;
        assert!(told.starts_with("failed, ") && told.contains(expected), "{told}");
    }
    let around = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&around);
    let node = StandIn::start(move |_, _| Say::To(to.lock().expect("ours").clone()));
    *around.lock().expect("ours") = format!("http://{}/x", node.name());
    let (told, _) = play("hdfs.dir", json!({ "name-node": node.name(), "path": "/x" })).await;
    assert!(told.contains("sends us around in a circle"), "{told}");
}

/// A name node that sends files on to `data`, and then tells this checksum.
fn name_node(data: String, checksum: &'static str) -> StandIn {
    StandIn::start(move |line, _| match line {
        _ if line.contains("GETFILESTATUS") && line.contains(".weir-") => status("FILE", 5),
        _ if line.contains("GETFILESTATUS") && line.contains("/tmp?") => status("DIRECTORY", 0),
        _ if line.contains("GETFILESTATUS") => missing(),
        _ if line.contains("op=CREATE") => {
            Say::To(format!("http://{data}/webhdfs/v1/tmp/x?op=CREATE"))
        }
        _ if line.contains("GETFILECHECKSUM") => Say::Json(
            200,
            json!({ "FileChecksum": { "algorithm": "COMPOSITE-CRC32C", "bytes": checksum, "length": 4 } }),
        ),
        _ => Say::Json(200, json!({ "boolean": true })),
    })
}

#[tokio::test]
async fn a_file_that_did_not_arrive_whole_never_gets_its_name() {
    let with =
        |node: &StandIn| json!({ "name-node": node.name(), "path": "/tmp/x", "content": "hello" });
    // It arrives otherwise than it was sent.
    let data = StandIn::start(|_, _| Say::Json(201, Value::Null));
    let node = name_node(data.name(), "00000000");
    let (told, _) = play("hdfs.put", with(&node)).await;
    assert!(
        told.contains("failed, verify: /tmp/x: what has arrived is not what was sent"),
        "{told}"
    );
    assert!(node.ops().ends_with("GET GETFILECHECKSUM, DELETE DELETE"), "{}", node.ops());

    // The data node hangs up.
    let data = StandIn::start(|_, _| Say::HangUp);
    let node = name_node(data.name(), "9a71bb4c");
    let (told, _) = play("hdfs.put", with(&node)).await;
    assert!(told.starts_with("failed, connection: /tmp/x: 127.0.0.1:"), "{told}");
    assert!(node.ops().ends_with("PUT CREATE, DELETE DELETE"), "{}", node.ops());

    // It says no.
    let data =
        StandIn::start(|_, _| Say::Json(403, exception("DSQuotaExceededException", "too much")));
    let node = name_node(data.name(), "9a71bb4c");
    let (told, _) = play("hdfs.put", with(&node)).await;
    assert!(told.contains("failed, quota: /tmp/x: DSQuotaExceededException: too much"), "{told}");

    // CRC-32C of `hello`.
    let data = StandIn::start(|_, _| Say::Json(201, Value::Null));
    let node = name_node(data.name(), "9a71bb4c");
    let (told, log) = play("hdfs.put", with(&node)).await;
    assert!(told.starts_with("done "), "{told}");
    assert!(log.contains("its checksum is as it should be"), "{log}");
    assert!(node.ops().ends_with("GET GETFILECHECKSUM, PUT RENAME"), "{}", node.ops());
}

#[tokio::test]
async fn a_data_node_that_is_not_there_is_left_out() {
    let data = StandIn::start(|_, _| Say::Json(201, Value::Null));
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port");
    let name = data.name();
    let node = StandIn::start(move |line, _| match line {
        _ if line.contains("excludedatanodes=127.0.0.1%3A") => Say::To(format!("http://{name}/x")),
        _ if line.contains("op=CREATE") => Say::To(format!("http://{gone}/x")),
        _ if line.contains("GETFILESTATUS") && line.contains(".weir-") => status("FILE", 0),
        _ if line.contains("/tmp?") => status("DIRECTORY", 0),
        _ if line.contains("GETFILESTATUS") => missing(),
        _ => Say::Json(200, json!({ "boolean": true })),
    });
    let (told, _) =
        play("hdfs.put", json!({ "name-node": node.name(), "path": "/tmp/x", "content": "" }))
            .await;
    assert!(told.starts_with("done "), "{told} {}", node.ops());
}

#[tokio::test]
async fn safe_mode_is_waited_for_also_while_the_name_node_starts() {
    let bean = |bean: Value| Say::Json(200, json!({ "beans": [bean] }));
    let node = StandIn::start(move |line, asked| match line {
        _ if asked < 2 => Say::Json(200, json!({ "beans": [] })),
        _ if line.contains("NameNodeStatus") => bean(json!({ "State": "active" })),
        _ if line.contains("NameNodeInfo") && asked < 6 => {
            bean(json!({ "Safemode": "Safe mode is ON. The reported blocks 0 needs 4.\nMore." }))
        }
        _ if line.contains("NameNodeInfo") => bean(json!({ "Safemode": "" })),
        _ => bean(json!({ "NumLiveDataNodes": 1 })),
    });
    let with = json!({ "name-node": node.name(), "within": "1m" });
    let (told, log) = play("hdfs.safemode", with).await;
    assert_eq!(told, format!(r#"done {{"name_node":"{}","safemode":"off"}}"#, node.name()));
    assert!(log.contains("is starting: it does not tell its NameNodeStatus yet"), "{log}");
    assert!(
        log.contains(
            "is in safe mode with 1 live data nodes and 0 missing blocks: Safe mode is ON."
        ),
        "{log}"
    );
    let (told, _) = play("hdfs.report", json!({ "name-node": node.name(), "live-nodes": 2 })).await;
    assert_eq!(told, "failed, verify: 1 of 2 data nodes are live");
    let (told, _) =
        play("hdfs.safemode", json!({ "name-node": node.name(), "wait": "enter", "within": "2s" }))
            .await;
    assert!(
        told.starts_with("failed, timeout: ") && told.ends_with("is not in safe mode (after 2s)"),
        "{told}"
    );
}

#[tokio::test]
async fn bad_settings_are_told_with_what_would_be_right() {
    for (name, with, expected) in [
        (
            "hdfs.dir",
            json!({ "name-node": "http://a", "path": "/x" }),
            "wrong at `/name-node`: `http://a` is no server",
        ),
        (
            "hdfs.dir",
            json!({ "name-node": "a", "path": ["x"] }),
            "wrong at `/path`: `x` is no path of HDFS",
        ),
        (
            "hdfs.dir",
            json!({ "name-node": "a", "path": "/x", "mode": 755 }),
            "wrong at `/mode`: a mode is a text",
        ),
        (
            "hdfs.put",
            json!({ "name-node": "a", "path": "/x" }),
            "it does not say what is to stand in the file",
        ),
        (
            "hdfs.put",
            json!({ "name-node": "a", "path": "/x/../y", "content": "" }),
            "is no path of HDFS",
        ),
        (
            "hdfs.put",
            json!({ "name-node": "a", "path": "/x", "source": "/y", "on-host": true }),
            "on which host",
        ),
        (
            "hdfs.format",
            json!({ "hosts": "a", "dirs": "/a,/b" }),
            "`/a,/b` is no folder from the root on",
        ),
        (
            "hdfs.format",
            json!({ "hosts": "a", "cluster-id": "-force" }),
            "`-force` is no cluster's name",
        ),
        (
            "hdfs.standby",
            json!({ "hosts": "a", "name-node": "hdfs://a:8020" }),
            "wrong at `/name-node`: `hdfs://a:8020` is no server",
        ),
        (
            "hdfs.standby",
            json!({ "hosts": "a", "name-node": "a", "dirs": ["a"] }),
            "`a` is no folder from the root on",
        ),
        (
            "hdfs.active",
            json!({ "hosts": "a", "name-node": "--forceactive" }),
            "`--forceactive` is no name of a name node",
        ),
    ] {
        let (told, _) = play(name, with).await;
        assert!(told.contains(expected), "{name}: {told}");
    }
    for name in ["hdfs.format", "hdfs.standby"] {
        let format = job_type(name);
        assert_eq!(format.destroys_by(&json!({ "reformat": false })), None);
        for reformat in [json!(true), json!("{{ params.reformat }}")] {
            assert_eq!(format.destroys_by(&json!({ "reformat": reformat })), Some("reformat"));
        }
    }
}
