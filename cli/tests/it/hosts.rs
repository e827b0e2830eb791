//! `weir hosts`: the inventory, and what is made of other people's.

use insta::assert_snapshot;

use crate::stage::Stage;

const PROJECT: &str = "\
name: tap
secrets: [vcap, sudo_word]
host-defaults: { user: ubuntu, via: [jumpbox] }
hosts:
  jumpbox: { address: 10.50.0.5, key: keys/tap, labels: { role: jump } }
  master1: { address: 10.2.14.11, user: ec2-user, become: root, labels: { role: namenode, zone: a }, vars: { myid: 1 } }
  slave1: { address: 10.2.14.21, labels: { role: datanode, zone: a } }
  slave2: { address: 10.2.14.22, port: 2222, labels: { role: datanode, zone: b } }
  broker: { address: 'fd00::31', port: 2222, user: vcap, password: { secret: vcap } }
  inner: { address: 10.2.14.29, via: [{ host: jumpbox, become: root, key-on-hop: /root/.ssh/id_rsa }] }
";

fn stage() -> Stage {
    let stage = Stage::new();
    stage.file("project.yaml", PROJECT);
    stage
}

#[test]
fn hosts_are_listed_and_selected() {
    let stage = stage();
    assert_snapshot!("list", stage.weir("hosts list").told());
    assert_snapshot!("list_selected", stage.weir("hosts list role=datanode,zone!=b").told());
    let json = stage.weir("hosts list master1 --json").json();
    assert_snapshot!("list_json", format!("{json:#}"));
    std::fs::create_dir_all(stage.path("flows/deep")).expect("made");
    assert_eq!(stage.weir("hosts list --dir flows/deep").out, stage.weir("hosts list").out);
    for (args, name) in [
        ("hosts list mastr1", "unknown"),
        ("hosts list role=x", "none"),
        ("hosts list role=", "form"),
        ("hosts check nobody", "check_unknown"),
        ("hosts facts role=datanode,zone=a", "facts_of_labels"),
    ] {
        assert_snapshot!(format!("list_{name}"), stage.weir(args).told());
    }
}

#[test]
fn a_project_that_is_wrong_or_missing_is_told_of() {
    let stage = Stage::new();
    assert_snapshot!("no_project", stage.weir("hosts list").told());
    stage.file("project.yaml", "name: p\nhosts: { a: { adress: x } }\n");
    assert_snapshot!("wrong_project", stage.weir("hosts list").told());
}

#[test]
fn a_secret_that_is_missing_is_told_of_before_anybody_is_called() {
    let stage = stage();
    let said = stage.weir("hosts check broker");
    assert_snapshot!("no_secret", said.told());
    assert_eq!(said.code, Some(1));
}

#[test]
fn what_was_written_on_a_host_can_be_read() {
    let stage = stage();
    assert_snapshot!("config_nothing", stage.weir("hosts config master1").told());
    let records = "home/hosts/tap/master1";
    let (old, new) = ("a".repeat(64), "b".repeat(64));
    stage.file(&format!("{records}/files/{old}"), "zk://10.0.0.1:2181/mesos\n");
    stage.file(&format!("{records}/files/{new}"), "zk://10.0.0.1:2181,10.0.0.2:2181/mesos\n");
    let change = |run: u32, before: &str, after: &str| {
        format!(
            "{{\"at\":\"2026-11-0{run}T10:00:00Z\",\"run\":{run},\"task\":\"conf[0]\",\"attempt\":1,\"by\":\"flow mesos\",\
             \"path\":\"/etc/mesos/zk\",\"owner\":\"root\",\"mode\":\"0644\",\"before\":{before},\"after\":{after}}}\n"
        )
    };
    let lines = change(1, "null", &format!("\"{old}\""))
        + &change(2, &format!("\"{old}\""), &format!("\"{new}\""))
        + "{\"at\":\"cut sho";
    stage.file(&format!("{records}/files.jsonl"), &lines);
    assert_snapshot!("config", stage.weir("hosts config master1").told());
    assert_snapshot!("config_of_file", stage.weir("hosts config master1 /etc/mesos/zk").told());
    assert_snapshot!("config_no_file", stage.weir("hosts config master1 /etc/hosts").told());
    let json = stage.weir("hosts config master1 -n 1 --json").json();
    assert_eq!(json["changes"][0]["run"], 2);
}

