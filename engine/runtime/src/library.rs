//! What this node knows before any flow: its job types and the catalogue; and flow versions made from texts.
//!
//! A version is its texts: the flow file, the project's file and the catalogue, each kept once by the hash of its
//! content. The same texts always give the same rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use weir_core::catalogue::Catalogue;
use weir_core::flow::compile::{Compiled, compile};
use weir_core::flow::{Flow, Project};
use weir_core::hex;
use weir_core::job_types::JobTypes;
use weir_core::mistake::{Mistake, Severity};
use weir_core::yaml;

use crate::engine::wall_clock;
use crate::store::rows::{BlobRow, VersionRow};
use crate::store::{self, Store};

/// The job types, the catalogue, and the flow versions that were read before.
pub struct Library {
    /// The job types.
    pub job_types: JobTypes,
    /// The known failures.
    pub catalogue: Catalogue,
    catalogue_texts: Vec<FileText>,
    compiled: Mutex<BTreeMap<String, Arc<Compiled>>>,
}

/// A file's name and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// The name, as a person would say it.
    pub name: String,
    /// The content.
    pub text: String,
}

/// A flow file with the project it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The project's folder.
    pub folder: PathBuf,
    /// The project's file, if there is one.
    pub project: Option<FileText>,
    /// The flow's file.
    pub flow: FileText,
}

/// A flow version, ready to run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules and the texts behind them.
    pub compiled: Arc<Compiled>,
    /// The version.
    pub version: VersionRow,
    /// Its texts.
    pub blobs: Vec<BlobRow>,
    /// The project's folder.
    pub folder: PathBuf,
    /// What a linter has to say.
    pub warnings: Vec<Mistake>,
}

/// The texts of a version, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// The project's folder.
    pub folder: PathBuf,
    /// Where the flow file was.
    pub file: PathBuf,
    /// The flow file: name and hash.
    pub flow: (String, String),
    /// The project's file.
    pub project: Option<(String, String)>,
    /// The catalogue's files.
    pub catalogue: Vec<(String, String)>,
}

/// What is wrong with a file that was to be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read.
    #[error("{path} can't be read: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is too large for a flow file.
    #[error("{path} is larger than {} MiB, which no flow file needs", yaml::MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Why a kept version can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It is not there, or a text of it is not.
    #[error("version {0} is not in this home")]
    Missing(String),
    /// Its texts can't be used by this program any more.
    #[error("version {hash} can't be used: {why}")]
    Unusable {
        /// The version.
        hash: String,
        /// Why.
        why: String,
    },
}

impl Source {
    /// Reads a flow file and, beside or above it, its project's file.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let flow = read_text(path)?;
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let beside = whole.parent().unwrap_or(Path::new("/"));
        let folder =
            beside.ancestors().take(3).find(|folder| folder.join("project.yaml").is_file());
        let project = match folder {
            Some(folder) => {
                let shown = if folder == beside {
                    path.with_file_name("project.yaml")
                } else {
                    folder.join("project.yaml")
                };
                Some(read_text(&shown)?)
            }
            None => None,
        };
        Ok(Self { folder: folder.unwrap_or(beside).to_owned(), project, flow })
    }
}

fn read_text(path: &Path) -> Result<FileText, ReadError> {
    let io = |cause| ReadError::Io { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(io)?.len() > yaml::MAX_BYTES as u64 {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        io(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("it is not UTF-8 text: {error}"),
        ))
    })?;
    Ok(FileText { name: path.display().to_string(), text })
}

impl Library {
    /// A library with these job types and catalogue files.
    ///
    /// # Errors
    /// The mistakes of the catalogue.
    pub fn new(job_types: JobTypes, catalogue_texts: Vec<FileText>) -> Result<Self, Vec<Mistake>> {
        let catalogue = Catalogue::load(&named(&catalogue_texts), &job_types)?;
        Ok(Self { job_types, catalogue, catalogue_texts, compiled: Mutex::default() })
    }

    /// The catalogue's files.
    pub fn catalogue_texts(&self) -> &[FileText] {
        &self.catalogue_texts
    }

    /// All that is wrong with a flow and its project, and the flow if it can be used.
    pub fn check(&self, source: &Source) -> (Option<(Flow, Project)>, Vec<Mistake>) {
        let ids = self.catalogue.entries().iter().map(|entry| entry.id.clone()).collect();
        let (project, mut mistakes) = match &source.project {
            Some(file) => {
                weir_core::flow::load_project(&file.name, &file.text, &self.job_types, &ids)
            }
            None => (Some(Project::default()), Vec::new()),
        };
        let (flow, more) = weir_core::flow::load(
            &source.flow.name,
            &source.flow.text,
            project.as_ref().unwrap_or(&Project::default()),
            &self.job_types,
            &ids,
        );
        mistakes.extend(more);
        (flow.zip(project), mistakes)
    }

