//! `weir check`: every mistake of flows, projects and catalogue files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use weir_core::catalogue::Catalogue;
use weir_core::mistake::{Mistake, Severity};
use weir_engine::folders::with_calendars;
use weir_engine::library::{FileText, Library, Source};

use crate::access;
use crate::args::{self, Global};
use crate::circles::Circles;
use crate::end::{End, Ended, wrong};
use crate::flow_file::{dressed, is_flow};
use crate::shipped;
use crate::style::Style;

/// The file that makes a folder a project.
const PROJECT: &str = "project.yaml";

/// The files that are checked, by what they are.
#[derive(Debug, Default)]
struct Files {
    flows: Vec<PathBuf>,
    projects: Vec<PathBuf>,
    catalogues: Vec<PathBuf>,
}

pub(crate) async fn check(global: &Global, args: &args::Check) -> Ended {
    let mut files = Files::default();
    for path in &args.paths {
        let metadata = std::fs::metadata(path)
            .map_err(|error| wrong(format!("{} can't be read: {error}", path.display())))?;
        if metadata.is_dir() { files.add_folder(path)? } else { files.add_file(path) }
    }
    let count = files.flows.len() + files.projects.len() + files.catalogues.len();
    if count == 0 {
        return Err(wrong("there is nothing to check\nhelp: flows are named NAME.flow.yaml"));
    }
    let library = shipped::library(&access::home_path(global)?).await?;
    let mut found =
        Found { mistakes: BTreeSet::new(), text: String::new(), style: Style::find(global) };
    let mut circles = Circles::default();
    for path in &files.flows {
        let source = Source::read(path).map_err(|error| wrong(error.to_string()))?;
        let (flow, mut mistakes) = library.check(&source);
        for schedule in flow.iter().flat_map(|(flow, _)| &flow.schedules) {
            mistakes.extend(with_calendars(schedule, path).err().unwrap_or_default());
        }
        if let Some((flow, project)) = &flow {
            circles.add(flow, project, &source);
        }
        found.add(mistakes, &source);
    }
    for (mistake, source) in circles.mistakes() {
        found.add(vec![mistake], source);
    }
    for path in &files.projects {
        check_project(&library, path, &mut found)?;
    }
    check_catalogues(&library, &files.catalogues, &mut found)?;
    let errors =
        found.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error).count();
    if global.json {
        say!("{}", serde_json::json!({ "files": count, "mistakes": found.mistakes }))?;
    } else {
        if !(global.quiet && errors == 0) {
            tell_text!("{}", found.text);
        }
        if !global.quiet {
            say!("{}", summary(count, errors, found.mistakes.len() - errors))?;
        }
    }
    Ok(if errors == 0 { End::Done } else { End::Wrong })
}

/// What was found, each thing once: flows of one project share its file.
struct Found {
    mistakes: BTreeSet<Mistake>,
    text: String,
    style: Style,
}

impl Found {
    fn add(&mut self, mistakes: Vec<Mistake>, source: &Source) {
        for mistake in mistakes {
            if self.mistakes.insert(mistake.clone()) {
                self.text.push_str(dressed(&[mistake], source, self.style).trim_end());
                self.text.push_str("\n\n");
            }
        }
    }
}

impl Files {
    fn add_file(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default();
        if name == PROJECT {
            self.projects.push(path.to_owned());
        } else if !is_flow(path) && is_catalogue(path) {
            self.catalogues.push(path.to_owned());
        } else {
            self.flows.push(path.to_owned());
        }
    }

    fn add_folder(&mut self, folder: &Path) -> anyhow::Result<()> {
        let read = || format!("{} can't be read", folder.display());
        let mut entries = std::fs::read_dir(folder)
            .with_context(read)?
            .collect::<Result<Vec<_>, _>>()
            .with_context(read)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            // A link to a folder could lead in a circle.
            if entry.file_type().with_context(read)?.is_dir() {
                if !name.to_string_lossy().starts_with('.') {
                    self.add_folder(&path)?;
                }
            } else if is_flow(&path) || name == PROJECT || (is_yaml(&path) && is_catalogue(&path)) {
                self.add_file(&path);
            }
        }
        Ok(())
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a file that is no flow holds entries of the catalogue: it lies in a folder of that name.
fn is_catalogue(path: &Path) -> bool {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.parent().and_then(Path::file_name).is_some_and(|name| name == "catalogue")
}

fn read(path: &Path) -> anyhow::Result<FileText> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("{} can't be read: {error}", path.display())))?;
    Ok(FileText { name: path.display().to_string(), text })
}

fn check_project(library: &Library, path: &Path, found: &mut Found) -> anyhow::Result<()> {
    let file = read(path)?;
    let ids = library.catalogue.entries().iter().map(|entry| entry.id.clone()).collect();
    let (_, mistakes) =
        weir_core::flow::load_project(&file.name, &file.text, &library.job_types, &ids);
    found.add(mistakes, &Source { folder: PathBuf::new(), project: None, flow: file });
    Ok(())
}

fn check_catalogues(library: &Library, paths: &[PathBuf], found: &mut Found) -> anyhow::Result<()> {
    let files: Vec<FileText> =
        paths.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
    let named: Vec<(&str, &str)> =
        files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
    let Err(mistakes) = Catalogue::load(&named, &library.job_types) else { return Ok(()) };
    for file in files {
        let own = mistakes.iter().filter(|mistake| mistake.file == file.name).cloned().collect();
        found.add(own, &Source { folder: PathBuf::new(), project: None, flow: file });
    }
    Ok(())
}

fn summary(files: usize, errors: usize, warnings: usize) -> String {
    let many = |count: usize, one: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
    };
    let found = match (errors, warnings) {
        (0, 0) => "no mistakes".to_owned(),
        (0, warnings) => format!("no mistakes, {}", many(warnings, "warning")),
        (errors, 0) => many(errors, "mistake"),
        (errors, warnings) => format!("{}, {}", many(errors, "mistake"), many(warnings, "warning")),
    };
    format!("{} checked: {found}", many(files, "file"))
}
