//! A real directory: `OpenLDAP`'s slapd on free ports of this machine, with a folder of its own, gone with its stage.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::{Process, until};

/// Below this all of its entries are.
const ROOT: &str = "dc=example,dc=org";
/// The password of the one who may change it.
const ROOT_PASSWORD: &str = "the root of the directory";

/// A slapd.
#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl Directory {
    /// The account that may look at everything.
    pub const SERVICE: &str = "cn=weir,dc=example,dc=org";
    /// Its password.
    pub const SERVICE_PASSWORD: &str = "s3rvice \"p@ss\" word";

    /// One with these people (name, password) and groups (name, members). In the folder are `ca.pem`, and `weir.pem` with
    /// `weir.key` for 127.0.0.1. Passwords are only taken over TLS; without one, whoever logs in is nobody in particular
    /// and let in.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start(folder: &Path, people: &[(&str, &str)], groups: &[(&str, &[&str])]) -> Self {
        let mut its = Self { folder: folder.to_owned(), port: 0, tls_port: 0, child: None };
        std::fs::create_dir_all(folder.join("data")).expect("made");
        std::fs::write(folder.join("slapd.conf"), its.config()).expect("written");
        std::fs::write(folder.join("first.ldif"), entries(people, groups)).expect("written");
        let mut add = Command::new(program("slapadd"));
        add.arg("-f").arg(folder.join("slapd.conf")).arg("-l").arg(folder.join("first.ldif"));
        let added = add.output().expect("slapd is here: see scripts/install-test-needs");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("free"));
        let ports = ports.map(|free| free.local_addr().expect("it is bound").port());
        (its.port, its.tls_port) = (ports[0], ports[1]);
        its.begin();
        its
    }

    /// Where it is asked, with `StartTLS` if wanted.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// Where it is asked over TLS from the first byte on.
    pub fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// It does not start.
    pub fn begin(&mut self) {
        let addresses = format!("{}/ {}/", self.url(), self.tls_url());
        let mut command = Command::new(program("slapd"));
        command.args(["-d", "0", "-h", &addresses, "-f"]).arg(self.folder.join("slapd.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("slapd is here: see scripts/install-test-needs");
        until("slapd listens", || {
            if let Some(status) = child.try_wait().expect("it is our child") {
                panic!("slapd ended with {status}");
            }
            let ports = [self.port, self.tls_port];
            let is_there = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            ports.into_iter().all(is_there).then_some(())
        });
        self.child = Some(child);
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            until("slapd has ended", || child.try_wait().expect("it is our child"));
        }
    }

    /// Sends it a signal: stopped, it takes lines and says nothing.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            Process { pid: child.id() as i32 }.signal(signal);
        }
    }

    /// Changes it, as LDIF says.
    ///
    /// # Panics
    /// It refuses.
    pub fn change(&self, ldif: &str) {
        let file = self.folder.join("change.ldif");
        std::fs::write(&file, ldif).expect("written");
        let mut command = Command::new("ldapmodify");
        command.env("LDAPTLS_CACERT", self.folder.join("ca.pem"));
        command.args(["-x", "-ZZ", "-H", &self.url(), "-D"]).arg(format!("cn=root,{ROOT}"));
        let ended = command.args(["-w", ROOT_PASSWORD, "-f"]).arg(&file).output();
        let ended = ended.expect("ldapmodify is here: see scripts/install-test-needs");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    fn config(&self) -> String {
        let folder = self.folder.display();
        format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/weir.pem
TLSCertificateKeyFile {folder}/weir.key
allow bind_anon_cred
security simple_bind=128
database mdb
suffix {ROOT}
rootdn cn=root,{ROOT}
rootpw \"{ROOT_PASSWORD}\"
directory {folder}/data
maxsize 16777216
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=ou=groups,{ROOT} by dn.exact={} read by users read by * none
access to * by dn.exact={} read by self read by * none
",
            Self::SERVICE,
            Self::SERVICE
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _gone = child.wait();
        }
    }
}

/// Where Debian keeps programs for administrators: not on everybody's path.
fn program(name: &str) -> PathBuf {
    Path::new("/usr/sbin").join(name)
}

fn entries(people: &[(&str, &str)], groups: &[(&str, &[&str])]) -> String {
    let mut out = format!(
        "dn: {ROOT}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n\
         dn: {}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: weir\nuserPassword: {}\n\n",
        Directory::SERVICE,
        Directory::SERVICE_PASSWORD
    );
    for unit in ["people", "groups"] {
        let _ =
            write!(out, "dn: ou={unit},{ROOT}\nobjectClass: organizationalUnit\nou: {unit}\n\n");
    }
    for (name, password) in people {
        let _ = write!(
            out,
            "dn: uid={name},ou=people,{ROOT}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             userPassword: {password}\n\n"
        );
    }
    for (name, members) in groups {
        let _ =
            write!(out, "dn: cn={name},ou=groups,{ROOT}\nobjectClass: groupOfNames\ncn: {name}\n");
        for member in *members {
            let _ = writeln!(out, "member: uid={member},ou=people,{ROOT}");
        }
        out.push('\n');
    }
    out
}
