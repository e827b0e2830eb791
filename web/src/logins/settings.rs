//! The file that `weir serve --login` names: from where people may log in, besides from here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use weir_core::mistake::{Mistake, Place, Severity};
use weir_core::schema::{Checker, Schema, Templates};
use weir_core::secret::Secret;
use weir_core::time::parse_span;
use weir_core::yaml::{self, Node, Source};
use weir_engine::engine::Handle;
use weir_engine::people::Role;

use super::grants::Grant;

/// What the file says.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    pub(crate) ldap: Option<Ldap>,
    pub(crate) oidc: Option<Oidc>,
}

/// A directory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Ldap {
    #[serde(default = "ldap_title")]
    pub(crate) title: String,
    pub(crate) url: String,
    /// The line is made secret before a password goes over it.
    #[serde(default = "yes")]
    pub(crate) tls: bool,
    pub(crate) authority: Option<PathBuf>,
    #[serde(default = "some_seconds", deserialize_with = "span")]
    pub(crate) timeout: Duration,
    #[serde(default = "some_minutes", deserialize_with = "span")]
    pub(crate) check_every: Duration,
    /// People are looked for ...
    pub(crate) search: Option<Search>,
    /// ... or their names are filled into this.
    pub(crate) person: Option<String>,
    /// The attribute with their name.
    #[serde(default = "uid")]
    pub(crate) name: String,
    pub(crate) groups: Option<Groups>,
    pub(crate) roles: Vec<Grant>,
}

/// A provider of OIDC.
#[derive(Debug, Deserialize)]
pub(crate) struct Oidc {
    #[serde(default = "oidc_title")]
    pub(crate) title: String,
    pub(crate) issuer: String,
    /// What it calls us.
    pub(crate) client: String,
    pub(crate) secret: Option<Credential>,
    pub(crate) authority: Option<PathBuf>,
    #[serde(default = "more_seconds", deserialize_with = "span")]
    pub(crate) timeout: Duration,
    #[serde(default = "profile")]
    pub(crate) scopes: Vec<String>,
    /// The claim with their name.
    #[serde(default = "preferred")]
    pub(crate) name: String,
    /// The claim with their groups.
    #[serde(default = "groups")]
    pub(crate) groups: String,
    /// How long they are logged in.
    #[serde(default = "half_a_day", deserialize_with = "span")]
    pub(crate) session: Duration,
    pub(crate) roles: Vec<Grant>,
}

/// How people are found.
#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    /// Who looks; nobody in particular if not said.
    pub(crate) bind: Option<String>,
    pub(crate) password: Option<Credential>,
    pub(crate) base: String,
    pub(crate) filter: String,
}

/// How somebody's groups are found.
#[derive(Debug, Deserialize)]
pub(crate) struct Groups {
    pub(crate) base: String,
    pub(crate) filter: String,
    #[serde(default = "cn")]
    pub(crate) name: String,
}

/// Where a password of our own is kept. Never in the file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Credential {
    /// A secret for all projects.
    Secret(String),
    /// A variable of this process.
    Env(String),
}

impl Credential {
    /// The password. Read whenever it is used: it may be changed while we run.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn read(&self, handle: &Handle) -> Result<Secret, String> {
        match self {
            Self::Secret(name) => {
                let found = handle.secrets().get("", name).await;
                let Some(value) = found.map_err(|error| error.to_string())? else {
                    return Err(format!(
                        "there is no secret `{name}`\nhelp: weir secret set {name}"
                    ));
                };
                Ok(Secret::new(name, String::from_utf8_lossy(&value).trim()))
            }
            Self::Env(name) => match std::env::var(name) {
                Ok(value) if !value.trim().is_empty() => Ok(Secret::new(name, value.trim())),
                Ok(_) | Err(_) => Err(format!(
                    "the variable {name} is not set\nhelp: set it where `weir serve` is started"
                )),
            },
        }
    }
}

fn yes() -> bool {
    true
}

fn ldap_title() -> String {
    "LDAP".to_owned()
}

fn oidc_title() -> String {
    "OIDC".to_owned()
}

