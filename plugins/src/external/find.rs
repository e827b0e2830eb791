//! Which executables of a folder are job types.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{JobType, Nature};
use weir_core::schema::Schema;

use super::call::{Call, Wrong};
use super::{Bounds, External};
use crate::stop::Stops;

/// The version of the protocol that is spoken.
const PROTOCOL: u32 = 1;

/// A file of the plugins' folder that is no job type, though it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

/// The job types that the executables of `folder` carry out, by file name, and what is wrong with the others. A folder
/// that does not exist has none.
pub async fn external(folder: &Path) -> (Vec<Arc<dyn JobType>>, Vec<Problem>) {
    external_within(folder, Bounds::default()).await
}

/// As [`external`], with other bounds.
pub async fn external_within(
    folder: &Path,
    bounds: Bounds,
) -> (Vec<Arc<dyn JobType>>, Vec<Problem>) {
    let mut types: Vec<Arc<dyn JobType>> = Vec::new();
    let mut problems = Vec::new();
    let programs = match programs(folder, &mut problems) {
        Ok(programs) => programs,
        Err(error) => {
            let message = format!("the folder of job types can't be read: {error}");
            problems.push(Problem { file: folder.to_owned(), message, help: None });
            return (types, problems);
        }
    };
    // At the same time: one that hangs holds nobody else up.
    let asked: Vec<_> = programs
        .into_iter()
        .map(|program| tokio::spawn(async move { (describe(&program, bounds).await, program) }))
        .collect();
    let mut names: BTreeSet<String> =
        crate::with_faults().iter().map(|known| known.name().to_owned()).collect();
    for asked in asked {
        let (described, file) = asked.await.expect("asking does not panic and is not aborted");
        match described {
            Ok(found) if names.insert(found.name.clone()) => types.push(Arc::new(found)),
            Ok(found) => problems.push(Problem {
                file,
                message: format!("there is a job type named `{}` already", found.name),
                help: Some("give it a name with a dot, such as `acme.backup`".to_owned()),
            }),
            Err(message) => problems.push(Problem {
                file,
                message,
                help: Some("docs/external-job-types.md says how to answer".to_owned()),
            }),
        }
    }
    problems.sort_by(|one, other| one.file.cmp(&other.file));
    (types, problems)
}

/// The executables of a folder, by name.
fn programs(folder: &Path, problems: &mut Vec<Problem>) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Relative paths would be looked for from another folder when they are started.
    let folder = folder.canonicalize()?;
    let mut programs = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let file = folder.join(&name);
        let name = name.to_string_lossy();
        let metadata = fs::metadata(&file)?;
        if name.starts_with('.') || name.ends_with('~') || !metadata.is_file() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & 0o111 == 0 {
            if fs::read(&file).is_ok_and(|bytes| bytes.starts_with(b"#!")) {
                problems.push(Problem {
                    message: "it is a script, but not executable".to_owned(),
                    help: Some(format!("chmod +x {}", file.display())),
                    file,
                });
            }
        } else if mode & 0o002 != 0 {
            problems.push(Problem {
                message: "everybody may change it, so it is not run".to_owned(),
                help: Some(format!("chmod o-w {}", file.display())),
                file,
            });
        } else {
            programs.push(file);
        }
    }
    programs.sort();
    Ok(programs)
}

/// The answer to `describe`.
#[derive(Deserialize)]
#[serde(expecting = "an object with `name`, `about` and `schema`")]
struct Described {
    name: String,
    about: String,
    schema: Value,
    #[serde(default)]
    nature: Takes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Takes {
    #[default]
    Work,
    Waits,
}

async fn describe(program: &Path, bounds: Bounds) -> Result<External, String> {
    let call = Call { program, log: None, secrets: &[], leave: bounds.leave };
    let params = json!({ "protocol": PROTOCOL });
    let answer = match call.make("describe", &params, Some(bounds.describe)).await {
        Ok(answer) => answer,
        Err(Wrong::NotBegun(why) | Wrong::Silent(why)) => return Err(format!("it {why}")),
        Err(Wrong::Refused { message, .. }) => {
            return Err(format!("it answered `describe` with an error: {message}"));
        }
    };
    let described: Described = serde_json::from_value(answer)
        .map_err(|error| format!("it answered `describe` with something else: {error}"))?;
    let name = described.name;
    let part = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && part.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
    };
    if name.len() > 100 || !name.split('.').all(part) {
        return Err(format!(
            "`{name}` is no name for a job type: use lower case letters, digits, `-` and `.`"
        ));
    }
    if described.schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("its schema is not of type `object`".to_owned());
    }
    Ok(External {
        program: program.to_owned(),
        name,
        about: described.about,
        schema: Schema(described.schema),
        nature: match described.nature {
            Takes::Work => Nature::Work,
            Takes::Waits => Nature::Waits,
        },
        bounds,
        stops: Stops::default(),
    })
}