/// What is imported is a right project, and says so itself.
fn imported(stage: &Stage, name: &str, args: &str) {
    let said = stage.weir(args);
    assert_snapshot!(name, said.told());
    stage.file("made/project.yaml", &format!("name: made\n{}", said.out));
    let check = stage.weir("check made");
    assert_eq!(check.code, Some(0), "{}", check.told());
    assert_eq!(stage.weir("hosts list --dir made").code, Some(0));
    let json = stage.weir(&format!("{args} --json -q")).json();
    assert_eq!(
        json["hosts"].as_object().map(serde_json::Map::len),
        Some(said.out.lines().count() - 1)
    );
}

#[test]
fn an_inventory_of_ansible_in_ini_is_imported() {
    let stage = Stage::new();
    stage.file(
        "hosts.ini",
        "\
# a comment
lonely ansible_host=10.0.0.9
mail.example.org:2222

[web]
web[01:03] http_port=80 zone='rack one'
[web:vars]
ansible_user=deploy
ansible_ssh_common_args='-o ProxyJump=ops@bastion:2022'
[db]
db-[a:b] ansible_become=yes ansible_become_user=postgres ansible_ssh_private_key_file=~/.ssh/db
db-c ansible_host=10.0.0.33 ansible_password=hunter22 ansible_python_interpreter=/usr/bin/python3
bastion ansible_host=bastion ansible_port=2022 ansible_user=ops
[prod:children]
web
db
[prod:vars]
ansible_user=admin
dns={{ groups['x'] }}
[all:vars]
ntp=10.0.0.1
serial=007
",
    );
    imported(&stage, "import_ini", "hosts import hosts.ini");
    assert!(!stage.weir("hosts import hosts.ini").told().contains("hunter22"));
    stage.file("bad.ini", "[web]\nweb1 oops\n");
    assert_snapshot!("import_bad_ini", stage.weir("hosts import bad.ini").told());
    assert_snapshot!("import_missing", stage.weir("hosts import none.ini").told());
    stage.file("empty.ini", "# nothing\n");
    assert_snapshot!("import_empty", stage.weir("hosts import empty.ini").told());
}

#[test]
fn an_inventory_of_ansible_in_yaml_is_imported() {
    let stage = Stage::new();
    stage.file(
        "inventory.yml",
        "\
all:
  vars: { ansible_user: ubuntu }
  hosts:
    jump: { ansible_host: 10.50.0.5 }
  children:
    masters:
      vars:
        ansible_ssh_common_args: '-o ProxyCommand=\"ssh -W %h:%p -q ubuntu@10.50.0.5\"'
      hosts:
        master[1:2]: { ansible_become: true, dirs: [/data/1, /data/2] }
        master3: { ansible_host: 10.2.14.13, myid: 3, ansible_become: 'no' }
    slaves:
      hosts: { slave1: , }
      host: {}
",
    );
    imported(&stage, "import_yaml", "hosts import inventory.yml");
    stage.file("bad.yml", "all: [\n");
    assert_snapshot!("import_bad_yaml", stage.weir("hosts import bad.yml").told());
}

#[test]
fn an_openssh_config_is_imported() {
    let stage = Stage::new();
    stage.file(
        "ssh/config",
        "\
Include conf.d/*.conf missing
Host jump
    HostName 10.50.0.5
    User ubuntu
    IdentityFile ~/.ssh/tap
Host master* !master9
    ProxyJump jump
    User=ec2-user
    ServerAliveInterval 15
Host master1 master2
    HostName %h.tap.wyn
Host broker
    ProxyCommand ssh -W %h:%p -p 2222 vcap@gate
    Port 2022
Host direct
    ProxyJump none
Host *
    ProxyJump jump
    User nobody
",
    );
    stage.file("ssh/conf.d/one.conf", "Host extra\n  HostName 10.0.0.7\n  ForwardAgent yes\n");
    imported(&stage, "import_ssh", "hosts import ssh/config");
    stage.file("match", "Host a\n  User u\nMatch exec \"true\"\n  User v\n");
    assert_snapshot!("import_match", stage.weir("hosts import match").told());
}
