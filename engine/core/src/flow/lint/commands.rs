//! Commands that wait for a person, throw too much away, or trust what they load.

use super::Hurt;
use super::shell::{Command, End, Script, Word};

/// Everything that may hurt in a script's commands.
pub(super) fn in_script(script: &Script<'_>, hurts: &mut Vec<Hurt>) {
    for (at, command) in script.commands.iter().enumerate() {
        let next = script.commands.get(at + 1);
        background(script, command, next, hurts);
        interactive(command, hurts);
        open_to_all(command, hurts);
        remove(script, command, hurts);
        download(script, command, next, hurts);
    }
}

/// Everything that may hurt in a program with its arguments.
pub(super) fn in_argv(words: &[&str], hurts: &mut Vec<Hurt>) {
    let words =
        words.iter().map(|word| Word { text: (*word).to_owned(), raw: "", from: 0 }).collect();
    let command = Command { words, ..Command::default() };
    interactive(&command, hurts);
    open_to_all(&command, hurts);
}

/// `a & b`, where `a && b` was meant.
fn background(
    script: &Script<'_>,
    command: &Command<'_>,
    next: Option<&Command<'_>>,
    hurts: &mut Vec<Hurt>,
) {
    let Some(next) = next.filter(|_| command.end == End::Background) else { return };
    let Some(first) = next.words.first() else { return };
    let between = script.source.get(command.end_at + 1..first.from).unwrap_or("\n");
    let waits = script.source.contains("$!")
        || script
            .commands
            .iter()
            .any(|command| command.own().first().is_some_and(|word| word.text == "wait"));
    if between.contains(['\n', ';', '(', ')']) || waits {
        return;
    }
    hurts.push(Hurt {
        from: command.end_at,
        to: command.end_at + 1,
        code: "lint-single-ampersand",
        message: format!(
            "a single `&` starts `{}` before the command in front of it has ended",
            first.text
        ),
        help: "write `&&`; or, if both shall run at once, add `wait`".to_owned(),
    });
}

