//! From what a person calls a flow to its file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use weir_core::mistake::{Mistake, Severity};
use weir_engine::api::render_mistakes;
use weir_engine::library::{Library, Loaded, Source};
use weir_web::client::Client;

use crate::args::Global;
use crate::end::wrong;
use crate::style::Style;

/// How the files of flows end.
pub(crate) const ENDING: &str = ".flow.yaml";

/// What a person may call a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// A file that is there.
    File(PathBuf),
    /// A name that the home may know.
    Name(String),
}

/// Finds out what is meant: a file, a folder with one flow in it, `NAME` for a `NAME.flow.yaml` that is here, or the
/// name of a flow that ran before.
///
/// # Errors
/// A folder has no flow or several, or a file is named that is not there.
pub(crate) fn find(called: &str) -> anyhow::Result<Flow> {
    let path = Path::new(called);
    if path.is_dir() {
        let mut flows = flows_in(path)?;
        return match flows.len() {
            0 => Err(wrong(format!(
                "{called} is a folder without a flow\nhelp: the file of a flow ends in {ENDING}"
            ))),
            1 => Ok(Flow::File(flows.remove(0))),
            _ => {
                let names: Vec<String> =
                    flows.iter().map(|flow| flow.display().to_string()).collect();
                Err(wrong(format!(
                    "{called} has {} flows\nhelp: name one of {}",
                    names.len(),
                    names.join(", ")
                )))
            }
        };
    }
    if path.exists() {
        return Ok(Flow::File(path.to_owned()));
    }
    let beside = PathBuf::from(format!("{called}{ENDING}"));
    if beside.is_file() {
        return Ok(Flow::File(beside));
    }
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if is_yaml || called.starts_with(['/', '.']) {
        return Err(wrong(format!("there is no file {called}")));
    }
    Ok(Flow::Name(called.to_owned()))
}

/// As [`find`], where `server` may be asked: it knows flows by their names, whatever files are here.
///
/// # Errors
/// As for [`find`], or a file is named that the server can't see.
pub(crate) fn find_for(server: Option<&Client>, called: &str) -> anyhow::Result<Flow> {
    let Some(server) = server else { return find(called) };
    let path = Path::new(called);
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if is_yaml || called.starts_with(['/', '.']) {
        return Err(wrong(format!(
            "{called} is a file of this machine, and {} runs the flows that it knows\nhelp: name one of them, FLOW or \
             PROJECT/FLOW; without WEIR_URL, or with --home, the file runs here",
            server.place()
        )));
    }
    Ok(Flow::Name(called.to_owned()))
}

/// As [`find`], for commands that need a file.
///
/// # Errors
/// As for [`find`], or there is no file.
pub(crate) fn find_file(called: &str) -> anyhow::Result<PathBuf> {
    match find(called)? {
        Flow::File(path) => Ok(path),
        Flow::Name(name) => {
            Err(wrong(format!("there is no file {name}{ENDING} and no folder {name}")))
        }
    }
}

/// The flow files of a folder, by name, not of those in it.
fn flows_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let mut flows: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_flow(path)).collect();
    flows.sort();
    Ok(flows)
}

/// Whether a path looks like a flow's file.
pub(crate) fn is_flow(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}

/// Reads a flow and makes it ready; warnings go to standard error.
///
/// # Errors
/// It can't be read, or has mistakes: all of them as text.
pub(crate) fn load(global: &Global, library: &Library, path: &Path) -> anyhow::Result<Loaded> {
    let source = Source::read(path).map_err(|error| wrong(error.to_string()))?;
    match library.load(&source) {
        Ok(loaded) => {
            if !global.quiet && !loaded.warnings.is_empty() {
                tell!("{}", dressed(&loaded.warnings, &source, Style::find(global)));
            }
            Ok(loaded)
        }
        Err(mistakes) => Err(wrong(render_mistakes(&mistakes, &source))),
    }
}

/// Mistakes as text, in colours.
pub(crate) fn dressed(mistakes: &[Mistake], source: &Source, style: Style) -> String {
    let text = render_mistakes(mistakes, source);
    if !style.is_coloured() {
        return text;
    }
    let dress = |line: &str| {
        for severity in [Severity::Error, Severity::Warning] {
            let word = match severity {
                Severity::Error => "error[",
                Severity::Warning => "warning[",
            };
            if line.starts_with(word) {
                let (head, rest) = line.split_once(": ").unwrap_or((line, ""));
                return match severity {
                    Severity::Error => format!("{}: {}", style.bad(head), style.strong(rest)),
                    Severity::Warning => format!("{}: {}", style.warn(head), style.strong(rest)),
                };
            }
        }
        line.to_owned()
    };
    text.lines().map(dress).collect::<Vec<_>>().join("\n")
}
