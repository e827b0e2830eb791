//! Pages over TLS: the certificate and its change, cookies, whose address counts behind a proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use weir_tests::http::form;
use weir_tests::{Ended, PASSWORD, Site, Stage, until};

/// An authority and what it signs, in a folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let certificate = params.self_signed(&key).expect("signed");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("written");
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned() }
    }

    /// Writes `weir.pem` and `weir.key` for a name; how the certificate is written as text.
    pub(crate) fn sign(&self, name: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "a server of the tests");
        let text = params.signed_by(&key, &self.issuer).expect("signed").pem();
        std::fs::write(self.folder.join("weir.key"), key.serialize_pem()).expect("written");
        std::fs::write(self.folder.join("weir.pem"), &text).expect("written");
        text
    }
}

fn with_tls(stage: &Stage) -> (Authority, Site) {
    let authority = Authority::new(stage.path());
    authority.sign("127.0.0.1");
    let more = ["--tls-cert", "weir.pem", "--tls-key", "weir.key"];
    let site = stage.site_with("127.0.0.1:0", &[], &more);
    (authority, site)
}

fn curl(stage: &Stage, args: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-i", "--max-time", "30", "--cacert"]).arg(stage.path().join("ca.pem"));
    curl.args(args).output().expect("curl is here: see scripts/install-test-needs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The certificate that is shown to whoever comes, if somebody is there.
fn shown(address: SocketAddr) -> Option<String> {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address.to_string()]).stdin(std::process::Stdio::null());
    let output = openssl.output().expect("openssl is here: see scripts/install-test-needs");
    let text = told(&output);
    let from = text.find("-----BEGIN CERTIFICATE-----")?;
    let to = text.find("-----END CERTIFICATE-----")?;
    Some(text[from..to].to_owned())
}

#[test]
fn pages_and_the_command_line_speak_tls() {
    let stage = Stage::new();
    let (_authority, site) = with_tls(&stage);
    let url = format!("https://{}", site.address);
    let word = site.one_time.clone().expect("the first start");
    let login = form(&[("name", "admin"), ("password", &word)]);
    let answer = told(&curl(&stage, &["-d", &login, &format!("{url}/login")]));
    let cookie = answer.lines().find(|line| line.contains("weir_session")).expect("a cookie");
    assert!(cookie.contains("__Host-weir_session=") && cookie.contains("; Secure"), "{cookie}");
    assert!(!answer.to_lowercase().contains("strict-transport-security"), "{answer}");
    let pair = cookie.split_once(": ").expect("a header").1.split(';').next().unwrap_or_default();
    let page = told(&curl(&stage, &["-H", &format!("Cookie: {pair}"), &format!("{url}/password")]));
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    // The name that pages without TLS use counts for nothing here.
    let plain = pair.replace("__Host-", "");
    let page =
        told(&curl(&stage, &["-H", &format!("Cookie: {plain}"), &format!("{url}/password")]));
    assert!(page.starts_with("HTTP/1.1 303"), "{page}");

    let token = stage.weir(&["token", "add", "ci", "--role", "viewer"]).out.trim().to_owned();
    let ask = |authority: Option<&str>| {
        let mut command = stage.command(&["runs", "--json"]);
        command.env("WEIR_URL", &url).env("WEIR_TOKEN", &token);
        if let Some(file) = authority {
            command.env("SSL_CERT_FILE", stage.path().join(file));
        }
        Ended::of(command, None)
    };
    let runs = ask(Some("ca.pem"));
    assert_eq!((runs.code, runs.out.as_str()), (0, "[]\n"), "{}", runs.err);
    let other = stage.path().join("other");
    std::fs::create_dir(&other).expect("made");
    Authority::new(&other);
    let refused = ask(Some("other/ca.pem"));
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("does not prove who it is"), "{}", refused.err);

    // Who speaks plainly is told so.
    let mut plain = TcpStream::connect(site.address).expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n").expect("sent");
    plain.shutdown(std::net::Shutdown::Write).expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https"), "{answer}");
    let mut command = stage.command(&["runs"]);
    command.env("WEIR_URL", format!("http://{}", site.address)).env("WEIR_TOKEN", &token);
    let ended = Ended::of(command, None);
    assert!(ended.err.contains("is no Weir server"), "{}", ended.err);
    site.stop();
}

