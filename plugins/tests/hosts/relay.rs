//! A line that can be cut, frozen, slowed to nothing in one direction, and put together again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A TCP relay to a port of this machine.
pub(crate) struct Relay {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// New connections are closed at once.
    is_down: AtomicBool,
    /// Nothing is passed on, and nothing is lost.
    is_frozen: AtomicBool,
    /// What comes back is thrown away once this many more bytes have gone there.
    swallow_after: AtomicU64,
    /// All is cut once this many more bytes have gone there.
    cut_after: AtomicU64,
    /// All is cut once this many more bytes have come back.
    cut_after_back: AtomicU64,
    cuts: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            swallow_after: AtomicU64::new(u64::MAX),
            cut_after: AtomicU64::new(u64::MAX),
            cut_after_back: AtomicU64::new(u64::MAX),
            ..Shared::default()
        });
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for here in listener.incoming() {
                if state.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(here), false) = (here, state.is_down.load(Ordering::SeqCst)) else {
                    continue;
                };
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for stream in [&here, &there] {
                    stream.set_nodelay(true).expect("a socket takes it");
                    state
                        .open
                        .lock()
                        .expect("no thread panics")
                        .push(stream.try_clone().expect("a handle"));
                }
                let pair =
                    (here.try_clone().expect("a handle"), there.try_clone().expect("a handle"));
                let (out, back) = (Arc::clone(&state), Arc::clone(&state));
                thread::spawn(move || copy(here, there, &out, true));
                thread::spawn(move || copy(pair.1, pair.0, &back, false));
            }
        });
        Self { port: own, shared }
    }

    /// Ends all connections; new ones are taken.
    pub(crate) fn cut(&self) {
        self.shared.cut();
    }

    /// Ends all connections, and takes no more.
    pub(crate) fn down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn up(&self) {
        self.shared.is_down.store(false, Ordering::SeqCst);
    }

    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.shared.is_frozen.store(is_frozen, Ordering::SeqCst);
    }

    pub(crate) fn swallow_after(&self, bytes: u64) {
        self.shared.swallow_after.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.cut_after.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cut_after_back(&self, bytes: u64) {
        self.shared.cut_after_back.store(bytes, Ordering::SeqCst);
    }

    /// How often it was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        for stream in self.open.lock().expect("no thread panics").drain(..) {
            // It may have ended by itself.
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.is_frozen.store(false, Ordering::SeqCst);
        self.shared.cut();
        let _wakes = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Counts down; whether it has come to nothing just now.
fn spend(counter: &AtomicU64, bytes: u64) -> bool {
    let take = |left: u64| (left != u64::MAX && left > 0).then(|| left.saturating_sub(bytes));
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        .is_ok_and(|before| before <= bytes)
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared, is_out: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while shared.is_frozen.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if is_out {
            spend(&shared.swallow_after, count as u64);
            if spend(&shared.cut_after, count as u64) {
                shared.cut_after.store(u64::MAX, Ordering::SeqCst);
                shared.cut();
                break;
            }
        } else {
            if shared.swallow_after.load(Ordering::SeqCst) == 0 {
                continue;
            }
            if spend(&shared.cut_after_back, count as u64) {
                shared.cut_after_back.store(u64::MAX, Ordering::SeqCst);
                shared.cut();
                break;
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _gone = from.shutdown(Shutdown::Both);
    let _gone = to.shutdown(Shutdown::Both);
}