fn profile() -> Vec<String> {
    vec!["profile".to_owned()]
}

fn preferred() -> String {
    "preferred_username".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn more_seconds() -> Duration {
    Duration::from_secs(10)
}

fn half_a_day() -> Duration {
    Duration::from_hours(12)
}

fn uid() -> String {
    "uid".to_owned()
}

fn cn() -> String {
    "cn".to_owned()
}

fn some_seconds() -> Duration {
    Duration::from_secs(5)
}

fn some_minutes() -> Duration {
    Duration::from_mins(5)
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let value = Value::deserialize(from)?;
    let text = value.as_str().unwrap_or("0");
    parse_span(text).map_err(serde::de::Error::custom)
}

/// The shape of the file.
pub(crate) fn schema() -> Schema {
    let words = || Schema::text().not_empty().fixed();
    let attribute = || words().pattern("^[A-Za-z][A-Za-z0-9;-]*$");
    let credential = || {
        let variable = words().pattern("^[A-Za-z_][A-Za-z0-9_]*$");
        Schema::one_of([
            Schema::object().required("secret", words().describe("A secret for all projects.")),
            Schema::object().required("env", variable.describe("A variable of `weir serve`.")),
        ])
    };
    let grant = || {
        Schema::object()
            .required("role", Schema::choice(Role::ALL.map(Role::name)))
            .optional("group", words().describe("Whose members have it; everybody, if not said."))
            .optional(
                "project",
                words().describe("Where they have it; in all projects, if not said."),
            )
    };
    let grants = || Schema::list(grant()).not_empty().describe("Who may do what.");
    let search = Schema::object()
        .required("base", words().describe("Below which entry people are."))
        .required(
            "filter",
            words().pattern(r"\{name\}").describe("Who is it? `{name}` stands for the name."),
        )
        .optional("bind", words().describe("The DN of the account that looks."))
        .optional("password", credential().describe("Its password."));
    let groups = Schema::object()
        .required("base", words().describe("Below which entry groups are."))
        .required(
            "filter",
            words()
                .pattern(r"\{(dn|name)\}")
                .describe("Which are theirs? `{dn}` and `{name}` stand for the person."),
        )
        .optional(
            "name",
            attribute().default("cn").describe("The attribute with the group's name."),
        );
    let ldap = Schema::object()
        .optional("title", words().default("LDAP").describe("What people call it."))
        .required(
            "url",
            words()
                .pattern(r"^ldaps?://[^/@?#\s]+/?$")
                .describe("`ldap://HOST` (with StartTLS) or `ldaps://HOST`."),
        )
        .optional(
            "tls",
            Schema::boolean().default(true).describe("`false`: passwords can be read on the way."),
        )
        .optional(
            "authority",
            words().describe("A file (PEM) with the authority of its certificate."),
        )
        .optional("timeout", Schema::span().default("5s").describe("How long it may take."))
        .optional(
            "check-every",
            Schema::span().default("5m").describe(
                "How often it is asked whether people who are logged in are still there.",
            ),
        )
        .optional("search", search.describe("Looks for people."))
        .optional(
            "person",
            words().pattern(r"\{name\}").describe("Or: the DN of everybody, with `{name}` in it."),
        )
        .optional("name", attribute().default("uid").describe("The attribute with their name."))
        .optional("groups", groups.describe("Finds their groups."))
        .required("roles", grants());
    let oidc = Schema::object()
        .optional("title", words().default("OIDC").describe("What people call it."))
        .required(
            "issuer",
            words()
                .pattern(r"^https?://[^@?#\s]+$")
                .describe("Its address, as its tokens name it."),
        )
        .required("client", words().describe("What it calls us."))
        .optional("secret", credential().describe("Our secret, if it has given us one."))
        .optional(
            "authority",
            words().describe("A file (PEM) with the authority of its certificate."),
        )
        .optional("timeout", Schema::span().default("10s").describe("How long an answer may take."))
        .optional("scopes", Schema::list(words()).describe("What is asked for besides `openid`."))
        .optional(
            "name",
            words().default("preferred_username").describe("The claim with their name."),
        )
        .optional("groups", words().default("groups").describe("The claim with their groups."))
        .optional("session", Schema::span().default("12h").describe("How long they are logged in."))
        .required("roles", grants());
    Schema::object()
        .optional("ldap", ldap.describe("A directory."))
        .optional("oidc", oidc.describe("A provider of OpenID Connect."))
        .not_empty()
}

/// Reads the file.
///
/// # Errors
/// All that is wrong with it, as people read it.
pub(crate) fn read(path: &Path) -> Result<Settings, String> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{file} can't be read: {error}\nhelp: --login names a file"))?;
    load(&file, &text)
}

