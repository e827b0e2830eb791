//! Hosts by page and by REST: which there are, and what is found when somebody looks.

use serde_json::{Value, json};
use weir_tests::{Lab, Stage};

const FLOW: &str = "name: one\njobs: { a: { uses: noop } }\n";

#[test]
fn a_host_that_is_not_reached_says_why_and_what_opens_it_is_told_to_nobody() {
    let stage = Stage::new();
    stage.write(
        "flows/web/project.yaml",
        "name: web\nsecrets: [opens]\nknown-hosts: accept-new\nhosts:\n  gate: { address: 127.0.0.1, port: 1, user: ops, password: { secret: opens }, labels: { role: gate } }\n  shut: { address: 127.0.0.1, user: ops, password: { secret: opens }, via: [gate] }\n",
    );
    stage.write("flows/web/one.flow.yaml", FLOW);
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let page = admin.get("/hosts").body;
    assert!(page.contains("ops@127.0.0.1:1") && page.contains("nobody has looked"), "{page}");
    // The secret is not there yet.
    assert_eq!(admin.post("/hosts/web/look", "host=gate").status, 303);
    assert!(admin.get("/hosts/web/gate").body.contains("`opens`, the password of host `gate`"));
    assert_eq!(stage.weir_reads(&["secret", "set", "opens"], "hunter2hunter2").code, 0);
    let sent = admin.post("/hosts/web/look", "back=%2Fhosts");
    assert_eq!((sent.status, sent.header("location")), (303, Some("/hosts")));
    let list = admin.get("/api/v1/hosts?project=web");
    let hosts = list.json()["items"].as_array().expect("a list").clone();
    for host in &hosts {
        assert_eq!(host["looked"]["is_reached"], false, "{host}");
        assert_eq!(host["looked"]["hops"], json!([{ "name": "gate", "ms": null }]), "{host}");
        assert!(host["looked"]["error"].as_str().expect("why").contains("refused"), "{host}");
    }
    assert_eq!(hosts[1]["through"], json!(["gate"]));
    let page = admin.get("/hosts/web/shut").body;
    assert!(page.contains("not reached") && !page.contains("hunter2"), "{page}");
    assert!(!list.body.contains("hunter2"), "{}", list.body);
    assert_eq!(admin.get("/hosts/web/none").status, 404);
    assert_eq!(admin.post("/hosts/web/look", "host=none").status, 404);
    let projects = admin.get("/api/v1/projects").json();
    assert_eq!(
        projects["items"],
        json!([{ "project": "web", "flows": 1, "hosts": 2, "role": "admin" }])
    );
    let nodes = admin.get("/api/v1/nodes").json();
    assert_eq!(nodes["items"][0]["is_well"], true, "{nodes}");
    site.stop();
    stage.verify();
}

#[test]
fn hosts_of_the_lab_are_reached_machine_by_machine_and_say_what_they_are() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = lab.stage();
    let known = std::fs::read_to_string(lab.known_hosts()).expect("`up` has written it");
    stage.write("flows/lab/known_hosts", known);
    stage.write(
        "flows/lab/project.yaml",
        format!(
            "name: lab\nknown-hosts: known_hosts\nhost-defaults: {{ user: ubuntu, key: {} }}\nhosts:\n  jumpbox: {{ address: 10.50.0.5 }}\n  master1: {{ address: 10.2.14.11, via: [jumpbox], labels: {{ role: master }} }}\n",
            lab.key().display()
        ),
    );
    stage.write("flows/lab/one.flow.yaml", FLOW);
    let site = stage.site(&["flows"]);
    let token = stage.weir(&["token", "add", "ops", "--role", "operator"]).out;
    let header = format!("Authorization: Bearer {}", token.trim());
    let ask = |method: &str, path: &str| -> Value {
        let mut curl = lab.operator("curl");
        curl.args(["-s", "-X", method, "-H", &header]);
        let output = curl.arg(format!("http://{}/api/v1{path}", site.address)).output();
        let said = output.expect("curl is here").stdout;
        serde_json::from_slice(&said)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said)))
    };
    assert_eq!(ask("GET", "/hosts/lab/master1")["host"]["looked"], Value::Null);
    let looked = ask("POST", "/hosts/lab/master1/look")["host"]["looked"].clone();
    assert_eq!(looked["is_reached"], true, "{looked}");
    let hops = looked["hops"].as_array().expect("a list");
    assert!(hops.iter().all(|hop| hop["ms"].is_u64()) && hops.len() == 2, "{looked}");
    assert!(
        looked["facts"]["cores"].is_u64() && looked["facts"]["hostname"].is_string(),
        "{looked}"
    );
    assert_eq!(ask("GET", "/hosts/lab/master1")["host"]["looked"], looked);
    assert_eq!(ask("GET", "/nodes")["status"], 403);
    site.stop();
}
