//! Logging in by a provider of OIDC: who is let in, and every lie that is not believed.

use serde_json::json;
use weir_core::secret::Secret;
use weir_tests::http::{self, Answer, encoded};
use weir_tests::provider::{Lie, Provider};
use weir_tests::{Site, Stage, Visitor};

use crate::secrets::{files, leaks_of};

const SECRET: &str = "the client's s3cret: /+&";

/// A provider, and a stage whose settings name it.
fn provider(stage: &Stage, secret: Option<&str>) -> Provider {
    let provider = Provider::start(stage.path().to_owned(), secret);
    let line = if let Some(secret) = secret {
        stage.weir_reads(&["secret", "set", "sso"], secret).good();
        "  secret: { secret: sso }\n"
    } else {
        ""
    };
    let text = format!(
        "oidc:
  title: Login of the tests
  issuer: {}
  client: {}
{line}  timeout: 1s
  roles:
    - {{ group: ops, role: operator, project: tap }}
    - {{ group: admins, role: admin }}
",
        provider.issuer(),
        Provider::CLIENT
    );
    stage.write("login.yaml", text);
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write("flows/tap/hello.flow.yaml", "name: hello\njobs: { a: { uses: noop } }\n");
    provider.person(json!({ "sub": "1001", "preferred_username": "anna", "groups": ["ops"] }));
    provider
}

fn site(stage: &Stage) -> Site {
    stage.site_with("127.0.0.1:0", &["flows"], &["--login", "login.yaml"])
}

