//! A disk of its own for a test. Needs root: only root may mount.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What fills one.
const FILLER: &str = "filler";

/// A small file system in memory; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of that many bytes.
    pub(crate) fn mount(path: PathBuf, size: u64) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        assert!(is_root, "this test mounts a file system, and only root may: run it as root");
        std::fs::create_dir_all(&path).expect("a folder can be made");
        let size = format!("size={size},mode=0700");
        let is_done = mount(&["-t", "tmpfs", "-o", &size, "weir-test"], &path);
        assert!(is_done, "{} can't be mounted", path.display());
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// There is none for the name of what fills it.
    pub fn fill(&self) {
        let mut filler = File::create(self.path.join(FILLER)).expect("made");
        let block = [1; 4096];
        while filler.write_all(&block).is_ok() {}
    }

    /// Gives back the room that [`Self::fill`] took.
    ///
    /// # Panics
    /// It had not taken any.
    pub fn free(&self) {
        std::fs::remove_file(self.path.join(FILLER)).expect("removed");
    }

    /// From now on nothing can be written.
    ///
    /// # Panics
    /// It can't be remounted.
    pub fn forbid_writing(&self) {
        assert!(mount(&["-o", "remount,ro"], &self.path), "it can't be remounted");
    }

    /// Can be written again.
    ///
    /// # Panics
    /// It can't be remounted.
    pub fn allow_writing(&self) {
        assert!(mount(&["-o", "remount,rw"], &self.path), "it can't be remounted");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still uses it: the name goes now, the rest when the last user goes.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let command = Command::new("mount").args(args).arg(path).output();
    command.is_ok_and(|output| output.status.success())
}
