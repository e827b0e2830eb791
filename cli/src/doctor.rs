//! `weir doctor`: whether this machine and this home have what Weir needs.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Access as Rights, access, statvfs};
use serde::Serialize;
use weir_engine::home::{Home, HomeLock};

use crate::access::home_path;
use crate::args::Global;
use crate::end::{End, Ended};
use crate::shipped;
use crate::style::{Look, Style};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Good,
    /// Something will not be as good as it could be.
    Weak,
    /// Something will not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    words: String,
    help: Option<String>,
}

impl Finding {
    fn good(what: &'static str, words: impl Into<String>) -> Self {
        Self { what, health: Health::Good, words: words.into(), help: None }
    }

    fn weak(what: &'static str, words: impl Into<String>, help: &str) -> Self {
        Self { what, health: Health::Weak, words: words.into(), help: Some(help.to_owned()) }
    }

    fn bad(what: &'static str, words: impl Into<String>, help: &str) -> Self {
        Self { what, health: Health::Bad, words: words.into(), help: Some(help.to_owned()) }
    }
}

/// Free space under which a home is not well, in bytes.
const LITTLE: u64 = 1 << 30;

/// The end of 2025: a clock before that is wrong.
const LONG_AGO: u64 = 1_767_139_200;

pub(crate) async fn doctor(global: &Global) -> Ended {
    let path = home_path(global)?;
    let mut findings = vec![home(&path)];
    let nearest: &Path = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    findings.push(space(nearest));
    if path.is_dir() {
        findings.push(rights(&path));
        findings.push(holder(&path));
        findings.push(supervisor(&path));
    }
    findings.push(clock(&path));
    findings.push(tools());
    findings.push(cgroups());
    findings.push(open_files());
    findings.push(knowledge(&path).await);
    let is_bad = findings.iter().any(|finding| finding.health == Health::Bad);
    if global.json {
        say!("{}", serde_json::to_string(&findings)?)?;
    } else {
        let style = Style::for_stdout(global);
        for finding in
            findings.iter().filter(|finding| !global.quiet || finding.health != Health::Good)
        {
            let (look, word) = match finding.health {
                Health::Good => (Look::Good, "good"),
                Health::Weak => (Look::Asking, "weak"),
                Health::Bad => (Look::Bad, "bad"),
            };
            say!(
                "{} {}  {:<12} {}",
                style.look(look, style.mark(look)),
                style.look(look, &format!("{word:<4}")),
                finding.what,
                finding.words
            )?;
            if let Some(help) = &finding.help {
                say!("                     {}: {help}", style.good("help"))?;
            }
        }
    }
    Ok(if is_bad { End::Failed } else { End::Done })
}

fn home(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::good(
            "home",
            format!("{} is not there yet; the first run makes it", path.display()),
        );
    }
    match Home::open(path) {
        Ok(_) => Finding::good("home", format!("{} can be written", path.display())),
        Err(error) => {
            let text = error.to_string();
            let (words, help) =
                text.split_once("\nhelp: ").unwrap_or((&text, "pass another --home DIR"));
            Finding::bad("home", words, help)
        }
    }
}

fn space(path: &Path) -> Finding {
    match statvfs(path) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let words = format!("{:.1} GiB free", free as f64 / f64::from(1 << 30));
            if free < LITTLE / 10 {
                Finding::bad("disk", words, "free some space, or move the home to another disk")
            } else if free < LITTLE {
                Finding::weak("disk", words, "free some space, or move the home to another disk")
            } else {
                Finding::good("disk", words)
            }
        }
        Err(error) => {
            Finding::weak("disk", format!("its free space is not known: {error}"), "look with df")
        }
    }
}

/// The home and the key are for their owner only.
fn rights(path: &Path) -> Finding {
    let open: Vec<PathBuf> = [(path.to_owned(), 0o022), (path.join("secret.key"), 0o077)]
        .into_iter()
        .filter(|(file, others)| {
            std::fs::metadata(file).is_ok_and(|data| data.mode() & others != 0)
        })
        .map(|(file, _)| file)
        .collect();
    match open.first() {
        None => Finding::good("rights", "only this user can change the home"),
        Some(file) => Finding::bad(
            "rights",
            format!("others have rights on {}", file.display()),
            &format!("chmod go-rwx {}", file.display()),
        ),
    }
}

fn holder(path: &Path) -> Finding {
    let holder = Home::open(path).ok().and_then(|home| HomeLock::holder(&home));
    match holder {
        Some(holder) => Finding::good("engine", format!("{holder}")),
        None => Finding::good("engine", "none runs: commands bring their own"),
    }
}

/// Who lives holds the lock.
fn supervisor(path: &Path) -> Finding {
    let held = File::open(path.join("supervisor.lock"))
        .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    let words = if held { "it lives" } else { "none lives: the first job starts one" };
    Finding::good("supervisor", words)
}

fn clock(home: &Path) -> Finding {
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if seconds < LONG_AGO {
        return Finding::bad(
            "clock",
            "it stands in the past",
            "set it, and let ntp or chrony keep it",
        );
    }
    let written = std::fs::metadata(home.join("weir.db")).and_then(|data| data.modified());
    match written.ok().and_then(|written| written.duration_since(now).ok()) {
        Some(ahead) if ahead.as_secs() > 60 => Finding::weak(
            "clock",
            format!("it went back by {} s since the last run", ahead.as_secs()),
            "let ntp or chrony keep it",
        ),
        Some(_) | None => Finding::good("clock", "it stands where it can"),
    }
}

/// What flows use without naming it.
fn tools() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| {
        std::env::split_paths(&path)
            .any(|folder| access(folder.join(name), Rights::EXEC_OK).is_ok())
    };
    if access("/bin/sh", Rights::EXEC_OK).is_err() {
        return Finding::bad(
            "tools",
            "there is no /bin/sh",
            "install a POSIX shell: scripts need it",
        );
    }
    let missing: Vec<&str> =
        ["ps", "tar", "ssh"].into_iter().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        Finding::good("tools", "sh, ps, tar, ssh")
    } else {
        Finding::weak(
            "tools",
            format!("not here: {}", missing.join(", ")),
            "flows that use them will fail",
        )
    }
}

/// Whether limits can be set by control groups.
fn cgroups() -> Finding {
    let help = "limits fall back to rlimits, process by process; run as root or under a delegated slice for more";
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders: Vec<PathBuf> = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let group = group.trim_start_matches('/');
        if controllers.is_empty() {
            folders.push(Path::new("/sys/fs/cgroup").join(group));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            folders.push(Path::new("/sys/fs/cgroup/memory").join(group));
        }
    }
    match folders.iter().find(|folder| access(*folder, Rights::WRITE_OK).is_ok()) {
        Some(folder) => Finding::good("cgroups", format!("{} can be written", folder.display())),
        None => Finding::weak("cgroups", "none can be written", help),
    }
}

fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(files) if files < 1024 => {
            Finding::weak("open files", format!("at most {files}"), "raise it: ulimit -n 4096")
        }
        Some(files) => Finding::good("open files", format!("at most {files}")),
        None => Finding::good("open files", "without bound"),
    }
}

async fn knowledge(home: &Path) -> Finding {
    match shipped::library(home).await {
        Ok(library) => Finding::good(
            "knowledge",
            format!(
                "{} job types, {} known failures",
                library.job_types.iter().count(),
                library.catalogue.entries().len()
            ),
        ),
        Err(_) => Finding::bad(
            "knowledge",
            "the home's catalogue has mistakes",
            &format!("weir check {}", home.join("catalogue").display()),
        ),
    }
}
