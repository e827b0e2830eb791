//! How a script reaches its interpreter: in `argv` where that is safe, else through an open file that no other
//! process and no disk ever sees.

use weir_core::job_type::{AttemptContext, JobError, Launch};
use weir_core::secret::Secret;

use crate::{mask, output, settings};

/// The shell that scripts are for unless they say otherwise, and its options.
pub(crate) const SHELL: [&str; 2] = ["/bin/sh", "-eu"];

/// The longest script that goes into `argv`: one argument may have 128 KiB (`MAX_ARG_STRLEN` of Linux).
const LONGEST: usize = 96 << 10;

/// Where the program finds a script that is not in `argv`.
pub(crate) const OPEN_FILE: &str = "/proc/self/fd/3";

/// Where programs are looked for if the job's variables do not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `argv` and what stands behind [`OPEN_FILE`], for `script` run by `interpreter` (the shell if empty).
pub(crate) fn command(
    script: &str,
    interpreter: &[String],
    secrets: &[Secret],
) -> (Vec<String>, Option<Vec<u8>>) {
    let by_shell = interpreter.is_empty();
    let mut argv: Vec<String> =
        if by_shell { SHELL.map(str::to_owned).to_vec() } else { interpreter.to_vec() };
    if by_shell && may_be_seen(script, secrets) {
        argv.extend(["-c".to_owned(), script.to_owned(), "weir".to_owned()]);
        (argv, None)
    } else {
        argv.push(OPEN_FILE.to_owned());
        (argv, Some(script.as_bytes().to_vec()))
    }
}

/// Whether a script may stand in `argv`, where every user of the machine can read it. NUL ends an argument.
pub(crate) fn may_be_seen(script: &str, secrets: &[Secret]) -> bool {
    script.len() <= LONGEST && !script.contains('\0') && mask::find(script, secrets).is_none()
}

/// What to start for an attempt.
///
/// # Errors
/// `argv` gives a secret away, or can't be an argument.
pub(crate) fn launch(
    argv: Vec<String>,
    script: Option<Vec<u8>>,
    cx: &AttemptContext,
) -> Result<Launch, JobError> {
    refuse_secrets(&argv, &cx.secrets)?;
    if argv.first().is_none_or(String::is_empty) {
        return Err(settings::wrong("`argv` names no program"));
    }
    Ok(Launch {
        argv,
        script,
        env: variables(cx),
        working_dir: cx.working_dir.clone(),
        run_as: cx.run_as.clone(),
        limits: cx.limits.clone(),
        secrets: cx.secrets.clone(),
    })
}

/// Looks at what would stand in an argument.
///
/// # Errors
/// It gives a secret away, or can't be an argument.
pub(crate) fn refuse_secrets(argv: &[String], secrets: &[Secret]) -> Result<(), JobError> {
    for (at, argument) in argv.iter().enumerate() {
        if let Some(secret) = mask::find(argument, secrets) {
            return Err(settings::wrong(format!(
                "argument {at} holds the secret `{}`, and every user of the machine can read arguments: hand it over \
                 in `env`, or use `script`",
                secret.name()
            )));
        }
        if argument.contains('\0') {
            return Err(settings::wrong(format!("argument {at} holds a NUL character")));
        }
    }
    Ok(())
}

/// The job's variables and Weir's own, which win.
fn variables(cx: &AttemptContext) -> Vec<(String, String)> {
    let own = [
        ("WEIR_RUN", cx.id.run.to_string()),
        ("WEIR_PROJECT", cx.project.clone()),
        ("WEIR_FLOW", cx.flow.clone()),
        ("WEIR_JOB", cx.path.clone()),
        ("WEIR_ATTEMPT_NUMBER", cx.id.number.to_string()),
        ("WEIR_OUTPUT", cx.folder.join(output::FILE).to_string_lossy().into_owned()),
    ];
    let mut env: Vec<_> = cx
        .env
        .iter()
        .filter(|(name, _)| !own.iter().any(|(own, _)| own == name))
        .cloned()
        .collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), PATH.to_owned()));
    }
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}

/// A word as a shell would want it, for people to read and to paste.
pub(crate) fn shown(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.chars().any(char::is_control) {
        format!("$'{}'", word.escape_default())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
