//! Keeping a copy of a home, and making a home of it again.
//!
//! A backup is a folder: `weir.db`, `backup.json`, what is kept of hosts, and if asked for the key and the attempts'
//! folders. It is written
//! under another name and renamed when it is whole and on the disk, so a folder of the right name is a whole backup. A
//! restore leaves a mark in the home until it is through: a home with that mark is not used.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::{ConnectOptions as _, Connection as _};
use weir_core::ids::RunId;
use weir_core::time::Timestamp;
use weir_migrations::SCHEMA;

use super::{Store, connect};
use crate::home::{self, Home, HomeLock};

const MANIFEST: &str = "backup.json";
const DATABASE: &str = "weir.db";
const KEY: &str = "secret.key";
const RUNS: &str = "runs";
const HOSTS: &str = "hosts";
/// The shape of a backup's folder.
const FORMAT: u32 = 1;

/// Why there is no backup, or no home from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place is taken.
    #[error("{path} is there already\nhelp: name a folder that does not exist yet")]
    Exists {
        /// Where the backup should go.
        path: PathBuf,
    },
    /// The folder holds no backup, or half of one.
    #[error("{path} is no backup: {why}\nhelp: name a folder that `weir backup` has written")]
    NoBackup {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// A newer program wrote the backup.
    #[error(
        "{path} has schema {found}, this program knows schemas up to {SCHEMA}\nhelp: restore it with the weir that wrote it or a newer one"
    )]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// The home is in use.
    #[error(
        "{path} is not empty: {entry} is there\nhelp: restore into a new folder, with --home DIR"
    )]
    NotEmpty {
        /// The home.
        path: PathBuf,
        /// What is in it.
        entry: String,
    },
    /// A folder can't be read or written.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] super::Error),
}

/// Whether a part that can be left out is in the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It is in it.
    Included,
    /// It is not.
    LeftOut,
}

/// What a backup is of; stands in its `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The shape of the folder; 1.
    pub format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// The schema of its database.
    pub schema: i64,
    /// The home's own name.
    pub home: String,
    /// When it was made.
    pub at: Timestamp,
    /// The newest run in it; 0 if there is none.
    pub last_run: RunId,
    /// The key of the secrets. Without it, it must be kept elsewhere.
    pub key: Part,
    /// The attempts' folders: logs, and the ends of what ran at the time.
    pub logs: Part,
}

/// Copies the store into the folder `target`, which must not be there yet. The store stays in use meanwhile: the copy is
/// of one moment.
///
/// # Errors
/// The place is taken or can't be written, or the store can't be read.
pub async fn backup(
    store: &Store,
    target: &Path,
    key: Part,
    logs: Part,
) -> Result<Manifest, Error> {
    if target.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: target.to_path_buf() });
    }
    let name = target.file_name().ok_or_else(|| Error::Exists { path: target.to_path_buf() })?;
    let mut draft_name = name.to_owned();
    draft_name.push(format!(".unfinished-{}", std::process::id()));
    let draft = target.with_file_name(draft_name);
    let written = write(store, &draft, key, logs).await;
    let written = written.and_then(|manifest| {
        // Onto an empty folder rename would succeed; it was not there a moment ago.
        fs::rename(&draft, target).map_err(|error| home::Error::of(target, error))?;
        sync_folder(parent_of(target))?;
        Ok(manifest)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    written
}

async fn write(store: &Store, draft: &Path, key: Part, logs: Part) -> Result<Manifest, Error> {
    let home = store.home();
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::Home(home::Error::of(&path, error))
    };
    fs::DirBuilder::new().mode(0o700).create(draft).map_err(fail(draft))?;
    let database = draft.join(DATABASE);
    let path = database.to_str().ok_or_else(|| {
        fail(&database)(io::Error::new(ErrorKind::InvalidFilename, "its name must be UTF-8 text"))
    })?;
    let mut connection =
        connect::options(home, connect::Use::Care).connect().await.map_err(super::Error::from)?;
    let copied = sqlx::query("VACUUM INTO ?").bind(path.to_owned()).execute(&mut connection).await;
    connection.close().await.map_err(super::Error::from)?;
    copied.map_err(|error| match super::Trouble::of(&error) {
        super::Trouble::Full => Error::Home(home::Error::Full { path: database.clone() }),
        _ => super::Error::from(error).into(),
    })?;
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).map_err(fail(&database))?;
    sync_file(&database)?;
    let key = match key {
        Part::Included if home.secret_key().exists() => {
            copy_file(&home.secret_key(), &draft.join(KEY))?;
            Part::Included
        }
        Part::Included | Part::LeftOut => Part::LeftOut,
    };
    if let Part::Included = logs {
        copy_folder(&home.runs(), &draft.join(RUNS))?;
    }
    // Without it a machine whose key was kept would be met as if for the first time.
    if home.all_hosts().is_dir() {
        copy_folder(&home.all_hosts(), &draft.join(HOSTS))?;
    }
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA,
        home: store.home_id().await?,
        at: home::now(),
        last_run: store.last_run_id().await?,
        key,
        logs,
    };
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    let path = draft.join(MANIFEST);
    fs::write(&path, text + "\n").map_err(fail(&path))?;
    sync_file(&path)?;
    sync_folder(draft)?;
    Ok(manifest)
}

