//! Logging in by a directory: a real `OpenLDAP`, with `StartTLS`, groups and an account that looks for people.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_core::secret::Secret;
use weir_tests::http::form;
use weir_tests::{Directory, Site, Stage, Visitor, until};

use crate::secrets::{files, leaks_of};
use crate::tls::Authority;

const ANNA: &str = "anna's pässword";

/// A directory with a few people, and a stage that knows its account's password.
fn directory(stage: &Stage) -> Directory {
    let folder = stage.path().join("ldap");
    std::fs::create_dir(&folder).expect("made");
    Authority::new(&folder).sign("127.0.0.1");
    let people = [("anna", ANNA), ("ben", "ben's password"), ("admin", "admin's password")];
    let groups: [(&str, &[&str]); 2] = [("ops", &["anna", "admin"]), ("choir", &["ben"])];
    let directory = Directory::start(&folder, &people, &groups);
    stage.weir_reads(&["secret", "set", "ldap"], Directory::SERVICE_PASSWORD).good();
    directory
}

const SEARCH: &str = "  search:
    bind: cn=weir,dc=example,dc=org
    password: { secret: ldap }
    base: ou=people,dc=example,dc=org
    filter: (uid={name})
";

/// The settings: `how` people are found, and `more`.
fn settings(stage: &Stage, url: &str, how: &str, more: &str) {
    let text = format!(
        "ldap:
  title: Directory of the tests
  url: {url}
  authority: ldap/ca.pem
{how}{more}  groups: {{ base: 'ou=groups,dc=example,dc=org', filter: '(member={{dn}})' }}
  roles:
    - {{ group: ops, role: operator, project: tap }}
    - {{ group: singers, role: viewer }}
"
    );
    stage.write("login.yaml", text);
}

fn site(stage: &Stage) -> Site {
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write("flows/tap/hello.flow.yaml", "name: hello\njobs: { a: { uses: noop } }\n");
    stage.site_with("127.0.0.1:0", &["flows"], &["--login", "login.yaml"])
}

/// Tries to log in: the status, and the page.
fn attempt(site: &Site, name: &str, password: &str) -> (u16, String) {
    attempt_in(site, "en", name, password)
}

fn attempt_in(site: &Site, lang: &str, name: &str, password: &str) -> (u16, String) {
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Accept-Language", lang)];
    let fields = form(&[("name", name), ("password", password)]);
    let answer = site.stranger().send("POST", "/login", &headers, &fields);
    (answer.status, answer.body)
}

/// Whether somebody who has logged in still is.
fn is_in(visitor: &Visitor) -> bool {
    visitor.get("/flows").status == 200
}

