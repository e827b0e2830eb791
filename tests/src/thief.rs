//! Another program that holds the database.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Locks it like a backup or a curious person would, and then does nothing.
const PROGRAM: &str = "import sqlite3, sys\n\
                       db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                       db.execute('begin immediate')\n\
                       print('held', flush=True)\n\
                       sys.stdin.read()\n";

/// Holds the database of a home, until it gives it back or is dropped.
#[derive(Debug)]
pub struct Thief {
    child: Child,
}

impl Thief {
    /// Takes that of this home; when this returns, nobody else can write.
    ///
    /// # Panics
    /// It can't be taken.
    pub fn of(home: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(home.join("weir.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut word = [0; 5];
        child.stdout.take().expect("piped").read_exact(&mut word).expect("it says so");
        Self { child }
    }

    /// From now on others can write again.
    ///
    /// # Panics
    /// It does not end well.
    pub fn gives_back(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("our child").success());
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        // It has mostly ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