fn load(file: &str, text: &str) -> Result<Settings, String> {
    let source = Source::new(text);
    let (node, mut mistakes) = yaml::read(file, &source);
    let mistake = |place, code, message: String, help: Option<String>| Mistake {
        file: file.to_owned(),
        place,
        severity: Severity::Error,
        code,
        message,
        help,
    };
    let Some(node) = node else {
        let place = Place { line: 1, column: 1, length: 1 };
        if mistakes.is_empty() {
            let help = Some("begin with `ldap:`; docs/logins.md tells all keys".to_owned());
            mistakes.push(mistake(place, "empty-file", "the file is empty".to_owned(), help));
        }
        return Err(rendered(&mistakes, text));
    };
    for found in Checker::new(schema()).check(&node, node.place, Templates::Refused) {
        mistakes.push(mistake(found.place, found.code, found.message, found.help));
    }
    if mistakes.is_empty() {
        for (place, message, help) in unfit(&node) {
            mistakes.push(mistake(place, "unfit", message.to_owned(), Some(help.to_owned())));
        }
    }
    if !mistakes.is_empty() {
        return Err(rendered(&mistakes, text));
    }
    serde_json::from_value(node.to_value())
        .map_err(|error| format!("{file} can't be used: {error}"))
}

/// Mistakes as people read them. A line that may hold a password is not repeated.
fn rendered(mistakes: &[Mistake], text: &str) -> String {
    let render = |mistake: &Mistake| {
        let line = text.lines().nth((mistake.place.line as usize).saturating_sub(1));
        let is_secret =
            line.is_some_and(|line| ["password", "secret"].iter().any(|word| line.contains(word)));
        mistake.render(if is_secret { "" } else { text }).to_string()
    };
    mistakes.iter().map(render).collect()
}