/// Whether a short option is among the words: `-y`, or in a bundle such as `-qy`.
fn has_short(words: &[Word<'_>], letters: &[char]) -> bool {
    let is_bundle = |text: &str| text.len() > 1 && text.starts_with('-') && !text.starts_with("--");
    words.iter().any(|word| is_bundle(&word.text) && word.text.contains(letters))
}

fn has(words: &[Word<'_>], options: &[&str]) -> bool {
    words.iter().any(|word| {
        options.iter().any(|option| {
            word.text == *option
                || word.text.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
        })
    })
}

/// Commands that ask a question or open a screen.
fn interactive(command: &Command<'_>, hurts: &mut Vec<Hurt>) {
    let own = command.own();
    let Some((first, rest)) = own.split_first() else { return };
    if command.has_input {
        return;
    }
    let name = first.text.rsplit('/').next().unwrap_or("");
    let verb =
        rest.iter().find(|word| !word.text.starts_with('-')).map_or("", |word| word.text.as_str());
    let asks = |help: &str| Some(help.to_owned());
    let help = match name {
        "apt-get" | "apt" | "aptitude" => {
            let changes = matches!(
                verb,
                "install"
                    | "remove"
                    | "purge"
                    | "upgrade"
                    | "dist-upgrade"
                    | "full-upgrade"
                    | "autoremove"
            );
            let is_told = has_short(rest, &['y', 's'])
                || has(
                    rest,
                    &["--yes", "--assume-yes", "-qq", "--dry-run", "--simulate", "--download-only"],
                );
            if changes && !is_told {
                Some(format!("write `{name} {verb} -y`, and set DEBIAN_FRONTEND=noninteractive"))
            } else {
                None
            }
        }
        "yum" | "dnf" | "zypper" => {
            let changes = matches!(
                verb,
                "install"
                    | "remove"
                    | "update"
                    | "upgrade"
                    | "erase"
                    | "reinstall"
                    | "localinstall"
            );
            let is_told =
                has_short(rest, &['y', 'n']) || has(rest, &["--assumeyes", "--non-interactive"]);
            if changes && !is_told { Some(format!("write `{name} -y {verb}`")) } else { None }
        }
        "passwd"
            if !has_short(rest, &['l', 'u', 'd', 'S', 'e', 'n', 'x'])
                && !has(
                    rest,
                    &["--stdin", "--lock", "--unlock", "--delete", "--status", "--expire"],
                ) =>
        {
            asks(
                "write `echo \"$NAME:$PASSWORD\" | chpasswd`, with the password from a secret; or use keys",
            )
        }
        "adduser"
            if !has(rest, &["--disabled-password", "--disabled-login", "--system"])
                && rest.len() == 1 =>
        {
            asks("write `adduser --disabled-password --gecos ''`")
        }
        "vi" | "vim" | "nano" | "emacs" | "pico" | "visudo" => {
            asks("write the file with `cat >FILE <<'EOF'`, `install` or `sed -i`")
        }
        "less" | "more" | "top" | "htop" => {
            asks("write `cat`, or `top -b -n 1`").filter(|_| !has_short(rest, &['b']))
        }
        "crontab" if has_short(rest, &['e']) => asks("write `crontab FILE`"),
        "ssh-keygen"
            if !has_short(
                rest,
                &['N', 'l', 'y', 'R', 'F', 'H', 'e', 'i', 'A', 'L', 'p', 's', 'Y'],
            ) =>
        {
            asks("write `ssh-keygen -N '' -f FILE`")
        }
        "mysql" | "mysqldump" | "mysqladmin" if has(rest, &["-p", "--password"]) => asks(
            "write `--defaults-file=FILE`: an option `-p` with nothing right behind it asks for the password",
        ),
        "bosh" if verb == "delete" && !has(rest, &["-n", "--non-interactive"]) => {
            asks("write `bosh -n delete`")
        }
        "parted" if !has(rest, &["-s", "--script", "-l"]) && !has_short(rest, &['s', 'l']) => {
            asks("write `parted -s`")
        }
        "rm" if has_short(rest, &['i', 'I']) => asks("write `rm` without `-i`"),
        "mysql_secure_installation" | "dpkg-reconfigure" | "dselect" | "tasksel"
            if !has(rest, &["-f", "--frontend", "-u"]) =>
        {
            asks(
                "set the answers beforehand, with `debconf-set-selections` or a configuration file",
            )
        }
        _ => None,
    };
    if let Some(help) = help {
        let last = rest.iter().find(|word| word.text == verb && !verb.is_empty()).unwrap_or(first);
        let is_verb =
            matches!(name, "apt-get" | "apt" | "aptitude" | "yum" | "dnf" | "zypper" | "bosh");
        let end = if is_verb { last } else { first };
        let shown = if is_verb { format!("{name} {verb}") } else { name.to_owned() };
        hurts.push(Hurt {
            from: first.from,
            to: end.to().max(first.to()),
            code: "lint-interactive",
            message: format!("`{shown}` waits for a person here"),
            help,
        });
    }
}

fn open_to_all(command: &Command<'_>, hurts: &mut Vec<Hurt>) {
    let own = command.own();
    let Some((first, rest)) = own.split_first() else { return };
    if first.text != "chmod" {
        return;
    }
    let mode = rest.iter().find(|word| {
        matches!(word.text.trim_start_matches('0'), "777" | "666")
            || matches!(word.text.as_str(), "a+rwx" | "a=rwx" | "ugo+rwx" | "o+w" | "a+w")
    });
    if let Some(mode) = mode {
        hurts.push(Hurt {
            from: mode.from,
            to: mode.to(),
            code: "lint-open-to-all",
            message: format!("`chmod {}` lets every user of the machine write there", mode.text),
            help: "give it to the user that needs it: `chown USER`, and a mode such as 750 or 640"
                .to_owned(),
        });
    }
}

/// `rm -r` on a path that a variable begins or ends.
fn remove(script: &Script<'_>, command: &Command<'_>, hurts: &mut Vec<Hurt>) {
    let own = command.own();
    let Some((first, rest)) = own.split_first() else { return };
    if first.text != "rm" || !(has_short(rest, &['r', 'R']) || has(rest, &["--recursive"])) {
        return;
    }
    for path in rest.iter().filter(|word| !word.text.starts_with('-')) {
        let Some(variable) = risky_variable(&path.text) else { continue };
        let name = variable.trim_matches(['$', '{', '}']);
        let is_safe = script.source.contains(&format!("{name}=$(mktemp"))
            || script.source.contains(&format!("{name}=`mktemp"))
            || script.source.contains(&format!("for {name} in"))
            || script.source.contains(&format!("${{{name}:?"));
        if is_safe {
            continue;
        }
        let help = if variable.starts_with("{{") {
            "begin and end the path with fixed folders, such as `/srv/app/{{ params.name }}/cache`, and give the parameter a `pattern`".to_owned()
        } else {
            format!("write `${{{name}:?}}`: the shell then stops when it is empty")
        };
        hurts.push(Hurt {
            from: path.from,
            to: path.to(),
            code: "lint-remove",
            message: format!("if `{variable}` is empty, `rm -r` takes more than was meant"),
            help,
        });
    }
}

/// The variable that a path begins with, or that is all of its last part.
fn risky_variable(path: &str) -> Option<&str> {
    let part = if path.starts_with('$') || path.starts_with("{{") {
        path
    } else {
        path.rsplit_once('/')?.1
    };
    let is_last = part.len() != path.len();
    let variable = if part.starts_with("{{") {
        &part[..part.find("}}")? + 2]
    } else if part.starts_with("${") {
        &part[..=part.find('}')?]
    } else {
        let name = part.strip_prefix('$')?;
        let length =
            name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        if length == 0 {
            return None;
        }
        &part[..=length]
    };
    let is_guarded = variable.contains(":?") || variable.contains(":-");
    let is_whole = !is_last || variable.len() == part.len();
    (is_whole && !is_guarded).then_some(variable)
}

/// Something is loaded, and nothing tells whether it is what was meant.
fn download(
    script: &Script<'_>,
    command: &Command<'_>,
    next: Option<&Command<'_>>,
    hurts: &mut Vec<Hurt>,
) {
    const CHECKS: [&str; 12] = [
        "sha256",
        "sha512",
        "sha1sum",
        "sha384",
        "shasum",
        "md5sum",
        "b2sum",
        "gpg --verify",
        "gpg --batch --verify",
        "gpgv",
        "cosign",
        "openssl dgst",
    ];
    let own = command.own();
    let Some((first, rest)) = own.split_first() else { return };
    let Some(address) = rest.iter().find(|word| {
        let text = word.text.as_str();
        ["http://", "https://", "ftp://"].iter().any(|scheme| text.starts_with(scheme))
    }) else {
        return;
    };
    let is_near =
        ["//localhost", "//127.", "//[::1]"].iter().any(|near| address.text.contains(near));
    let reader = next.filter(|_| command.end == End::Pipe).and_then(|next| next.own().first());
    let runs = reader.is_some_and(|word| {
        matches!(word.text.as_str(), "sh" | "bash" | "python" | "python3" | "tar" | "apt-key")
    });
    let keeps = match first.text.as_str() {
        "curl" => {
            let writes = has_short(rest, &['O', 'o'])
                || has(rest, &["--output", "--remote-name"])
                || command.writes_to.is_some();
            writes
                && command.writes_to.as_deref() != Some("/dev/null")
                && !has(rest, &["/dev/null"])
        }
        "wget" => {
            let is_shown = rest.iter().any(|word| {
                word.text.ends_with("O-")
                    || word.text == "-"
                    || word.text == "/dev/null"
                    || word.text == "--spider"
            });
            !is_shown || command.writes_to.as_deref().is_some_and(|file| file != "/dev/null")
        }
        _ => return,
    };
    let is_checked = CHECKS.iter().any(|check| script.source.contains(check));
    if is_near || is_checked || !(keeps || runs) {
        return;
    }
    hurts.push(Hurt {
        from: address.from,
        to: address.to(),
        code: "lint-download",
        message: "what is loaded here is used without a check that it is what was meant".to_owned(),
        help: "write its checksum down, and check it: `echo \"SUM  FILE\" | sha256sum -c -`"
            .to_owned(),
    });
}
