//! Stands for a company's login (Keycloak, Entra, Okta ...): a provider of OIDC, written from the specification
//! (Core 1.0, Discovery 1.0, RFC 6749, 7517, 7519, 7636, 9207), that misbehaves on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use serde_json::{Value, json};
use weir_core::hex;

use crate::LIMIT;
use crate::http::encoded;

/// What it does wrong with the next login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The token is of another login.
    OtherNonce,
    /// There is no nonce in it.
    NoNonce,
    /// The token ran out an hour ago.
    Expired,
    /// The token is for somebody else.
    OtherAudience,
    /// The token is for us, and for somebody else.
    MoreAudience,
    /// Another provider made the token.
    OtherIssuer,
    /// The token says that it is not signed.
    NoSignature,
    /// The token is signed with what everybody knows, as if that were a secret.
    PublicSecret,
    /// Something in the token was changed after it was signed.
    Changed,
    /// The token is signed with a key that is not among the provider's.
    OtherKey,
    /// There is no token.
    NoToken,
    /// The one who logs in changes their mind.
    Cancelled,
    /// Another provider sends them back.
    OtherSender,
    /// It reads the question for the token and says nothing.
    Slow,
    /// It fails when it is asked for the token.
    Broken,
}

/// A provider on a free port.
#[derive(Debug)]
pub struct Provider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    folder: PathBuf,
    secret: Option<String>,
    person: Mutex<Value>,
    lies: Mutex<VecDeque<Lie>>,
    codes: Mutex<BTreeMap<String, Code>>,
    /// Which key it signs with: `keyN.pem`.
    key: AtomicU32,
    next_code: AtomicU32,
    is_silent: AtomicBool,
}

/// What a code stands for.
#[derive(Clone, Debug)]
struct Code {
    redirect: String,
    nonce: String,
    challenge: String,
    lie: Option<Lie>,
}

type Fields = BTreeMap<String, String>;

impl Provider {
    /// The name that its clients have.
    pub const CLIENT: &str = "weir of the tests";

    /// One that keeps its keys in this folder; its client has this secret, or none.
    ///
    /// # Panics
    /// There is no port, or no openssl.
    pub fn start(folder: PathBuf, secret: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("it is bound"),
            folder,
            secret: secret.map(str::to_owned),
            person: Mutex::new(json!({})),
            lies: Mutex::default(),
            codes: Mutex::default(),
            key: AtomicU32::new(0),
            next_code: AtomicU32::new(0),
            is_silent: AtomicBool::new(false),
        });
        shared.make_key(0);
        let its = Arc::clone(&shared);
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let its = Arc::clone(&its);
                thread::spawn(move || {
                    let _unheard = line.set_read_timeout(Some(LIMIT));
                    // Who asks may leave at any time.
                    let _left = its.answer(line);
                });
            }
        });
        Self { shared }
    }

    /// Its address, by which it is known.
    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Who logs in from now on: claims; `sub` must be among them.
    pub fn person(&self, claims: Value) {
        *lock(&self.shared.person) = claims;
    }

    /// It lies in the next login.
    pub fn lie(&self, lie: Lie) {
        lock(&self.shared.lies).push_back(lie);
    }

    /// It signs with another key from now on; the old one is not among its keys any more.
    pub fn new_key(&self) {
        let next = self.shared.key.load(Ordering::Relaxed) + 1;
        self.shared.make_key(next);
        self.shared.key.store(next, Ordering::Relaxed);
    }

    /// It takes lines and says nothing, or speaks again.
    pub fn silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

impl Shared {
    fn issuer(&self) -> String {
        format!("http://{}/realm", self.address)
    }

    fn key_file(&self, number: u32) -> PathBuf {
        self.folder.join(format!("key{number}.pem"))
    }

    fn make_key(&self, number: u32) {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
            .arg(self.key_file(number))
            .stderr(Stdio::null())
            .status()
            .expect("openssl is here: see scripts/install-test-needs");
        assert!(made.success(), "openssl made no key");
    }

