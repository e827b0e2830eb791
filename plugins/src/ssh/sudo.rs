//! How a command on a machine is put together: another user, the hop's own `ssh`, a small shell that reads what it is
//! to do from its standard input. Nothing of the work stands in an argument.

use weir_core::hosts::{Become, Hop};
use weir_core::secret::Secret;

/// What the small shell says when it listens.
pub(crate) const READY: &str = "weir:ready";

/// Reads how much of a script is to come, the script, and does it if it came whole; what follows on standard input is the
/// script's. A short one comes by lines, which the shell reads by itself, byte by byte; a longer one by bytes, for which it
/// takes a program. A shell begins with space, tab and newline in `IFS`.
const BOOT: &str = r#"echo weir:ready; IFS= read -r n && case $n in l*) n=${n#l} s= e=${IFS#??}; while [ $n -gt 0 ] && IFS= read -r l; do s=$s$l$e n=$((n-1)); done; [ $n = 0 ];; *) s=$(head -c "$n");; esac && eval "$s""#;

/// What is longer costs less by bytes.
const SHORT: usize = 2048;

/// A script as the small shell wants it.
pub(crate) fn told(script: &str) -> Vec<u8> {
    if script.len() > SHORT {
        return format!("{}\n{script}", script.len()).into_bytes();
    }
    let lines = script.matches('\n').count() + 1;
    format!("l{lines}\n{script}\n").into_bytes()
}

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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command as Program, Stdio};

    use super::*;

    /// What a shell says that boots with this input.
    fn booted(shell: &str, input: &[u8]) -> String {
        let mut child = Program::new(shell)
            .args(["-c", BOOT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        let said = child.wait_with_output().expect("it ends").stdout;
        String::from_utf8(said).expect("text")
    }

    #[test]
    fn a_script_is_done_as_it_is_and_what_follows_is_its_input() {
        let script =
            "IFS= read -r x\nprintf '<%s>' \"$x\"\n\nprintf '%s' '  a\\b\t*\n\n  $n'\nexec cat";
        let long = format!("{script}; # {}", "long ".repeat(SHORT / 5));
        for shell in ["sh", "bash"] {
            for script in [script, &long] {
                let mut input = told(script);
                input.extend_from_slice(b" first line\nthe rest");
                let said = booted(shell, &input);
                assert_eq!(said, "weir:ready\n< first line>  a\\b\t*\n\n  $nthe rest", "{shell}");
            }
        }
    }

    #[test]
    fn a_short_script_that_did_not_come_whole_is_not_begun() {
        let whole = told("echo one\necho two");
        for shell in ["sh", "bash"] {
            assert_eq!(booted(shell, &whole), "weir:ready\none\ntwo\n");
            for end in 0..whole.len() {
                assert_eq!(booted(shell, &whole[..end]), "weir:ready\n", "{shell}, {end} bytes");
            }
        }
    }
}
