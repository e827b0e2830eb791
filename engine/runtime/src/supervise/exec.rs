//! The step between a start and the program itself, for jobs that run as another user or within limits.
//!
//! Such jobs are started as this binary first: it joins the control groups, sets the limits, becomes the user and then
//! the program, all before the program's first instruction. What it must do comes in a file in memory, never in
//! arguments, and so do the program's variables: none of them (`LD_PRELOAD`) has power over a step that may be taken
//! as root. Jobs that ask for nothing of this are started at once.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use weir_core::flow::Limits;
use weir_core::outcome::ErrorClass;

use super::cgroup::Cgroup;
use super::sys::{self, Limit};
use super::wire::{In, Malformed, Out};

/// The argument that names this step.
pub(crate) const NAME: &str = "exec-helper";
/// Where the settings are found.
pub(crate) const SETTINGS_FD: i32 = 5;
/// Where a failure is told; closed when the program begins.
pub(crate) const STATUS_FD: i32 = 6;

/// Why a program could not be started.
pub(crate) type Refusal = (ErrorClass, String);

/// What is to be done before the program begins.
pub(crate) fn settings(
    argv: &[&CStr],
    env: &[&CStr],
    dir: &CStr,
    run_as: Option<&CStr>,
    limits: &Limits,
    group: &Cgroup,
) -> Vec<u8> {
    let mut out = Out::new(0).bytes(dir.to_bytes_with_nul());
    out = match run_as {
        Some(user) => out.u8(1).bytes(user.to_bytes_with_nul()),
        None => out.u8(0),
    };
    for limit in [
        limits.memory.filter(|_| !group.memory),
        limits.cpu_time,
        limits.open_files,
        limits.processes.filter(|_| !group.processes),
        limits.file_size,
    ] {
        out = match limit {
            Some(value) => out.u8(1).u64(value),
            None => out.u8(0),
        };
    }
    let lists = group.process_lists();
    out = out.u32(lists.len() as u32);
    for list in lists {
        out = out.bytes(list.as_os_str().as_bytes());
    }
    for texts in [argv, env] {
        out = out.u32(texts.len() as u32);
        for text in texts {
            out = out.bytes(text.to_bytes_with_nul());
        }
    }
    out.0
}

/// Takes the step. Returns only if it fails.
pub(crate) fn main() -> i32 {
    let (Some(settings), Some(status)) = (sys::take_fd(SETTINGS_FD), sys::take_fd(STATUS_FD))
    else {
        return 2;
    };
    let mut message = Vec::new();
    let (class, text) = match File::from(settings).read_to_end(&mut message) {
        Ok(_) => become_program(&message),
        Err(error) => (ErrorClass::Internal, error.to_string()),
    };
    let mut told = vec![class as u8];
    told.extend_from_slice(text.as_bytes());
    // Who is not told reads the exit code.
    let _untold = File::from(status).write_all(&told);
    127
}

/// What the step told, if it failed.
pub(crate) fn refusal(told: &[u8]) -> Option<Refusal> {
    let (class, text) = told.split_first()?;
    let class = ErrorClass::ALL.into_iter().find(|known| *known as u8 == *class);
    Some((class.unwrap_or(ErrorClass::Internal), String::from_utf8_lossy(text).into_owned()))
}

fn become_program(message: &[u8]) -> Refusal {
    match prepare(message) {
        Ok((program, argv, env)) => {
            let error = sys::exec(&program, &argv, &env);
            let name = argv.first().map_or(c"", |name| name.as_c_str());
            explain(&error, name, None)
        }
        Err(refusal) => refusal,
    }
}

type Prepared = (CString, Vec<CString>, Vec<CString>);

