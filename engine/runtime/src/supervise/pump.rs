//! What a job with secrets writes, read and masked before it reaches the log.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use weir_core::mask::Masker;

use super::folder::End;
use super::jobs::{Node, Record};
use super::sys::{self, EventFd};

const PIPE: i32 = 1 << 20;
const PIECE: usize = 256 * 1024;

/// Tells the thread that reads a job's output how the job ended.
pub(super) struct Pump {
    ends: EventFd,
    end: Mutex<Option<End>>,
}

impl Pump {
    /// Starts to read.
    pub(super) fn start(
        node: &Arc<Node>,
        folder: &Path,
        pipe: OwnedFd,
        log: File,
        masker: Masker,
    ) -> Arc<Self> {
        sys::set_pipe_size(pipe.as_fd(), PIPE);
        let ends = EventFd::new().expect("an event descriptor can be made");
        let pump = Arc::new(Self { ends, end: Mutex::new(None) });
        let stream = Stream { pipe: File::from(pipe), log, masker, out: Vec::new(), lost: 0 };
        let (node, folder, own) = (Arc::clone(node), folder.to_owned(), Arc::clone(&pump));
        thread::Builder::new()
            .name("mask".into())
            .spawn(move || own.run(&node, &folder, stream))
            .expect("a thread can be started");
        pump
    }

    /// The job has ended: what is in the pipe is its last word.
    pub(super) fn finish(&self, end: End) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        self.ends.set();
    }

    fn run(&self, node: &Node, folder: &Path, mut stream: Stream) {
        let mut buffer = vec![0; PIECE];
        let mut is_open = true;
        loop {
            let fds = [self.ends.as_fd(), stream.pipe.as_fd()];
            let fds = if is_open { &fds[..] } else { &fds[..1] };
            let Ok(ready) = sys::poll_readable(fds, None) else { continue };
            if ready[0] {
                break;
            }
            if ready.get(1) == Some(&true) {
                is_open = stream.copy(&mut buffer).is_some();
            }
        }
        // Who wrote to the pipe before the end has its bytes in it now; a daemon that keeps it open may go on for
        // ever, and does not hold up the end.
        let mut rest = sys::pending_bytes(stream.pipe.as_fd()).unwrap_or(0);
        while is_open && rest > 0 {
            let piece = rest.min(PIECE);
            match stream.copy(&mut buffer[..piece]) {
                Some(count) => rest = rest.saturating_sub(count),
                None => is_open = false,
            }
        }
        stream.flush();
        if let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).take() {
            node.finish(folder, end, Record::Write);
        }
        while is_open && stream.copy(&mut buffer).is_some() {}
        stream.flush();
    }
}

struct Stream {
    pipe: File,
    log: File,
    masker: Masker,
    out: Vec<u8>,
    /// Bytes that could not be written.
    lost: u64,
}

impl Stream {
    /// Takes what is there; `None` at the end of the pipe.
    fn copy(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self.pipe.read(buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.masker.push(&buffer[..count], &mut self.out);
                self.write();
                Some(count)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Some(0),
            Err(_) => None,
        }
    }

    fn flush(&mut self) {
        self.masker.finish(&mut self.out);
        self.write();
    }

    /// Writes what is safe to show. What the disk has no room for is dropped and counted: the job must not wait.
    fn write(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if self.lost > 0 {
            let note =
                format!("\n[... {} bytes lost: the log could not be written ...]\n", self.lost);
            if self.log.write_all(note.as_bytes()).is_ok() {
                self.lost = 0;
            }
        }
        if self.log.write_all(&self.out).is_err() {
            self.lost += self.out.len() as u64;
        }
        self.out.clear();
    }
}
