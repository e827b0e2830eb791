//! What this binary knows before any flow: the job types, the catalogue that ships with it, and what a home adds.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use weir_core::job_types::JobTypes;
use weir_core::mistake::Mistake;
use weir_engine::library::{FileText, Library};

use crate::end::wrong;

/// The catalogue's files: what they are called, and their texts.
pub(crate) const CATALOGUE: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// Lets flows use `test`, whose faults are settings. Only for tests.
const FAULTS: &str = "WEIR_TEST_FAULTS";

/// The job types that ship with Weir and those in the home's `plugins` folder.
pub(crate) async fn job_types(home: &Path) -> JobTypes {
    let has_faults = std::env::var_os(FAULTS).is_some_and(|value| value == "1");
    let mut types =
        JobTypes::new(if has_faults { weir_plugins::with_faults() } else { weir_plugins::all() });
    let (external, problems) = weir_plugins::external(&home.join("plugins")).await;
    for problem in problems {
        tracing::warn!("{problem}");
    }
    for job_type in external {
        types.add(job_type);
    }
    types
}

/// The texts of the catalogue: what ships with Weir, then the home's own.
///
/// # Errors
/// A file of the home can't be read.
pub(crate) fn catalogue_texts(home: &Path) -> anyhow::Result<Vec<FileText>> {
    let mut texts: Vec<FileText> = CATALOGUE
        .iter()
        .map(|(name, text)| FileText { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect();
    let folder = home.join("catalogue");
    let mut files: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("{} can't be read", folder.display()));
        }
    };
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    });
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        texts.push(FileText { name: file.display().to_string(), text });
    }
    Ok(texts)
}

/// All that flows may use in this home.
///
/// # Errors
/// The home's own catalogue has mistakes, or can't be read.
pub(crate) async fn library(home: &Path) -> anyhow::Result<Arc<Library>> {
    let texts = catalogue_texts(home)?;
    let library = Library::new(job_types(home).await, texts.clone())
        .map_err(|mistakes| wrong(rendered(&mistakes, &texts)))?;
    Ok(Arc::new(library))
}

/// Mistakes as text, each with the line it stands in.
pub(crate) fn rendered(mistakes: &[Mistake], texts: &[FileText]) -> String {
    let text_of = |name: &str| {
        texts.iter().find(|file| file.name == name).map_or("", |file| file.text.as_str())
    };
    mistakes
        .iter()
        .map(|mistake| mistake.render(text_of(&mistake.file)).to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_holds_the_catalogue_as_it_stands() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows/catalogue");
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .map(|entries| {
                entries.map(|entry| entry.expect("it can be read").file_name()).collect::<Vec<_>>()
            })
            .unwrap_or_default()
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        let held: Vec<String> = CATALOGUE
            .iter()
            .map(|(name, _)| name.trim_start_matches("catalogue/").to_owned())
            .collect();
        assert_eq!(held, files);
        for (name, text) in CATALOGUE {
            let now = std::fs::read_to_string(folder.join(name.trim_start_matches("catalogue/")))
                .expect("it can be read");
            assert!(now == *text, "{name} is not as it was built");
        }
    }
}