/// What does not go together, though each part has its shape.
fn unfit(root: &Node) -> Vec<(Place, &'static str, &'static str)> {
    let mut found = Vec::new();
    if let Some(ldap) = root.entry("ldap") {
        let of = &ldap.value;
        match (of.entry("search"), of.entry("person")) {
            (Some(_), Some(person)) => found.push((
                person.place,
                "`search` and `person` can't both be there",
                "`search` looks for people, `person` knows where they are: keep one",
            )),
            (None, None) => found.push((
                ldap.place,
                "it does not say how people are found",
                "add `search`, or `person` with the DN of everybody",
            )),
            (Some(_), None) | (None, Some(_)) => {}
        }
        if let Some(search) = of.get("search") {
            match (search.entry("bind"), search.entry("password")) {
                (Some(bind), None) => found.push((
                    bind.place,
                    "an account without a password looks as nobody in particular",
                    "add `password: { secret: NAME }`, or leave `bind` out",
                )),
                (None, Some(password)) => found.push((
                    password.place,
                    "there is a password and nobody whose it is",
                    "add `bind` with the DN of the account",
                )),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        let is_over_tls =
            of.get("url").and_then(Node::text).is_some_and(|url| url.starts_with("ldaps:"));
        if let Some(tls) = of.entry("tls")
            && tls.value.data == yaml::Data::Bool(false)
            && is_over_tls
        {
            found.push((tls.place, "ldaps:// is TLS", "write ldap://, or leave `tls` out"));
        }
        found.extend(no_time(of, &["timeout", "check-every"]));
    }
    if let Some(oidc) = root.get("oidc") {
        let issuer = oidc.get("issuer");
        if let Some((issuer, text)) = issuer.and_then(|issuer| Some((issuer, issuer.text()?)))
            && let Some(rest) = text.strip_prefix("http://")
            && !is_here(rest)
        {
            found.push((
                issuer.place,
                "others could answer in its place",
                "write https://; http:// is for a provider on this machine",
            ));
        }
        found.extend(no_time(oidc, &["timeout", "session"]));
    }
    found
}

/// Whether an address without its scheme is one of this machine.
fn is_here(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => host,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Spans that must be some time.
fn no_time<'a>(
    of: &'a Node,
    keys: &'a [&'a str],
) -> impl Iterator<Item = (Place, &'static str, &'static str)> + 'a {
    keys.iter().filter_map(|key| {
        let entry = of.entry(key)?;
        let is_none = match entry.value.text() {
            Some(text) => parse_span(text).is_ok_and(|span| span.is_zero()),
            None => true,
        };
        is_none.then_some((entry.place, "that is no time at all", "write a span such as 5s"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "ldap:
  url: ldap://ldap.example.org
  search:
    bind: cn=weir,dc=example,dc=org
    password: { secret: ldap }
    base: ou=people,dc=example,dc=org
    filter: (uid={name})
  groups: { base: 'ou=groups,dc=example,dc=org', filter: '(member={dn})' }
  roles:
    - { group: ops, role: operator, project: tap }
    - { role: viewer }
";

    #[test]
    fn what_is_not_said_has_an_answer() {
        let settings = load("login.yaml", RIGHT).expect("it is right");
        let ldap = settings.ldap.expect("it is there");
        assert_eq!((ldap.title.as_str(), ldap.name.as_str(), ldap.tls), ("LDAP", "uid", true));
        assert_eq!((ldap.timeout, ldap.check_every), (some_seconds(), some_minutes()));
        assert_eq!(ldap.groups.expect("it is there").name, "cn");
        assert_eq!(ldap.roles.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, words) in [
            ("  roles:", "  rolls:", "--> login.yaml:9:"),
            ("url: ldap://ldap.example.org", "url: ldap.example.org", "--> login.yaml:2:"),
            ("url: ldap://ldap", "url: ldap://user:word@ldap", "--> login.yaml:2:"),
            ("(uid={name})", "(uid=anna)", "--> login.yaml:7:"),
            ("{ secret: ldap }", "hunter22", "--> login.yaml:5:"),
            ("    password: { secret: ldap }\n", "", "an account without a password"),
            ("    bind: cn=weir,dc=example,dc=org\n", "", "nobody whose it is"),
            ("  search:\n", "  person: 'uid={name}'\n  search:\n", "can't both be there"),
            (
                "ldap://ldap.example.org",
                "ldaps://ldap.example.org\n  tls: false",
                "ldaps:// is TLS",
            ),
            ("  roles:\n", "  timeout: 0s\n  roles:\n", "no time at all"),
            ("role: operator", "role: king", "--> login.yaml:10:"),
        ] {
            assert!(RIGHT.contains(from), "{from}");
            let wrong = load("login.yaml", &RIGHT.replace(from, to)).expect_err(to);
            assert!(wrong.contains(words), "{to}: {wrong}");
            assert!(wrong.contains("error["), "{wrong}");
            assert!(!wrong.contains("hunter22"), "{wrong}");
        }
        let right = "oidc: { issuer: 'https://sso.example.org/realm', client: weir, roles: [{ role: viewer }] }";
        for (from, to, words) in [
            ("https:", "http:", "others could answer in its place"),
            ("https://sso.example.org", "http://127.0.0.1.evil.example", "others could answer"),
            ("client: weir", "client: weir, session: 0", "no time at all"),
        ] {
            let wrong = load("login.yaml", &right.replace(from, to)).expect_err(to);
            assert!(wrong.contains(words), "{to}: {wrong}");
        }
        for here in ["http://127.0.0.1:9", "http://localhost", "http://[::1]:80"] {
            let local = right.replace("https://sso.example.org", here);
            assert!(load("login.yaml", &local).is_ok(), "{here}");
        }
        assert!(load("login.yaml", "").expect_err("empty").contains("the file is empty"));
    }
}