    fn answer(&self, line: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(line.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => value.trim().clone_into(&mut authorization),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if self.is_silent.load(Ordering::Relaxed) {
            return until_gone(reader);
        }
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (status, headers, text) = match (method, path) {
            ("GET", "/realm/.well-known/openid-configuration") => as_json(200, &self.describe()),
            ("GET", "/realm/keys") => as_json(200, &self.keys()),
            ("GET", "/realm/authorize") => self.authorize(&fields(query)),
            ("POST", "/realm/token") => {
                let body = String::from_utf8_lossy(&body).into_owned();
                match self.token(&fields(&body), &authorization) {
                    Some(answer) => answer,
                    None => return until_gone(reader),
                }
            }
            _ => (404, String::new(), "nothing here".to_owned()),
        };
        let mut line = line;
        write!(
            line,
            "HTTP/1.1 {status} -\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }

    /// Discovery 1.0, section 3.
    fn describe(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// RFC 7517.
    fn keys(&self) -> Value {
        let number = self.key.load(Ordering::Relaxed);
        let told = Command::new("openssl")
            .args(["rsa", "-noout", "-modulus", "-in"])
            .arg(self.key_file(number))
            .output()
            .expect("openssl is here: see scripts/install-test-needs");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let modulus = told.trim().strip_prefix("Modulus=").unwrap_or_default().to_lowercase();
        let modulus = base64(&hex::decode(&modulus).expect("a number"));
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": format!("key{number}"), "n": modulus, "e": "AQAB",
        }]})
    }

    /// Core 1.0, 3.1.2; RFC 7636, 4.3. The one who logs in does so at once.
    fn authorize(&self, asked: &Fields) -> (u16, String, String) {
        let of = |name: &str| asked.get(name).map_or("", String::as_str);
        let is_right = of("response_type") == "code"
            && of("client_id") == Provider::CLIENT
            && of("scope").split(' ').any(|scope| scope == "openid")
            && of("redirect_uri").ends_with("/login/oidc/callback")
            && of("code_challenge_method") == "S256"
            && of("code_challenge").len() == 43
            && of("nonce").len() >= 16
            && of("state").len() >= 16;
        if !is_right {
            return (400, String::new(), format!("this is no right question: {asked:?}"));
        }
        let lie = lock(&self.lies).pop_front();
        let back = |fields: String| {
            let to = format!("{}?{fields}&state={}", of("redirect_uri"), encoded(of("state")));
            (302, format!("Location: {to}\r\n"), String::new())
        };
        let issuer = encoded(&self.issuer());
        if lie == Some(Lie::Cancelled) {
            return back(format!(
                "error=access_denied&error_description=they%20pressed%20cancel&iss={issuer}"
            ));
        }
        let number = self.next_code.fetch_add(1, Ordering::Relaxed);
        let code = format!("code-{number}-{}", &hex::sha256(of("nonce").as_bytes())[..16]);
        lock(&self.codes).insert(
            code.clone(),
            Code {
                redirect: of("redirect_uri").to_owned(),
                nonce: of("nonce").to_owned(),
                challenge: of("code_challenge").to_owned(),
                lie,
            },
        );
        let issuer =
            if lie == Some(Lie::OtherSender) { encoded("https://evil.example") } else { issuer };
        back(format!("code={code}&iss={issuer}"))
    }

    /// Core 1.0, 3.1.3. `None`: nothing is said.
    fn token(&self, asked: &Fields, authorization: &str) -> Option<(u16, String, String)> {
        let of = |name: &str| asked.get(name).map_or("", String::as_str);
        let refuse = |status, error: &str| as_json(status, &json!({ "error": error }));
        let is_known = match &self.secret {
            None => of("client_id") == Provider::CLIENT && authorization.is_empty(),
            Some(secret) => {
                let pair = format!("{}:{}", form_encoded(Provider::CLIENT), form_encoded(secret));
                authorization == format!("Basic {}", padded(&base64(pair.as_bytes())))
            }
        };
        if !is_known {
            return Some(refuse(401, "invalid_client"));
        }
        // A code is good for one question.
        let Some(code) = lock(&self.codes).remove(of("code")) else {
            return Some(refuse(400, "invalid_grant"));
        };
        let hash = hex::decode(&hex::sha256(of("code_verifier").as_bytes())).expect("it is hex");
        let is_right = of("grant_type") == "authorization_code"
            && of("redirect_uri") == code.redirect
            && base64(&hash) == code.challenge;
        if !is_right {
            return Some(refuse(400, "invalid_grant"));
        }
        match code.lie {
            Some(Lie::Slow) => return None,
            Some(Lie::Broken) => return Some((500, String::new(), "it broke".to_owned())),
            _ => {}
        }
        let mut tokens =
            json!({ "access_token": "of no use", "token_type": "Bearer", "expires_in": 60 });
        if code.lie != Some(Lie::NoToken) {
            tokens["id_token"] = Value::from(self.id_token(&code));
        }
        Some(as_json(200, &tokens))
    }

