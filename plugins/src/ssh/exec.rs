//! A command at work on a host: its input, its output, its end.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use weir_core::outcome::ErrorClass;

use super::client::{Bounds, Line, within};
use super::pool::Use;
use super::sudo::{self, Command, Question, READY};
use super::trouble::Trouble;

/// How much is kept of what a command says before it begins.
const SAID: usize = 4096;

/// So much of what has come is handed on at once: to put each packet of 32 kB into a log by itself costs more than to
/// bring it here.
const AT_ONCE: usize = 256 << 10;

/// What a command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// On its standard output.
    Out(Vec<u8>),
    /// On its standard error.
    Err(Vec<u8>),
    /// It has ended with this code (128 and the number for a signal); nothing follows.
    Exit(i32),
}

/// A command at work. Dropping it ends its channel, not the command.
pub(crate) struct Exec {
    read: ChannelReadHalf,
    write: Arc<Writer>,
    line: Arc<Line>,
    exit: Option<i32>,
    /// What came with the sign that it listens.
    early: Option<Vec<u8>>,
    /// What came after output that was handed on.
    held: Option<ChannelMsg>,
}

/// The command's input.
pub(crate) struct Writer {
    half: ChannelWriteHalf<Msg>,
    /// The connection is held for as long as the channel.
    used: Use,
    line: Arc<Line>,
}

impl Writer {
    /// Sends input; waits while the other side takes none.
    pub(crate) async fn send(&self, bytes: Vec<u8>) -> Result<(), Trouble> {
        self.half.data_bytes(bytes).await.map_err(|_| Trouble::unreachable(self.line.end()))
    }

    /// The input has ended.
    pub(crate) async fn finish(&self) -> Result<(), Trouble> {
        self.half.eof().await.map_err(|_| Trouble::unreachable(self.line.end()))
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        let write = Arc::clone(&self.write);
        // Without a runtime all connections have gone, too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // It may have been closed by the other side.
                let _closed = write.half.close().await;
            });
        }
    }
}

impl Exec {
    /// Gives a command to a channel. Whether it is taken on shows by what comes next.
    ///
    /// # Errors
    /// The line broke.
    pub(crate) async fn start(
        channel: Channel<Msg>,
        command: &Command,
        used: Use,
        line: Arc<Line>,
    ) -> Result<Self, Trouble> {
        let (read, half) = channel.split();
        let write = Arc::new(Writer { half, used, line: Arc::clone(&line) });
        let exec = Self { read, write, line, exit: None, early: None, held: None };
        match exec.write.half.exec(true, command.text.as_bytes()).await {
            Ok(()) => Ok(exec),
            Err(_) => Err(Trouble::unreachable(exec.line.end())),
        }
    }

    /// Its input, to be written while its output is read.
    pub(crate) fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.write)
    }

    /// What comes next.
    ///
    /// # Errors
    /// The line broke before the end.
    pub(crate) async fn next(&mut self) -> Result<Piece, Trouble> {
        if let Some(early) = self.early.take() {
            return Ok(Piece::Out(early));
        }
        loop {
            let message = match self.held.take() {
                Some(message) => Some(message),
                None => self.read.wait().await,
            };
            match message {
                Some(ChannelMsg::Data { data }) => {
                    let bytes = self.with_what_is_here(data.to_vec());
                    self.write.used.heard(bytes.len());
                    return Ok(Piece::Out(bytes));
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    return Ok(Piece::Err(data.to_vec()));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.exit = Some(i32::try_from(exit_status).unwrap_or(255));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.exit = Some(128 + number(&signal_name));
                }
                Some(ChannelMsg::Failure) => {
                    return Err(Trouble::refused("it runs no commands for this user", ""));
                }
                Some(_) => {}
                // What was still on its way has come before this.
                None => {
                    return match self.exit {
                        Some(code) => Ok(Piece::Exit(code)),
                        None => Err(Trouble::unreachable(self.line.end())),
                    };
                }
            }
        }
    }

    /// These bytes and those after them that need not be waited for.
    fn with_what_is_here(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        while bytes.len() < AT_ONCE {
            match pin!(self.read.wait()).poll(&mut cx) {
                Poll::Ready(Some(ChannelMsg::Data { data })) => bytes.extend_from_slice(&data),
                Poll::Ready(Some(other)) => {
                    self.held = Some(other);
                    break;
                }
                // Its end is met again by who waits.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        bytes
    }

    /// Waits until the small shell listens, answering what `sudo` asks, and hands it its script.
    ///
    /// # Errors
    /// It does not begin: `sudo` refuses, a program is not there, the line broke.
    pub(crate) async fn begin(
        &mut self,
        script: &str,
        questions: &[Question],
        bounds: &Bounds,
    ) -> Result<(), Trouble> {
        let text = sudo::told(script);
        // Without questions nothing else reads the input: one round trip less.
        let early = questions.is_empty();
        let what = if early { "no shell began" } else { "`sudo` did not let it begin" };
        let bound = if early { bounds.open } else { bounds.sudo };
        // A slow line may take long for a long text.
        let more = Duration::from_millis(text.len() as u64 / 50);
        let mut said = Said::default();
        let step = async {
            if early {
                self.write.send(text.clone()).await?;
            }
            self.ready(questions, &mut said).await
        };
        let Ok(begun) = tokio::time::timeout(bound + more, step).await else {
            let bound = bound.as_secs_f32();
            return Err(Trouble::unreachable(format!("{what} within {bound} s{}", said.last())));
        };
        begun?;
        if !early {
            self.write.send(text).await?;
        }
        Ok(())
    }

    async fn ready(&mut self, questions: &[Question], said: &mut Said) -> Result<(), Trouble> {
        let Said { out, err } = said;
        let mut asker = Asker::new(questions);
        let sign = format!("{READY}\n");
        loop {
            match self.next().await? {
                Piece::Out(bytes) => {
                    out.extend_from_slice(&bytes);
                    // Whatever the login shell's own files say comes before.
                    if let Some(at) = find(out, sign.as_bytes()) {
                        let rest = out.split_off(at + sign.len());
                        self.early = (!rest.is_empty()).then_some(rest);
                        return Ok(());
                    }
                    forget(out);
                }
                Piece::Err(bytes) => {
                    err.extend_from_slice(&bytes);
                    if let Some(answer) = asker.answer(err)? {
                        self.write.send(answer).await?;
                    }
                    forget(err);
                }
                Piece::Exit(code) => return Err(not_begun(code, out, err)),
            }
        }
    }
}

/// What was said before the work began.
#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    /// The last of it, for people: who stands still has mostly asked something.
    fn last(&self) -> String {
        let words = [&self.err, &self.out].into_iter().find_map(|said| {
            let said = String::from_utf8_lossy(said).into_owned();
            said.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
        });
        let words = words.map(|words| words.chars().take(200).collect::<String>());
        words.map_or_else(String::new, |words| format!("; it says: {words}"))
    }
}

