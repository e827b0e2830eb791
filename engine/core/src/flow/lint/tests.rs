//! What the linter warns of, and what it leaves alone.

use super::*;

/// The codes of what hurts in a script, with what is marked.
fn lint(source: &str) -> Vec<String> {
    let script = shell::read(source);
    let mut hurts = Vec::new();
    signs::in_script(&script, &mut hurts);
    signs::in_text(source, &mut hurts);
    commands::in_script(&script, &mut hurts);
    passwords::in_script(&script, &mut hurts);
    hurts
        .iter()
        .map(|hurt| {
            format!("{} [{}]", hurt.code.trim_start_matches("lint-"), &source[hurt.from..hurt.to])
        })
        .collect()
}

#[test]
fn what_wrecked_real_runs_is_warned_of() {
    for (script, expected) in [
        (
            "apt-get install ZooKeeperd & echo 1 | sudo dd of=/etc/myid",
            &["single-ampersand [&]", "interactive [apt-get install]"][..],
        ),
        (
            "export MASTER=zk:10.162.2.91:2181，10.162.2.92:2181/mesos",
            &["full-width [，]", "slashes [zk:10.162.2.91:2181]"],
        ),
        (
            "echo 'zk:10.162.2.91:2181，10.162.2.92:2181/mesos' >/etc/mesos/zk",
            &["full-width [，]", "slashes [zk:10.162.2.91:2181]"],
        ),
        ("hdfs dfs -ls hdfs:/10.162.2.92:9000/spark", &["slashes [hdfs:/10.162.2.92:9000]"]),
        ("go get -u sourcegraph.com/appdash/cmd/…", &["typographic […]"]),
        ("service Mesos－master start", &["full-width [－]"]),
        ("echo “done” | tee log", &[]),
        ("grep “done” log", &["typographic [“]", "typographic [”]"]),
        ("ls –la", &["typographic [–]"]),
        ("chmod 777 /var/run/openvswitch/db.sock", &["open-to-all [777]"]),
        ("chmod -R 0777 /data", &["open-to-all [0777]"]),
        ("sudo -u hdfs vi /etc/hosts", &["interactive [vi]"]),
        ("passwd hadoop", &["interactive [passwd]"]),
        ("adduser hadoop", &["interactive [adduser]"]),
        ("bosh delete deployment docker-broker", &["interactive [bosh delete]"]),
        ("mysql -u root -p devstack -h 127.0.0.1", &["interactive [mysql]"]),
        (
            "DEBIAN_FRONTEND=noninteractive sudo apt-get -q install x",
            &["interactive [apt-get -q install]"],
        ),
        ("rm -rf $DIR/cache", &["remove [$DIR/cache]"]),
        ("rm -rf \"${DIR}\"", &["remove [\"${DIR}\"]"]),
        ("rm -r /data/$NAME", &["remove [/data/$NAME]"]),
        ("rm -rf {{ params.dir }}/*", &["remove [{{ params.dir }}/*]"]),
        ("mysql -uroot -pgeheim -e 'show tables'", &["password [geheim]"]),
        ("export OS_PASSWORD=geheim", &["password [geheim]"]),
        ("tool --password=geheim", &["password [geheim]"]),
        ("git clone https://bob:geheim@example.org/x.git", &["password [geheim]"]),
        (
            "wget http://archive.apache.org/dist/hadoop-2.6.0.tar.gz",
            &["download [http://archive.apache.org/dist/hadoop-2.6.0.tar.gz]"],
        ),
        ("curl -fL https://example.org/x.deb -o x.deb", &["download [https://example.org/x.deb]"]),
        (
            "curl -fsSL https://example.org/install.sh | sudo sh",
            &["download [https://example.org/install.sh]"],
        ),
    ] {
        assert_eq!(lint(script), expected, "{script}");
    }
}

#[test]
fn what_is_right_is_left_alone() {
    for script in [
        "apt-get update && apt-get install -y zookeeperd",
        "apt-get -qy install x",
        "yes | apt-get install x",
        "yum -y install x",
        "server & pid=$!\nkill $pid",
        "a & b & wait",
        "a &\nb",
        "cmd >/dev/null 2>&1\ncmd &>log",
        "echo 完成，下一步",
        "echo \"完成，下一步：重启…\"",
        "# 注意，这里是注释…",
        "cat >f <<'EOF'\n“quoted”，text…\nvi x\nEOF\n",
        "chown hdfs:hdfs /data",
        "echo zk://10.162.2.91:2181,10.162.2.92:2181/mesos",
        "hdfs dfs -ls hdfs://nn:8020/x hdfs:///tmp",
        "chmod 1777 /tmp/x; chmod 755 x",
        "getent passwd hdfs; cat /etc/passwd",
        "passwd -l hadoop; echo \"$U:$P\" | chpasswd",
        "rm -rf \"${DIR:?}/cache\"",
        "tmp=$(mktemp -d)\nrm -rf \"$tmp\"",
        "for f in *.d; do rm -r \"$f\"; done",
        "rm -rf /srv/app/$NAME/cache",
        "rm -f $FILE",
        "mysql --defaults-file=/etc/mysql/debian.cnf -e 'select 1'",
        "mysql -uroot -p\"$PASSWORD\" -e 'select 1'",
        "export OS_PASSWORD=\"$SECRET\" TOKEN={{ secret('t') }}",
        "tool --password-file=/run/key --token \"$TOKEN\"",
        "curl -fsS https://example.org/health",
        "curl -s -o /dev/null -w '%{http_code}' https://example.org/",
        "curl -fO http://localhost:8080/x.tgz",
        "wget -q https://example.org/x.tgz\necho \"$SUM  x.tgz\" | sha256sum -c -",
        "echo vi /etc/hosts",
        "if ! test -f x; then touch x; fi",
        "printf '%s\\n' \"{{ params.a | join('&') }}\"",
        "for i in 1 2 3; do echo $i; done | more_lines",
        "awk '{ print $1 & $2 }' f",
    ] {
        assert_eq!(lint(script), [""; 0], "{script}");
    }
}

#[test]
fn any_text_is_read_without_fail() {
    for script in [
        "'",
        "\"",
        "$(",
        "${",
        "<<",
        "<<EOF",
        "\\",
        "{{",
        "{%",
        "`",
        "a\\",
        "&",
        "|",
        "<(",
        "$((",
        "#",
        "é\\é\"é",
    ] {
        lint(script);
    }
}
