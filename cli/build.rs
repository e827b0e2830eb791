//! Puts the catalogue's files into the binary: whatever lies in `flows/catalogue` when it is built.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let source = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let folder = source.join("../flows/catalogue");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut list = String::from("[\n");
    for file in &files {
        let file = file.canonicalize()?;
        let path = file.to_string_lossy();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ =
            writeln!(list, "    ({:?}, include_str!({:?})),", format!("catalogue/{name}"), path);
    }
    list.push(']');
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(Path::new(&out).join("catalogue.rs"), list)
}
