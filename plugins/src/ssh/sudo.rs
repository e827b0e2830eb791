//! How a command on a machine is put together: another user, the hop's own `ssh`, a small shell that reads what it is
//! to do from its standard input. Nothing of the work stands in an argument.

use weir_core::hosts::{Become, Hop};
use weir_core::secret::Secret;

/// What the small shell says when it listens.
pub(crate) const READY: &str = "weir:ready";

/// Reads the length of a script, the script, and does it; what follows on standard input is the script's.
const BOOT: &str = r#"echo weir:ready; IFS= read -r n && eval "$(head -c "$n")""#;

/// A command, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// What the machine's login shell is given.
    pub(crate) text: String,
    /// What may be asked on the way in, outermost first.
    pub(crate) questions: Vec<Question>,
}

/// A password that `sudo` may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The words it is asked with.
    pub(crate) prompt: String,
    /// The answer.
    pub(crate) password: Secret,
    /// Who becomes whom, for people.
    pub(crate) user: String,
}

impl Command {
    /// A shell that reads its script from standard input.
    pub(crate) fn shell() -> Self {
        Self { text: format!("exec sh -c {}", quoted(BOOT)), questions: Vec::new() }
    }

    /// As another user.
    pub(crate) fn by(mut self, user: Option<&Become>) -> Self {
        let Some(user) = user else { return self };
        let name = quoted(&user.user);
        let inner = self.text.strip_prefix("exec ").unwrap_or(&self.text).to_owned();
        self.text = match &user.password {
            None => format!("exec sudo -n -H -u {name} -- {inner}"),
            Some(password) => {
                // Each level asks in other words, so that the answers can't be mixed up.
                let prompt = format!("weir:password:{}:", self.questions.len());
                let text = format!("exec sudo -S -p {} -H -u {name} -- {inner}", quoted(&prompt));
                let question =
                    Question { prompt, password: password.clone(), user: user.user.clone() };
                self.questions.insert(0, question);
                text
            }
        };
        self
    }

    /// On a machine further on, by the `ssh` of the one before.
    pub(crate) fn on(mut self, further: &Further<'_>) -> Self {
        self.text = format!("exec {} {}", further.ssh(""), quoted(&self.text));
        self
    }

    /// A stream to `address`, made by the `ssh` of the one before to the machine further on.
    pub(crate) fn stream(further: &Further<'_>, address: &str, port: u16) -> Self {
        let target = format!("-W {}", quoted(&format!("{}:{port}", bracketed(address))));
        // Says on the other stream when `sudo`, if any, has let it begin.
        let inner = format!("echo {READY} >&2; exec {}", further.ssh(&target));
        Self { text: format!("exec sh -c {}", quoted(&inner)), questions: Vec::new() }
    }
}

/// A machine that only the machine before it has the key for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Further<'a> {
    pub(crate) hop: &'a Hop,
    pub(crate) user: &'a str,
    /// Where the key lies.
    pub(crate) key: &'a str,
    /// The file, on the machine before, that holds the key which this machine must show.
    pub(crate) known_hosts: Option<&'a str>,
}

impl Further<'_> {
    fn ssh(&self, more: &str) -> String {
        let known = self.known_hosts.map_or_else(String::new, |file| {
            format!("-o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={} ", quoted(file))
        });
        format!(
            "ssh -F /dev/null -T -x -a -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=5 \
             -o ServerAliveCountMax=3 -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o LogLevel=ERROR {known}\
             -i {} -p {} {more} -l {} -- {}",
            quoted(self.key),
            self.hop.port,
            quoted(self.user),
            quoted(&self.hop.address)
        )
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// A word that any login shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
