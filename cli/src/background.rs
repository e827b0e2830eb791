//! An engine that nobody waits for: `weir serve --until-idle`, in a session of its own, gone when no run moves.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use weir_engine::door::Caller;
use weir_engine::home::Home;

/// What it prints when it answers on the socket.
pub(crate) const READY: &str = "ready";

/// What it says of itself is kept here, in the home.
const LOG: &str = "background.log";

/// Starts one for the home, and returns when it answers.
///
/// # Errors
/// It can't be started, or ended before it answered.
pub(crate) async fn start(home: &Path) -> anyhow::Result<()> {
    let home = home.to_owned();
    tokio::task::spawn_blocking(move || start_and_wait(&home)).await?
}

/// Sees that an engine answers for the home: the one that holds it, or a new one.
///
/// # Errors
/// As for [`start`].
pub(crate) async fn ensure(home: &Path) -> anyhow::Result<()> {
    if Caller::connect(&home.join("weir.sock")).await.is_some() {
        return Ok(());
    }
    start(Home::open(home)?.path()).await
}

fn start_and_wait(home: &Path) -> anyhow::Result<()> {
    let path = home.join(LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.with_context(|| format!("{} can't be written", path.display()))?;
    let mut child = Command::new("/proc/self/exe")
        .arg("--home")
        .arg(home)
        .args(["serve", "--until-idle"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("the engine in the background can't be started")?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    if line.trim_end() != READY {
        let status = child.wait()?;
        bail!("the engine in the background ended ({status})\nhelp: {} says why", path.display());
    }
    Ok(())
}
