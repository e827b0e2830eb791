//! Stands for the mail server and the chats of an operator: takes what comes, and misbehaves on demand.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::{LIMIT, until};

/// What it does with the next thing that comes, instead of taking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this number.
    Answer(u16),
    /// It reads all and says nothing, until the other side is gone.
    Hang,
    /// It reads all and closes the line.
    Close,
    /// Mail only: it tells whoever logs in what they have said, and lets nobody in.
    Echo,
}

/// Something that came.
#[derive(Clone, Debug)]
pub struct Letter {
    /// When all of it was there.
    pub at: Instant,
    /// The request line and headers of a call; what was said of sender and receivers of a mail.
    pub head: String,
    /// The body of a call; a mail with its headers.
    pub body: String,
    /// It was taken.
    pub is_taken: bool,
}

/// A listener on a free port.
#[derive(Debug)]
pub struct Post {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Mutex<VecDeque<Fault>>,
    letters: Mutex<Vec<Letter>>,
    /// What is answered to a call that is taken.
    answer: Mutex<String>,
}

impl Post {
    /// One that speaks SMTP.
    pub fn mail() -> Self {
        Self::listen(Shared::mail)
    }

    /// One that speaks HTTP.
    pub fn chat() -> Self {
        Self::listen(Shared::call)
    }

    fn listen(speak: fn(&Shared, TcpStream) -> std::io::Result<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let its = Arc::clone(&its);
                thread::spawn(move || {
                    let _unheard = line.set_read_timeout(Some(LIMIT));
                    // Who speaks may leave at any time.
                    let _left = speak(&its, line);
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It does these with what comes next, one after the other.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// What it answers to a call that it takes.
    pub fn answers(&self, answer: &str) {
        answer.clone_into(&mut lock(&self.shared.answer));
    }

    /// All that has come.
    pub fn letters(&self) -> Vec<Letter> {
        lock(&self.shared.letters).clone()
    }

    /// All that was taken, once there are as many.
    pub fn taken(&self, count: usize) -> Vec<Letter> {
        until("it is taken", || {
            let mut letters = self.letters();
            letters.retain(|letter| letter.is_taken);
            (letters.len() >= count).then_some(letters)
        })
    }
}

impl Shared {
    fn keep(&self, head: String, body: String, is_taken: bool) {
        lock(&self.letters).push(Letter { at: Instant::now(), head, body, is_taken });
    }

    fn next_fault(&self) -> Option<Fault> {
        lock(&self.faults).pop_front()
    }

    fn call(&self, mut line: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(line.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let fault = self.next_fault();
        let body = String::from_utf8_lossy(&body).into_owned();
        self.keep(head, body, fault.is_none());
        let (status, answer) = match fault {
            None => (200, lock(&self.answer).clone()),
            Some(Fault::Answer(status)) => (status, "no".to_owned()),
            Some(Fault::Close | Fault::Echo) => return Ok(()),
            Some(Fault::Hang) => return hang(&mut reader),
        };
        write!(line, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
    }

    fn mail(&self, mut line: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(line.try_clone()?);
        let mut head = String::new();
        write!(line, "220 a mail server\r\n")?;
        loop {
            let mut said = String::new();
            if reader.read_line(&mut said)? == 0 {
                return Ok(());
            }
            let word = said.get(..4).unwrap_or_default().to_ascii_uppercase();
            match word.as_str() {
                "EHLO" => write!(line, "250-a mail server\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n")?,
                "AUTH" => {
                    let is_echo = lock(&self.faults).front() == Some(&Fault::Echo);
                    if is_echo {
                        self.next_fault();
                        write!(line, "535 you said {}\r\n", said.trim())?;
                    } else {
                        head.push_str(&said);
                        write!(line, "235 come in\r\n")?;
                    }
                }
                "MAIL" | "RCPT" => {
                    head.push_str(&said);
                    write!(line, "250 so be it\r\n")?;
                }
                "DATA" => {
                    write!(line, "354 go on\r\n")?;
                    let mut mail = String::new();
                    while !mail.ends_with("\r\n.\r\n") {
                        if reader.read_line(&mut mail)? == 0 {
                            return Ok(());
                        }
                    }
                    let fault = self.next_fault();
                    self.keep(std::mem::take(&mut head), mail, fault.is_none());
                    match fault {
                        None => write!(line, "250 it is kept\r\n")?,
                        Some(Fault::Answer(code)) => write!(line, "{code} not now\r\n")?,
                        Some(Fault::Close | Fault::Echo) => return Ok(()),
                        Some(Fault::Hang) => return hang(&mut reader),
                    }
                }
                "QUIT" => return write!(line, "221 farewell\r\n"),
                _ => write!(line, "250 as you like\r\n")?,
            }
        }
    }
}

/// Reads until the other side is gone.
fn hang(reader: &mut impl std::io::Read) -> std::io::Result<()> {
    std::io::copy(reader, &mut std::io::sink()).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