/// Answers questions, each once.
struct Asker<'a> {
    questions: &'a [Question],
    answered: Vec<bool>,
}

impl<'a> Asker<'a> {
    fn new(questions: &'a [Question]) -> Self {
        Self { questions, answered: vec![false; questions.len()] }
    }

    fn answer(&mut self, err: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Trouble> {
        for (question, answered) in self.questions.iter().zip(&mut self.answered) {
            let Some(at) = find(err, question.prompt.as_bytes()) else { continue };
            err.drain(..at + question.prompt.len());
            if *answered {
                return Err(Trouble::refused(
                    format!("`sudo` does not take the password to become `{}`", question.user),
                    "see the secret that `become` names: it is the password of the user who logs in there",
                ));
            }
            *answered = true;
            return Ok(Some(format!("{}\n", question.password.expose()).into_bytes()));
        }
        Ok(None)
    }
}

/// Makes a channel in which an `ssh` of a hop carries a stream ready, and hands it back.
pub(crate) async fn open_stream(
    channel: &mut Channel<Msg>,
    command: &Command,
    line: &Line,
    bounds: &Bounds,
) -> Result<(), Trouble> {
    let step = async {
        channel
            .exec(true, command.text.as_bytes())
            .await
            .map_err(|_| Trouble::unreachable(line.end()))?;
        let mut err = Vec::new();
        let mut asker = Asker::new(&command.questions);
        let mut exit = None;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    err.extend_from_slice(&data);
                    if find(&err, format!("{READY}\n").as_bytes()).is_some() {
                        return Ok(());
                    }
                    if let Some(answer) = asker.answer(&mut err)? {
                        let sent = channel.data_bytes(answer).await;
                        sent.map_err(|_| Trouble::unreachable(line.end()))?;
                    }
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(exit_status as i32),
                Some(_) => {}
                None => {
                    return Err(match exit {
                        Some(code) => not_begun(code, &[], &err),
                        None => Trouble::unreachable(line.end()),
                    });
                }
            }
        }
    };
    within(bounds.sudo, "its `ssh` did not begin", step).await
}

/// Why a command ended before it had begun.
fn not_begun(code: i32, out: &[u8], err: &[u8]) -> Trouble {
    let said = [err, out]
        .iter()
        .flat_map(|text| {
            String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>();
    // `sudo` first prints its lecture, `ssh` its warnings.
    let line = said.last().cloned().unwrap_or_else(|| format!("ended with code {code}"));
    let all = said.join("\n");
    if all.contains("sudo:") || all.contains("sudoers") {
        let help = if all.contains("password") || all.contains("terminal") {
            "give `become` the password (`become: { user: root, password: { secret: NAME } }`), or allow it without one in sudoers (NOPASSWD)"
        } else {
            "allow it in sudoers there, or log in as that user"
        };
        // The first line tells the reason, those after it what became of that.
        let reason = said.iter().find(|line| line.contains("sudo:")).unwrap_or(&line);
        return Trouble::refused(format!("`sudo` refuses: {reason}"), help);
    }
    if all.contains("Permission denied") || all.contains("Host key verification failed") {
        return Trouble::refused(format!("the machine before it is refused there: {line}"), "");
    }
    if all.contains("Identity file") || all.contains("Load key") {
        return Trouble::refused(
            format!("the key on the machine before it can't be used: {line}"),
            "",
        );
    }
    match code {
        126 | 127 => Trouble::refused(format!("a program is missing there: {line}"), ""),
        255 => Trouble::unreachable(format!("the machine before it can't reach it: {line}")),
        code => Trouble::new(
            ErrorClass::Refused,
            format!("no shell began: {line} (code {code})"),
            "see the login shell of that user",
        ),
    }
}

pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

fn forget(text: &mut Vec<u8>) {
    if text.len() > SAID {
        text.drain(..text.len() - SAID);
    }
}

fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}