/// Makes a home at `path`, which must be empty, of the backup in `from`. If it does not come to its end, the home says so
/// when it is opened, and the same call makes it whole.
///
/// # Errors
/// There is no whole backup in `from`, it is of a newer program, or the home is in use or can't be written.
pub async fn restore(from: &Path, path: &Path) -> Result<Manifest, Error> {
    let manifest = read_manifest(from)?;
    let home = Home::at(path)?;
    let _lock = HomeLock::take(&home, "weir restore")?;
    let mark = home.restore_mark();
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::Home(home::Error::of(&path, error))
    };
    if mark.exists() {
        clear(&home).map_err(fail(home.path()))?;
    } else {
        for entry in fs::read_dir(home.path()).map_err(fail(home.path()))? {
            let entry = entry.map_err(fail(home.path()))?.path();
            if entry != home.lock() {
                let entry = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Error::NotEmpty { path: home.path().to_path_buf(), entry });
            }
        }
        let from = from.canonicalize().map_err(fail(from))?;
        fs::write(&mark, format!("{}\n", from.display())).map_err(fail(&mark))?;
        sync_file(&mark)?;
        sync_folder(home.path())?;
    }
    copy_file(&from.join(DATABASE), &home.database())?;
    if let Part::Included = manifest.key {
        copy_file(&from.join(KEY), &home.secret_key())?;
    }
    if let Part::Included = manifest.logs {
        copy_folder(&from.join(RUNS), &home.runs())?;
    }
    if from.join(HOSTS).is_dir() {
        copy_folder(&from.join(HOSTS), &home.all_hosts())?;
    }
    check(from, &home).await?;
    sync_folder(home.path())?;
    fs::remove_file(&mark).map_err(fail(&mark))?;
    sync_folder(home.path())?;
    Ok(manifest)
}

fn read_manifest(from: &Path) -> Result<Manifest, Error> {
    let wrong = |why: String| Error::NoBackup { path: from.to_path_buf(), why };
    let text = fs::read_to_string(from.join(MANIFEST))
        .map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
    if manifest.format != FORMAT || manifest.schema > SCHEMA {
        return Err(Error::Newer { path: from.to_path_buf(), found: manifest.schema });
    }
    let needed = [(DATABASE, Part::Included), (KEY, manifest.key), (RUNS, manifest.logs)];
    for (name, part) in needed {
        if part == Part::Included && !from.join(name).exists() {
            return Err(wrong(format!("{name} is missing")));
        }
    }
    Ok(manifest)
}

/// Takes away what an earlier attempt has left.
fn clear(home: &Home) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    for name in [DATABASE, "weir.db-wal", "weir.db-shm", KEY] {
        gone(fs::remove_file(home.path().join(name)))?;
    }
    gone(fs::remove_dir_all(home.all_hosts()))?;
    gone(fs::remove_dir_all(home.runs()))
}

/// The copied database must be sound before the home may be used.
async fn check(from: &Path, home: &Home) -> Result<(), Error> {
    let wrong = |why: String| Error::NoBackup { path: from.to_path_buf(), why };
    let found = async {
        let mut connection = connect::options(home, connect::Use::Care).connect().await?;
        let found: String =
            sqlx::query_scalar("PRAGMA quick_check").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(found)
    };
    match found.await {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(wrong(format!("its database is damaged: {found}"))),
        Err(error) => Err(wrong(format!("its database is damaged: {error}"))),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map_err(|error| home::Error::of(to, error))?;
    sync_file(to)
}

/// Copies files and folders. What vanishes meanwhile was not to be kept; sockets and the like are left out.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(to)
        .map_err(|error| home::Error::of(to, error))?;
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(home::Error::of(from, error).into()),
    };
    for entry in entries {
        let entry = entry.map_err(|error| home::Error::of(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(home::Error::of(&source, error).into()),
        };
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            match fs::copy(&source, &target) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(home::Error::of(&target, error).into()),
            }
        }
    }
    sync_folder(to)
}

fn sync_file(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| home::Error::of(path, error).into())
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    sync_file(path)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}