/// Whether they are the same but for line ends.
fn same(pem: &str, shown: &str) -> bool {
    pem.replace('\r', "").contains(shown)
}

#[test]
fn a_certificate_is_replaced_while_pages_are_served() {
    let stage = Stage::new();
    let (authority, site) = with_tls(&stage);
    // From its first moment on.
    site.process().signal(Signal::HUP);
    let first = shown(site.address).expect("it lives");
    let second = authority.sign("127.0.0.1");
    assert!(!same(&second, &first));
    site.process().signal(Signal::HUP);
    until("the second is shown", || same(&second, &shown(site.address)?).then_some(()));
    // One that can't be used changes nothing, and is told of.
    std::fs::write(stage.path().join("weir.pem"), "nonsense").expect("written");
    site.process().signal(Signal::HUP);
    until("it is told", || {
        stage.read("serve.log").contains("the certificate stays as it is").then_some(())
    });
    assert!(same(&second, &shown(site.address).expect("it lives")));
    // Without a signal, too.
    let third = authority.sign("127.0.0.1");
    until("the third is shown", || same(&third, &shown(site.address)?).then_some(()));
    site.stop();
}

#[test]
fn what_is_no_certificate_is_refused() {
    let stage = Stage::new();
    let authority = Authority::new(stage.path());
    authority.sign("127.0.0.1");
    std::fs::rename(stage.path().join("weir.key"), stage.path().join("other.key")).expect("moved");
    authority.sign("127.0.0.1");
    for (certificate, key, words) in [
        ("nowhere.pem", "weir.key", "nowhere.pem can't be read as a certificate"),
        ("weir.key", "weir.key", "weir.key can't be read as a certificate"),
        ("weir.pem", "weir.pem", "weir.pem can't be read as a key"),
        ("weir.pem", "other.key", "can't be used with the key in other.key"),
    ] {
        let args =
            ["serve", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
        let ended = stage.weir(&args);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(words) && ended.err.contains("help:"), "{}", ended.err);
        assert!(!ended.err.contains("MII"), "{}", ended.err);
    }
    let alone = stage.weir(&["serve", "--tls-cert", "weir.pem"]);
    assert_eq!(alone.code, 2);
    assert!(alone.err.contains("--tls-key"), "{}", alone.err);
    let open = stage.weir(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.code, 2);
    assert!(open.err.contains("--tls-cert"), "{}", open.err);
}

#[test]
fn addresses_that_are_forwarded_count_from_named_proxies_only() {
    for (proxy, expected) in [(None, "127.0.0.1"), (Some("127.0.0.1"), "203.0.113.9")] {
        let stage = Stage::new();
        let more: Vec<&str> = proxy.into_iter().flat_map(|proxy| ["--proxy", proxy]).collect();
        let site = stage.site_with("127.0.0.1:0", &[], &more);
        let admin = site.admin();
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", "198.51.100.1, 203.0.113.9"),
            ("X-Forwarded-Proto", "https"),
        ];
        let login = form(&[("name", "admin"), ("password", PASSWORD)]);
        let answer = site.stranger().send("POST", "/login", &headers, &login);
        assert_eq!(answer.status, 303, "{}", answer.body);
        let cookie = answer.header("set-cookie").unwrap_or_default();
        assert_eq!(cookie.contains("__Host-"), proxy.is_some(), "{cookie}");
        let audit = admin.get("/audit").body;
        assert_eq!(audit.contains("203.0.113.9"), proxy.is_some(), "{audit}");
        assert!(audit.contains(expected) && !audit.contains("198.51.100.1"), "{audit}");
        site.stop();
    }
    let stage = Stage::new();
    let ended = stage.weir(&["serve", "--proxy", "somewhere"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("10.0.0.0/24"), "{}", ended.err);
}
