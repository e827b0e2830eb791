//! One end of a connection: whole messages of any size, sent without ever waiting for the other side.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::sys;

/// The largest message that travels in a packet; larger ones travel as a file in memory.
const PACKET: usize = 48 * 1024;
/// The kind of a packet whose message is in the file beside it.
const IN_FILE: u8 = 255;
/// The largest message there may be.
const MESSAGE: u64 = 1 << 30;

/// One end of a connection.
pub(crate) struct Channel {
    socket: OwnedFd,
    queue: Mutex<Queue>,
}

/// What the other side was too slow to take.
#[derive(Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// A thread is at work on the queue.
    flushes: bool,
    broken: bool,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Arc<Self> {
        Arc::new(Self { socket, queue: Mutex::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, or keeps it until the other side has room.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn send(self: &Arc<Self>, message: Vec<u8>) -> io::Result<()> {
        let mut queue = self.queue();
        if queue.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !queue.flushes {
            match self.put(&message, false) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    queue.broken = true;
                    return Err(error);
                }
            }
            let channel = Arc::clone(self);
            thread::Builder::new().name("flush".into()).spawn(move || channel.flush())?;
            queue.flushes = true;
        }
        queue.messages.push_back(message);
        Ok(())
    }

    /// Ends the connection: both sides' readers see it.
    pub(crate) fn shut_down(&self) {
        sys::shut_down(self.socket.as_fd());
    }

    /// Sends what waits, in order, until nothing does.
    fn flush(&self) {
        loop {
            let message = {
                let mut queue = self.queue();
                let Some(message) = queue.messages.pop_front() else {
                    queue.flushes = false;
                    return;
                };
                message
            };
            if self.put(&message, true).is_err() {
                let mut queue = self.queue();
                queue.broken = true;
                queue.flushes = false;
                queue.messages.clear();
                return;
            }
        }
    }

    fn put(&self, message: &[u8], waits: bool) -> io::Result<()> {
        if message.len() <= PACKET {
            return sys::send(self.socket.as_fd(), message, None, waits);
        }
        let file = sys::memory_file(message)?;
        sys::send(self.socket.as_fd(), &[IN_FILE], Some(file.as_fd()), waits)
    }

    /// Waits for a message and puts it into the buffer; `false`: the other side is gone.
    ///
    /// # Errors
    /// The connection is broken, or the message is not of this protocol.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        self.take(buffer, true)
    }

    /// As [`Self::receive`], but does not wait.
    ///
    /// # Errors
    /// As there, and [`io::ErrorKind::WouldBlock`] if none is there.
    pub(crate) fn try_receive(&self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        self.take(buffer, false)
    }

    fn take(&self, buffer: &mut Vec<u8>, waits: bool) -> io::Result<bool> {
        buffer.resize(PACKET, 0);
        let (length, beside) = sys::receive(self.socket.as_fd(), buffer, waits)?;
        buffer.truncate(length);
        if length == 1
            && buffer[0] == IN_FILE
            && let Some(file) = beside
        {
            buffer.clear();
            File::from(file).take(MESSAGE).read_to_end(buffer)?;
        }
        Ok(length > 0)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_never_waits_and_nothing_is_lost_or_out_of_order() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let path = dir.path().join("socket");
        let listener = sys::listen(&path).expect("listens");
        let sender = Channel::new(sys::connect(&path).expect("connects"));
        let receiver = Channel::new(sys::accept(listener.as_fd()).expect("accepts"));
        // Far more than a socket holds, and every seventh too large for a packet.
        let size = |number: usize| if number.is_multiple_of(7) { PACKET * 3 } else { 2_000 };
        for number in 0..2_000_usize {
            let mut message = number.to_ne_bytes().to_vec();
            message.resize(size(number), 1);
            sender.send(message).expect("sends");
        }
        let mut buffer = Vec::new();
        for number in 0..2_000_usize {
            assert!(receiver.receive(&mut buffer).expect("receives"));
            assert_eq!(buffer.len(), size(number));
            assert_eq!(buffer[..8], number.to_ne_bytes());
        }
    }
}
