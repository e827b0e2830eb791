//! What `ssh` was to be called with: the part of it that says through which machine to go.

use super::draft::{Draft, Drafts, Jump};

/// Splits a command line as a shell does, as far as quotes and backslashes go.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (Some(open), sign) if sign == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(signs.next()),
            (None, sign) if sign.is_whitespace() => words.extend(word.take()),
            (_, sign) => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}

/// Takes over the options of a call of `ssh`.
pub(super) fn take(text: &str, line: usize, host: &mut Draft, drafts: &mut Drafts) {
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let (flag, joined) = word.split_at(word.len().min(2));
        let mut value = || {
            if joined.is_empty() { words.next().unwrap_or_default() } else { joined.to_owned() }
        };
        match flag {
            "-J" => jumps(&value(), line, host, drafts),
            "-o" => {
                let option = value();
                let (name, value) = option.split_once(['=', ' ']).unwrap_or((&option, ""));
                take_option(name.trim(), value.trim(), line, host, drafts);
            }
            "-i" => host.key = Some(value()),
            "-l" => host.user = Some(value()),
            "-p" => host.port = value().parse().ok(),
            _ => drafts.leave(line, format!("the option `{word}` of ssh")),
        }
    }
}

/// Takes over one option, as it stands in a config or after `-o`. Says whether it could.
pub(super) fn take_option(
    name: &str,
    value: &str,
    line: usize,
    host: &mut Draft,
    drafts: &mut Drafts,
) {
    match name.to_ascii_lowercase().as_str() {
        "proxyjump" => jumps(value, line, host, drafts),
        "proxycommand" if value.eq_ignore_ascii_case("none") => host.jumps.clear(),
        "proxycommand" => match of_command(value) {
            Some(jump) => host.jumps = vec![jump],
            None => drafts.leave(
                line,
                format!("`ProxyCommand {value}`: only `ssh -W %h:%p HOST` is understood"),
            ),
        },
        "user" => host.user = Some(value.to_owned()),
        "port" => host.port = value.parse().ok(),
        "identityfile" => host.key = Some(value.to_owned()),
        "stricthostkeychecking" | "userknownhostsfile" => drafts.leave(
            line,
            format!("`{name}`: write `known-hosts:` in project.yaml, a file or accept-new"),
        ),
        _ => drafts.leave(line, format!("the option `{name}`")),
    }
}

fn jumps(value: &str, line: usize, host: &mut Draft, drafts: &mut Drafts) {
    if value.eq_ignore_ascii_case("none") {
        host.jumps.clear();
        return;
    }
    let jumps: Option<Vec<Jump>> = value.split(',').map(Jump::read).collect();
    match jumps {
        Some(jumps) => host.jumps = jumps,
        None => drafts.leave(line, format!("`ProxyJump {value}` can't be read")),
    }
}

/// The machine of `ssh -W %h:%p [options] [user@]host`.
fn of_command(command: &str) -> Option<Jump> {
    let words = words(command);
    let mut words = words.iter().map(String::as_str);
    if !words.next()?.rsplit('/').next()?.eq("ssh") {
        return None;
    }
    let (mut forwards, mut jump) = (false, Jump::default());
    while let Some(word) = words.next() {
        match word {
            "-W" => forwards = words.next()? == "%h:%p",
            "-W%h:%p" => forwards = true,
            "-p" => jump.port = Some(words.next()?.parse().ok()?),
            "-i" => jump.key = Some(words.next()?.to_owned()),
            "-l" => jump.user = Some(words.next()?.to_owned()),
            "-q" | "-x" | "-T" | "-a" | "-4" | "-6" => {}
            // Options of the connection to the jump host: it has its own place in the inventory.
            "-o" => drop(words.next()?),
            word if word.starts_with("-o") => {}
            word if word.starts_with('-') => return None,
            word if jump.host.is_empty() => {
                let read = Jump::read(word)?;
                jump.host = read.host;
                jump.user = read.user.or(jump.user);
                jump.port = read.port.or(jump.port);
            }
            _ => return None,
        }
    }
    (forwards && !jump.host.is_empty()).then_some(jump)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        assert_eq!(
            words(r#"-o ProxyCommand="ssh -W %h:%p 'a b'" -C"#),
            ["-o", "ProxyCommand=ssh -W %h:%p 'a b'", "-C"]
        );
        assert_eq!(words(r"a\ b  ''"), ["a b", ""]);
    }

    #[test]
    fn the_machine_of_a_proxy_command_is_found() {
        let told = |command: &str| of_command(command).map(|jump| format!("{jump:?}"));
        let jump = told("/usr/bin/ssh -q -p 2222 -i ~/k -W %h:%p u@jump").expect("it is one");
        assert_eq!(jump, told("ssh u@jump:2222 -W%h:%p -i ~/k").expect("it is one"));
        assert_eq!(told("nc -X connect -x proxy:3128 %h %p"), None);
        assert_eq!(told("ssh jump nc %h %p"), None);
    }
}