#[test]
fn people_of_a_directory_log_in_and_may_do_what_their_groups_may() {
    let stage = Stage::new();
    let directory = directory(&stage);
    settings(&stage, &directory.url(), SEARCH, "");
    let site = site(&stage);
    let admin = site.admin();
    assert!(site.stranger().get("/login").body.contains("Directory of the tests"));
    let anna = site.log_in("anna", ANNA).expect("the directory vouches for her");
    assert!(is_in(&anna));
    assert_eq!(anna.get("/flows/tap/hello/run").status, 200);
    assert_eq!(anna.get("/users").status, 403);
    // However the name is written, it is the same person.
    assert!(site.log_in("ANNA", ANNA).is_some());
    let users = stage.weir(&["user", "list"]).out;
    assert_eq!(users, "admin\tadmin\nanna\ttap:operator by ldap\n");

    for (name, password) in [
        ("anna", "wrong"),
        // To a directory this is a login as nobody in particular, and this one grants it.
        ("anna", ""),
        ("*", ANNA),
        ("anna)(uid=*", ANNA),
        ("uid=anna,ou=people,dc=example,dc=org", ANNA),
        ("nobody", "nothing"),
        ("", ""),
    ] {
        assert_eq!(attempt(&site, name, password).0, 401, "{name}");
        site.log_in("anna", ANNA).expect("this slows nobody down: she is right now and then");
    }
    let (status, page) = attempt(&site, "ben", "ben's password");
    assert_eq!(status, 403);
    assert!(page.contains("none of your groups has a role here"), "{page}");
    // Whose password is kept here is never asked for there.
    assert_eq!(attempt(&site, "admin", "admin's password").0, 401);
    let (status, page) = attempt(&site, "ADMIN", "admin's password");
    assert_eq!(status, 403);
    assert!(page.contains("Somebody else here has this name"), "{page}");

    // What a directory says can't be changed by hand, and pages tell where people come from.
    let page = admin.get("/users").body;
    assert!(page.contains("<span class=\"tag\">LDAP</span>"), "{page}");
    for fields in [
        form(&[("do", "role"), ("name", "anna"), ("role", "admin")]),
        form(&[("do", "reset"), ("name", "anna")]),
    ] {
        let answer = admin.post("/users", &fields);
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains("they log in by LDAP"), "{}", answer.body);
    }
    assert!(anna.get("/password").body.contains("Your password is not kept here"));
    assert_eq!(anna.post("/password", "old=a&new=b&again=b").status, 404);
    let audit = admin.get("/audit").body;
    for words in ["ldap: uid=anna,ou=people,dc=example,dc=org", "by LDAP", "tap: operator"] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    site.stop();

    let given = Secret::new("anna", ANNA);
    let kept = Secret::new("ldap", Directory::SERVICE_PASSWORD);
    let mut texts = vec![("serve.log".to_owned(), stage.read("serve.log").into_bytes())];
    for file in files(&stage.home()) {
        texts.push((file.display().to_string(), std::fs::read(&file).unwrap_or_default()));
    }
    let found = leaks_of(&[given, kept], texts);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_changes_in_the_directory_counts_here() {
    let stage = Stage::new();
    let directory = directory(&stage);
    settings(&stage, &directory.url(), SEARCH, "  check-every: 1ms\n");
    let site = site(&stage);
    let admin = site.admin();
    let anna = site.log_in("anna", ANNA).expect("she may");
    let member = |what: &str, group: &str| {
        directory.change(&format!(
            "dn: cn={group},ou=groups,dc=example,dc=org\nchangetype: modify\n{what}: member\n\
             member: uid=anna,ou=people,dc=example,dc=org\n"
        ));
    };
    // Another role, within the same session.
    directory.change(
        "dn: cn=singers,ou=groups,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\ncn: singers\n\
         member: uid=anna,ou=people,dc=example,dc=org\n",
    );
    member("delete", "ops");
    assert!(is_in(&anna));
    assert_eq!(anna.get("/flows/tap/hello/run").status, 403);
    assert_eq!(stage.weir(&["user", "list"]).out, "admin\tadmin\nanna\tviewer by ldap\n");
    // None at all.
    member("add", "choir");
    directory.change("dn: cn=singers,ou=groups,dc=example,dc=org\nchangetype: delete\n");
    assert!(!is_in(&anna));
    assert_eq!(attempt(&site, "anna", ANNA).0, 403);
    member("add", "ops");
    assert!(!is_in(&anna), "a session that has ended stays so");
    let anna = site.log_in("anna", ANNA).expect("she may again");
    assert!(is_in(&anna));
    // Gone.
    directory.change("dn: uid=anna,ou=people,dc=example,dc=org\nchangetype: delete\n");
    assert!(!is_in(&anna));
    assert_eq!(attempt(&site, "anna", ANNA).0, 401);
    let audit = admin.get("/audit").body;
    assert_eq!(audit.matches("<code>person.gone</code>").count(), 2, "{audit}");
    // With the last of them gone, the server does without the directory.
    assert!(is_in(&admin));
}

#[test]
fn who_is_removed_loses_sessions_when_somebody_tries_to_log_in_as_them() {
    let stage = Stage::new();
    let directory = directory(&stage);
    settings(&stage, &directory.url(), SEARCH, "  check-every: 1h\n");
    let site = site(&stage);
    let anna = site.log_in("anna", ANNA).expect("she may");
    directory.change("dn: uid=anna,ou=people,dc=example,dc=org\nchangetype: delete\n");
    assert!(is_in(&anna), "nobody has asked yet");
    assert_eq!(attempt(&site, "anna", ANNA).0, 401);
    assert!(!is_in(&anna));
}

#[test]
fn a_directory_out_of_reach_keeps_nobody_of_our_own_out() {
    let stage = Stage::new();
    let mut directory = directory(&stage);
    settings(&stage, &directory.url(), SEARCH, "  timeout: 500ms\n  check-every: 1ms\n");
    let site = site(&stage);
    drop(site.admin());
    let anna = site.log_in("anna", ANNA).expect("she may");
    let out = |why: &str| {
        for _ in 0..7 {
            let (status, page) = attempt(&site, "anna", ANNA);
            assert_eq!(status, 503, "{why}");
            assert!(page.contains("The directory can&#39;t be asked just now"), "{why}: {page}");
        }
        assert!(attempt_in(&site, "zh", "anna", ANNA).1.contains("目前无法查询目录服务"));
        assert!(site.log_in("admin", weir_tests::PASSWORD).is_some(), "{why}");
        assert!(is_in(&anna), "{why}");
    };
    // It takes lines and says nothing.
    directory.signal(Signal::STOP);
    let begun = Instant::now();
    assert_eq!(attempt(&site, "anna", ANNA).0, 503);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    out("it hangs");
    directory.signal(Signal::CONT);
    until("it answers again", || site.log_in("anna", ANNA));
    // Nobody listens.
    directory.end();
    out("it is gone");
    directory.begin();
    assert!(site.log_in("anna", ANNA).is_some());
    let log = stage.read("serve.log");
    assert!(log.contains("the directory Directory of the tests could not be asked"), "{log}");
    // Without the file that names the directory, nobody vouches for her.
    site.stop();
    let site = stage.site(&["flows"]);
    assert_eq!(attempt(&site, "anna", ANNA).0, 401);
}