fn prepare(message: &[u8]) -> Result<Prepared, Refusal> {
    let malformed = |_: Malformed| (ErrorClass::Internal, "the settings can't be read".to_owned());
    let bound = |what: &str, error: &io::Error| {
        (ErrorClass::Refused, format!("the limit on {what} can't be set: {error}"))
    };
    let mut input = In(message);
    input.u8().map_err(malformed)?;
    let dir = input.text().map_err(malformed)?;
    let user = input.optional_text().map_err(malformed)?;
    let mut limits = Vec::new();
    for (limit, what) in [
        (Limit::AddressSpace, "memory"),
        (Limit::CpuTime, "processor time"),
        (Limit::OpenFiles, "open files"),
        (Limit::Processes, "processes"),
        (Limit::FileSize, "the size of files"),
    ] {
        if let Some(value) = input.optional_u64().map_err(malformed)? {
            limits.push((limit, what, value));
        }
    }
    for _ in 0..input.u32().map_err(malformed)? {
        let list = Path::new(OsStr::from_bytes(input.bytes().map_err(malformed)?));
        OpenOptions::new()
            .write(true)
            .open(list)
            .and_then(|mut list| list.write_all(b"0"))
            .map_err(|error| bound("the control group", &error))?;
    }
    let mut texts = || -> Result<Vec<CString>, Refusal> {
        Ok(input.texts().map_err(malformed)?.into_iter().map(CStr::to_owned).collect())
    };
    let (argv, env) = (texts()?, texts()?);
    let account = match user {
        None => None,
        Some(name) => Some((name, account(name)?)),
    };
    for (limit, what, value) in limits {
        sys::set_limit(limit, value).map_err(|error| bound(what, &error))?;
    }
    if let Some((name, (uid, gid))) = account {
        sys::become_user(name, uid, gid).map_err(|error| {
            let name = name.to_string_lossy();
            (ErrorClass::Refused, format!("can't run as user `{name}`: {error}"))
        })?;
    }
    std::env::set_current_dir(OsStr::from_bytes(dir.to_bytes()))
        .map_err(|error| explain(&error, dir, Some(dir)))?;
    let name = argv.first().ok_or((ErrorClass::Definition, "there is no program".to_owned()))?;
    let env_texts: Vec<&CStr> = env.iter().map(CString::as_c_str).collect();
    let program = find_program(name, &env_texts, Path::new("."))?;
    Ok((program, argv, env))
}

/// The numbers of a user.
pub(crate) fn account(name: &CStr) -> Result<(u32, u32), Refusal> {
    let shown = name.to_string_lossy();
    match sys::lookup_user(name) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err((ErrorClass::Refused, format!("no user `{shown}` on this machine"))),
        Err(error) => {
            Err((ErrorClass::Internal, format!("user `{shown}` can't be looked up: {error}")))
        }
    }
}

/// The file of a program: a name without `/` is looked for in the `PATH` it will see.
pub(crate) fn find_program(name: &CStr, env: &[&CStr], dir: &Path) -> Result<CString, Refusal> {
    let bytes = name.to_bytes();
    if bytes.is_empty() {
        return Err((ErrorClass::Definition, "the name of the program is empty".to_owned()));
    }
    if bytes.contains(&b'/') {
        return Ok(name.to_owned());
    }
    let path = env
        .iter()
        .find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for part in path.split(|byte| *byte == b':') {
        let found: PathBuf = dir.join(OsStr::from_bytes(part)).join(OsStr::from_bytes(bytes));
        if fs::metadata(&found)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
            && let Ok(found) = CString::new(found.into_os_string().into_vec())
        {
            return Ok(found);
        }
    }
    let shown = name.to_string_lossy();
    Err((ErrorClass::Refused, format!("no program `{shown}` in the PATH of the job")))
}

/// What a failed start means.
pub(crate) fn explain(error: &io::Error, program: &CStr, dir: Option<&CStr>) -> Refusal {
    if let Some(dir) = dir {
        let shown = dir.to_string_lossy();
        match fs::metadata(OsStr::from_bytes(dir.to_bytes())) {
            Ok(folder) if folder.is_dir() => {}
            Ok(_) => return (ErrorClass::Refused, format!("`{shown}` is no folder to work in")),
            Err(error) => {
                return (ErrorClass::Refused, format!("can't work in folder `{shown}`: {error}"));
            }
        }
    }
    let shown = program.to_string_lossy();
    match error.raw_os_error() {
        Some(libc::ENOENT) => (ErrorClass::Refused, format!("no program `{shown}`")),
        Some(libc::ENOEXEC) => (
            ErrorClass::Refused,
            format!("`{shown}` is no program: a script must begin with `#!` and its interpreter"),
        ),
        Some(libc::E2BIG) => (
            ErrorClass::Refused,
            format!("the arguments and variables of `{shown}` are too long for this machine"),
        ),
        Some(libc::EACCES | libc::EPERM | libc::ENOTDIR | libc::ELOOP | libc::EISDIR) => {
            (ErrorClass::Refused, format!("can't run `{shown}`: {error}"))
        }
        _ => (ErrorClass::Internal, format!("can't start `{shown}`: {error}")),
    }
}