/// The path of an address at a host, with what is behind it.
fn path_of(address: &str, host: impl std::fmt::Display) -> String {
    let path = address.strip_prefix(&format!("http://{host}"));
    path.unwrap_or_else(|| panic!("{address} is not at {host}")).to_owned()
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pairs = set.filter_map(|(_, value)| value.split(';').next()).map(str::to_owned);
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

/// The way there: where the browser is sent back to, and the cookie it keeps.
fn there(site: &Site, provider: &Provider, to: &str) -> (String, String) {
    let begun = site.stranger().get(&format!("/login/oidc?to={}", encoded(to)));
    assert_eq!(begun.status, 303, "{}", begun.body);
    let question = path_of(begun.header("location").expect("a place"), provider.address());
    let answer = http::send(provider.address(), "GET", &question, &[], "");
    assert_eq!(answer.status, 302, "{}", answer.body);
    let back = path_of(answer.header("location").expect("a place"), site.address);
    (back, cookies(&begun))
}

fn come_back(site: &Site, back: &str, cookie: &str) -> Answer {
    // As a browser that comes from another site.
    let headers = [("Cookie", cookie), ("Sec-Fetch-Site", "cross-site")];
    http::send(site.address, "GET", back, &headers, "")
}

fn log_in(site: &Site, provider: &Provider) -> Answer {
    let (back, cookie) = there(site, provider, "/runs?x=1");
    come_back(site, &back, &cookie)
}

fn visitor(site: &Site, answer: &Answer) -> Visitor {
    assert_eq!(answer.status, 303, "{}", answer.body);
    site.visitor(&cookies(answer))
}

#[test]
fn people_of_a_provider_log_in_and_may_do_what_their_groups_may() {
    let stage = Stage::new();
    let provider = provider(&stage, Some(SECRET));
    let site = site(&stage);
    let admin = site.admin();
    let page = site.stranger().get("/login?to=/runs").body;
    assert!(page.contains("href=\"/login/oidc?to=/runs\"") && page.contains("Login of the tests"));
    let answer = log_in(&site, &provider);
    assert_eq!(answer.header("location"), Some("/runs?x=1"));
    let anna = visitor(&site, &answer);
    assert_eq!(anna.get("/flows/tap/hello/run").status, 200);
    assert_eq!(anna.get("/users").status, 403);
    assert_eq!(stage.weir(&["user", "list"]).out, "admin\tadmin\nanna\ttap:operator by oidc\n");
    // What she may do is what her groups may when she logs in.
    provider.person(json!({ "sub": "1001", "preferred_username": "anna", "groups": "admins" }));
    assert_eq!(visitor(&site, &log_in(&site, &provider)).get("/users").status, 200);
    // Another name, the same person.
    provider.person(json!({ "sub": "1001", "preferred_username": "anna2", "groups": ["ops"] }));
    visitor(&site, &log_in(&site, &provider));
    assert_eq!(stage.weir(&["user", "list"]).out, "admin\tadmin\nanna\ttap:operator by oidc\n");
    for (claims, words) in [
        // The same name, another person; a name that is ours; no group; no name.
        (
            json!({ "sub": "2", "preferred_username": "anna", "groups": ["admins"] }),
            "has this name",
        ),
        (
            json!({ "sub": "3", "preferred_username": "admin", "groups": ["admins"] }),
            "has this name",
        ),
        (json!({ "sub": "4", "preferred_username": "a b", "groups": ["admins"] }), "has signs"),
        (json!({ "sub": "5", "preferred_username": "ben" }), "none of your groups"),
        (json!({ "sub": "6", "groups": ["admins"] }), "preferred_username"),
    ] {
        provider.person(claims);
        let answer = log_in(&site, &provider);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
    }
    // Who has lost their last role loses their sessions as soon as that is known.
    assert_eq!(anna.get("/flows").status, 200);
    provider.person(json!({ "sub": "1001", "preferred_username": "anna" }));
    assert_eq!(log_in(&site, &provider).status, 403);
    assert_eq!(anna.get("/flows").status, 303);
    // Nobody logs in so with a password.
    assert!(site.log_in("anna", "").is_none());
    let audit = admin.get("/audit").body;
    for words in ["by OIDC", "person.gone", "tap: operator"] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    site.stop();
    let kept = [Secret::new("sso", SECRET)];
    let mut texts = vec![("serve.log".to_owned(), stage.read("serve.log").into_bytes())];
    for file in files(&stage.home()) {
        texts.push((file.display().to_string(), std::fs::read(&file).unwrap_or_default()));
    }
    let found = leaks_of(&kept, texts);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_lie_of_a_provider_lets_anybody_in() {
    let stage = Stage::new();
    let provider = provider(&stage, Some(SECRET));
    let site = site(&stage);
    let doubtful = "can&#39;t be believed";
    // Which lie was seen through stands below.
    for (lie, status, words, why) in [
        (Lie::OtherNonce, 403, doubtful, "nonce"),
        (Lie::NoNonce, 403, doubtful, "nonce"),
        (Lie::Expired, 403, doubtful, "Expired"),
        (Lie::OtherAudience, 403, doubtful, "`somebody else`"),
        (Lie::MoreAudience, 403, doubtful, "is not a trusted audience"),
        (Lie::OtherIssuer, 403, doubtful, "issuer"),
        (Lie::NoSignature, 403, doubtful, "No signature found"),
        (Lie::PublicSecret, 403, doubtful, "Disallowed signature algorithm"),
        (Lie::Changed, 403, doubtful, "Signature verification failed: Crypto error"),
        (Lie::OtherKey, 403, doubtful, "Signature verification failed: Crypto error"),
        (Lie::NoToken, 403, doubtful, "no ID token"),
        (Lie::OtherSender, 403, doubtful, "https://evil.example sends them"),
        (Lie::Cancelled, 403, "has not let you in", "they pressed cancel"),
        (Lie::Slow, 503, "can&#39;t be reached just now", ""),
        (Lie::Broken, 403, doubtful, ""),
    ] {
        provider.lie(lie);
        let answer = log_in(&site, &provider);
        assert_eq!(answer.status, status, "{lie:?}: {}", answer.body);
        for words in [words, why] {
            let page = answer.body.replace("&quot;", "\"").replace("&#96;", "`");
            assert!(page.contains(words), "{lie:?}: {words}: {page}");
        }
        assert!(cookies(&answer).is_empty(), "{lie:?}: {:?}", answer.headers);
        // It helps: one can try again, or log in with a password.
        assert!(answer.body.contains("/login/oidc?to="), "{lie:?}");
    }
    assert_eq!(stage.weir(&["user", "list"]).out, "admin\tadmin\n");
    visitor(&site, &log_in(&site, &provider));
}

#[test]
fn a_provider_may_change_its_keys_at_any_time() {
    let stage = Stage::new();
    let provider = provider(&stage, None);
    let site = site(&stage);
    visitor(&site, &log_in(&site, &provider));
    provider.new_key();
    visitor(&site, &log_in(&site, &provider));
    provider.lie(Lie::OtherKey);
    assert_eq!(log_in(&site, &provider).status, 403);
}

#[test]
fn a_login_ends_in_the_browser_that_began_it_and_once() {
    let stage = Stage::new();
    let provider = provider(&stage, Some(SECRET));
    let site = site(&stage);
    let (back, cookie) = there(&site, &provider, "/");
    let (_, other) = there(&site, &provider, "/");
    // In a browser that did not begin it, or began another one.
    for cookie in ["a=b", &other] {
        let answer = come_back(&site, &back, cookie);
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains("began in another browser"), "{}", answer.body);
    }
    // A code that was made for somebody else's login.
    let (stolen, _) = there(&site, &provider, "/");
    let code = |back: &str| {
        let from = back.split_once("code=").expect("a code").1;
        from.split('&').next().unwrap_or_default().to_owned()
    };
    let mixed = back.replace(&code(&back), &code(&stolen));
    let answer = come_back(&site, &mixed, &cookie);
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(answer.body.contains("invalid_grant"), "{}", answer.body);
    visitor(&site, &come_back(&site, &back, &cookie));
    assert_eq!(come_back(&site, &back, &cookie).status, 403);
    // Nobody is sent to another site afterwards.
    let (back, cookie) = there(&site, &provider, "//evil.example/");
    assert_eq!(come_back(&site, &back, &cookie).header("location"), Some("/"));
}

#[test]
fn a_provider_out_of_reach_keeps_nobody_of_our_own_out() {
    let stage = Stage::new();
    let provider = provider(&stage, Some(SECRET));
    provider.silent(true);
    let site = site(&stage);
    drop(site.admin());
    let begun = site.stranger().get("/login/oidc");
    assert_eq!(begun.status, 503);
    assert!(begun.body.contains("can&#39;t be reached just now"), "{}", begun.body);
    let zh = site.stranger().send("GET", "/login/oidc", &[("Accept-Language", "zh")], "");
    assert!(zh.body.contains("目前无法连接登录服务"), "{}", zh.body);
    assert!(site.log_in("admin", weir_tests::PASSWORD).is_some());
    provider.silent(false);
    visitor(&site, &log_in(&site, &provider));
    site.stop();
    // Nobody vouches for her without the file; there is no way to such a login, either.
    let site = stage.site(&["flows"]);
    assert_eq!(site.stranger().get("/login/oidc").status, 404);
    assert!(!site.stranger().get("/login").body.contains("/login/oidc"));
}

#[test]
fn settings_of_a_provider_that_cannot_work_are_told_before_anything_is_served() {
    let stage = Stage::new();
    let right = "oidc:\n  issuer: https://sso.example.org\n  client: weir\n  secret: { secret: sso }\n  roles: [{ role: viewer }]\n";
    for (from, to, words) in [
        ("https:", "http:", "login.yaml:2:"),
        ("client: weir", "klient: weir", "`klient` is no key here"),
        ("{ secret: sso }", "hunter22", "login.yaml:4:"),
        ("", "", "there is no secret `sso`"),
    ] {
        stage.write("login.yaml", right.replacen(from, to, 1));
        let args = ["serve", "--listen", "127.0.0.1:0", "--login", "login.yaml"];
        let ended = stage.weir(&args);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(words), "{words}: {}", ended.err);
        assert!(!ended.err.contains("hunter22"), "{}", ended.err);
    }
}