#[test]
fn a_directory_must_prove_who_it_is_before_a_password_goes_there() {
    let stage = Stage::new();
    let directory = directory(&stage);
    let tries = |url: &str, more: &str| {
        settings(&stage, url, SEARCH, more);
        let site = site(&stage);
        let status = attempt(&site, "anna", ANNA).0;
        site.stop();
        status
    };
    assert_eq!(tries(&directory.url(), ""), 303);
    assert_eq!(tries(&directory.tls_url(), ""), 303);
    // The certificate names another host.
    assert_eq!(tries(&directory.url().replace("127.0.0.1", "localhost"), ""), 503);
    // This directory takes passwords over TLS only.
    assert_eq!(tries(&directory.url(), "  tls: false\n"), 503);
    let log = stage.read("serve.log");
    assert!(log.contains("13 "), "{log}");
    // Another authority.
    std::fs::remove_file(stage.path().join("ldap/ca.pem")).expect("removed");
    Authority::new(&stage.path().join("ldap"));
    assert_eq!(tries(&directory.url(), ""), 503);
    assert_eq!(tries(&directory.tls_url(), ""), 503);
    assert!(stage.read("serve.log").contains("invalid peer certificate"));
}

#[test]
fn where_everybody_is_known_nobody_needs_to_look() {
    let stage = Stage::new();
    let directory = directory(&stage);
    let person = "  person: 'uid={name},ou=people,dc=example,dc=org'\n";
    settings(&stage, &directory.url(), person, "");
    let site = site(&stage);
    let anna = site.log_in("anna", ANNA).expect("she may");
    assert_eq!(anna.get("/flows/tap/hello/run").status, 200);
    for name in ["anna,ou=people", "anna,ou=people,dc=example,dc=org", "nobody", "an\\na"] {
        assert_eq!(attempt(&site, name, ANNA).0, 401, "{name}");
        assert!(site.log_in("anna", ANNA).is_some());
    }
    assert_eq!(attempt(&site, "anna", "").0, 401);
}

#[test]
fn guessing_is_as_slow_as_with_passwords_of_our_own() {
    let stage = Stage::new();
    let directory = directory(&stage);
    settings(&stage, &directory.url(), SEARCH, "");
    let site = site(&stage);
    for (tried, name) in ["anna", "Anna", "ANNA", "anna", "aNNa"].into_iter().enumerate() {
        assert_eq!(attempt(&site, name, "a guess").0, 401, "{tried}");
    }
    assert_eq!(attempt(&site, "anna", ANNA).0, 429);
}

#[test]
fn settings_that_cannot_work_are_told_before_anything_is_served() {
    let stage = Stage::new();
    let folder = stage.path().join("ldap");
    std::fs::create_dir(&folder).expect("made");
    Authority::new(&folder);
    let serve = |words: &[&str]| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--login", "login.yaml"];
        let ended = stage.weir(&args);
        assert_eq!(ended.code, 2, "{}", ended.err);
        for words in words {
            assert!(ended.err.contains(words), "{words}: {}", ended.err);
        }
        assert!(ended.err.contains("help:"), "{}", ended.err);
    };
    serve(&["login.yaml can't be read"]);
    settings(&stage, "ldap://127.0.0.1", SEARCH, "");
    serve(&["there is no secret `ldap`", "weir secret set ldap"]);
    stage.weir_reads(&["secret", "set", "ldap"], Directory::SERVICE_PASSWORD).good();
    settings(&stage, "ldap://127.0.0.1", &SEARCH.replace("(uid={name})", "(uid={name}"), "");
    serve(&["`(uid={name}` is no filter"]);
    settings(&stage, "ldap://127.0.0.1", &SEARCH.replace("{ secret: ldap }", "hunter22"), "");
    serve(&["login.yaml:7:"]);
    assert!(!stage.weir(&["serve", "--login", "login.yaml"]).err.contains("hunter22"));
    settings(&stage, "ldap://127.0.0.1", SEARCH, "  starttls: yes\n");
    serve(&["`starttls` is no key here", "login.yaml:10:"]);
    let by_variable = SEARCH.replace("secret: ldap", "env: LDAP_WORD");
    settings(&stage, "ldap://127.0.0.1", &by_variable, "");
    serve(&["the variable LDAP_WORD is not set"]);
    std::fs::remove_file(folder.join("ca.pem")).expect("removed");
    settings(&stage, "ldap://127.0.0.1", SEARCH, "");
    serve(&["ldap/ca.pem can't be read as the authority"]);
}
