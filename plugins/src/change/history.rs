//! What flows have written on a host: each version of a file, kept here with who wrote it and when. `weir hosts config`
//! reads it.
//!
//! In the host's folder of the data folder: `files.jsonl`, a change a line, and the texts in `files`, by their hash.
//! Secrets are masked in them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde_json::{Value, json};
use weir_core::hex;
use weir_core::job_type::AttemptContext;
use weir_core::mask::mask;

/// One change of a file.
pub(super) struct Written<'a> {
    /// Where on the host.
    pub(super) path: &'a str,
    pub(super) owner: Option<&'a str>,
    pub(super) mode: Option<&'a str>,
    /// What stands there now; `None` if it is gone.
    pub(super) text: Option<String>,
}

/// What stood in a file before its last change, if a flow had written that.
pub(super) fn before(records: &Path, path: &str) -> Option<Vec<u8>> {
    let known = fs::read_to_string(records.join("files.jsonl")).ok()?;
    let lines = known.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.into_iter().find(|line| line["path"] == path)?;
    fs::read(records.join("files").join(last["before"].as_str()?)).ok()
}

/// Keeps a change. Doing it again for the same attempt does nothing.
///
/// # Errors
/// It can't be written.
pub(super) fn keep(records: &Path, written: &Written<'_>, cx: &AttemptContext) -> io::Result<()> {
    let folder = records.join("files");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let list = records.join("files.jsonl");
    let known = match fs::read_to_string(&list) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut before = Value::Null;
    for line in known.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if line["path"] == written.path {
            let is_this = line["run"] == cx.id.run.0
                && line["task"] == cx.path.as_str()
                && line["attempt"] == cx.id.number;
            if is_this {
                return Ok(());
            }
            before = line["after"].clone();
        }
    }
    let after = match &written.text {
        Some(text) => {
            let text = mask(text, &cx.secrets);
            let hash = hex::sha256(text.as_bytes());
            let file = folder.join(&hash);
            if !file.exists() {
                let beside = folder.join(format!("{hash}.new"));
                let mut new = OpenOptions::new();
                let mut new =
                    new.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
                new.write_all(text.as_bytes())?;
                new.sync_all()?;
                fs::rename(&beside, &file)?;
            }
            Value::from(hash)
        }
        None => Value::Null,
    };
    // A line that was cut short by a crash is ended first.
    let end = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
    let line = json!({
        "at": cx.clock.now().to_string(),
        "run": cx.id.run.0,
        "task": cx.path,
        "attempt": cx.id.number,
        "by": format!("flow {}", cx.flow),
        "path": written.path,
        "owner": written.owner,
        "mode": written.mode,
        "before": before,
        "after": after,
    });
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&list)?;
    file.write_all(format!("{end}{line}\n").as_bytes())?;
    file.sync_all()
}