    /// Core 1.0, section 2; RFC 7519.
    fn id_token(&self, code: &Code) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        let is = |lie| code.lie == Some(lie);
        let mut claims = lock(&self.person).clone();
        claims["iss"] = Value::from(self.issuer());
        claims["aud"] = json!([Provider::CLIENT]);
        claims["iat"] = Value::from(now);
        claims["exp"] = Value::from(now + 300);
        claims["nonce"] = Value::from(code.nonce.as_str());
        match code.lie {
            Some(Lie::OtherNonce) => claims["nonce"] = json!("of another login"),
            Some(Lie::NoNonce) => claims["nonce"] = Value::Null,
            Some(Lie::Expired) => {
                claims["iat"] = Value::from(now - 3900);
                claims["exp"] = Value::from(now - 3600);
            }
            Some(Lie::OtherAudience) => claims["aud"] = json!("somebody else"),
            Some(Lie::MoreAudience) => claims["aud"] = json!([Provider::CLIENT, "somebody else"]),
            Some(Lie::OtherIssuer) => claims["iss"] = json!("https://evil.example"),
            _ => {}
        }
        let number = self.key.load(Ordering::Relaxed);
        let kid = format!("key{number}");
        let header = if is(Lie::NoSignature) {
            json!({ "alg": "none" })
        } else if is(Lie::PublicSecret) {
            json!({ "alg": "HS256", "kid": kid })
        } else {
            json!({ "alg": "RS256", "typ": "JWT", "kid": kid })
        };
        let signed = format!("{}.{}", base64_of(&header), base64_of(&claims));
        if is(Lie::NoSignature) {
            return format!("{signed}.");
        }
        if is(Lie::PublicSecret) {
            let secret = self.secret.clone().unwrap_or_default();
            let signature = openssl(&["dgst", "-sha256", "-binary", "-hmac", &secret], &signed);
            return format!("{signed}.{}", base64(&signature));
        }
        let key = if is(Lie::OtherKey) {
            self.make_key(1_000);
            self.key_file(1_000)
        } else {
            self.key_file(number)
        };
        let key = key.to_str().expect("a plain path").to_owned();
        let signature = base64(&openssl(&["dgst", "-sha256", "-binary", "-sign", &key], &signed));
        if is(Lie::Changed) {
            claims["groups"] = json!(["admins"]);
            return format!("{}.{}.{signature}", base64_of(&header), base64_of(&claims));
        }
        format!("{signed}.{signature}")
    }
}

/// Reads until whoever asked has left.
fn until_gone(mut reader: BufReader<TcpStream>) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while reader.read(&mut rest)? > 0 {}
    Ok(())
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_json(status: u16, value: &Value) -> (u16, String, String) {
    let headers = "Content-Type: application/json\r\nCache-Control: no-store\r\n".to_owned();
    (status, headers, value.to_string())
}

fn openssl(args: &[&str], input: &str) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is here: see scripts/install-test-needs");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {args:?}");
    output.stdout
}

fn fields(text: &str) -> Fields {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair: Vec<u8> = bytes.by_ref().take(2).collect();
                let pair = String::from_utf8_lossy(&pair).to_lowercase();
                out.extend(hex::decode(&pair).unwrap_or_default());
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// As forms are (RFC 6749, 2.3.1): a space is a plus.
fn form_encoded(text: &str) -> String {
    encoded(text).replace("%20", "+").replace('~', "%7E")
}

fn base64_of(value: &Value) -> String {
    base64(value.to_string().as_bytes())
}

/// base64url without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let all = piece.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - piece.len()));
        for at in 0..=piece.len() {
            out.push(char::from(LETTERS[(all >> (18 - 6 * at) & 63) as usize]));
        }
    }
    out
}

/// base64 as headers have it (RFC 4648, section 4).
fn padded(text: &str) -> String {
    let text = text.replace('-', "+").replace('_', "/");
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}