    /// Makes a flow ready to run.
    ///
    /// # Errors
    /// All its mistakes; warnings alone are none.
    pub fn load(&self, source: &Source) -> Result<Loaded, Vec<Mistake>> {
        let blob = |file: &FileText| BlobRow {
            hash: hex::sha256(file.text.as_bytes()),
            content: file.text.clone().into_bytes(),
        };
        let mut blobs = vec![blob(&source.flow)];
        let mut texts = Texts {
            folder: source.folder.clone(),
            file: std::path::absolute(&source.flow.name)
                .unwrap_or_else(|_| PathBuf::from(&source.flow.name)),
            flow: (source.flow.name.clone(), blobs[0].hash.clone()),
            ..Texts::default()
        };
        if let Some(project) = &source.project {
            blobs.push(blob(project));
            texts.project = Some((project.name.clone(), blobs[1].hash.clone()));
        }
        for file in &self.catalogue_texts {
            let row = blob(file);
            texts.catalogue.push((file.name.clone(), row.hash.clone()));
            blobs.push(row);
        }
        let version = hex::sha256(
            blobs.iter().map(|blob| blob.hash.as_str()).collect::<Vec<_>>().join("\n").as_bytes(),
        );
        let (found, mistakes) = self.check(source);
        if mistakes.iter().any(|mistake| mistake.severity == Severity::Error) {
            return Err(mistakes);
        }
        let Some((flow, project)) = found else { return Err(mistakes) };
        let (name, project_name) = (flow.name.clone(), project.name.clone());
        let compiled = self
            .known(&version)
            .map_or_else(|| self.compile(flow, project, &self.catalogue), Ok)?;
        self.remember(&version, &compiled);
        let row = VersionRow {
            hash: version,
            project: project_name,
            flow: name,
            texts: crate::turn::json(&texts),
            at: wall_clock(),
        };
        Ok(Loaded {
            compiled,
            version: row,
            blobs,
            folder: source.folder.clone(),
            warnings: mistakes,
        })
    }

    fn compile(
        &self,
        flow: Flow,
        project: Project,
        catalogue: &Catalogue,
    ) -> Result<Arc<Compiled>, Vec<Mistake>> {
        let traits = |name: &str| self.job_types.traits(name);
        compile(flow, project, catalogue, &traits).map(Arc::new)
    }

    fn known(&self, version: &str) -> Option<Arc<Compiled>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    fn remember(&self, version: &str, compiled: &Arc<Compiled>) {
        let mut known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 64 {
            known.retain(|_, compiled| Arc::strong_count(compiled) > 1);
        }
        known.insert(version.to_owned(), Arc::clone(compiled));
    }

    /// A version that a home keeps.
    ///
    /// # Errors
    /// It is not there, or its texts can't be used.
    pub async fn version(
        &self,
        store: &Store,
        version: &str,
    ) -> Result<Arc<Compiled>, VersionError> {
        if let Some(known) = self.known(version) {
            return Ok(known);
        }
        let (source, catalogue_texts) = self.texts(store, version).await?;
        let unusable = |mistakes: Vec<Mistake>| {
            let why = mistakes.first().map_or_else(String::new, |mistake| {
                format!("{}:{}: {}", mistake.file, mistake.place.line, mistake.message)
            });
            VersionError::Unusable { hash: version.to_owned(), why }
        };
        let catalogue = Catalogue::parse(&named(&catalogue_texts)).map_err(unusable)?;
        let (found, mistakes) = self.check(&source);
        let (flow, project) = found.ok_or_else(|| unusable(mistakes))?;
        let compiled = self.compile(flow, project, &catalogue).map_err(unusable)?;
        self.remember(version, &compiled);
        Ok(compiled)
    }

    /// The texts of a version that a home keeps: the flow with its project, and the catalogue.
    ///
    /// # Errors
    /// It is not there, or a text of it is not.
    pub async fn texts(
        &self,
        store: &Store,
        version: &str,
    ) -> Result<(Source, Vec<FileText>), VersionError> {
        let missing = || VersionError::Missing(version.to_owned());
        let texts = self.kept(store, version).await?;
        let file = async |(name, hash): &(String, String)| -> Result<FileText, VersionError> {
            let content = store.blob(hash).await?.ok_or_else(missing)?;
            Ok(FileText {
                name: name.clone(),
                text: String::from_utf8_lossy(&content).into_owned(),
            })
        };
        let flow = file(&texts.flow).await?;
        let project = match &texts.project {
            Some(named) => Some(file(named).await?),
            None => None,
        };
        let mut catalogue = Vec::new();
        for named in &texts.catalogue {
            catalogue.push(file(named).await?);
        }
        Ok((Source { folder: texts.folder, project, flow }, catalogue))
    }

    /// Where the texts of a version came from.
    ///
    /// # Errors
    /// It is not there.
    pub async fn kept(&self, store: &Store, version: &str) -> Result<Texts, VersionError> {
        let missing = || VersionError::Missing(version.to_owned());
        let row = store.version(version).await?.ok_or_else(missing)?;
        serde_json::from_str(&row.texts).map_err(|_| missing())
    }
}

fn named(files: &[FileText]) -> Vec<(&str, &str)> {
    files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect()
}
