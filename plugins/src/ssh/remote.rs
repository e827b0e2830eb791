//! An attempt's folder on a host, and what can be asked of it. What is done there stands in `attempt.sh`, `begin.sh` and
//! `later.sh`.

use std::collections::VecDeque;
use std::time::Duration;

use weir_core::hosts::{Become, Route};
use weir_core::outcome::ErrorClass;

use super::client::within;
use super::exec::{Exec, Piece};
use super::pool::Pool;
use super::session::{Session, mark};
use super::sudo::quoted;
use super::trouble::Trouble;

const ATTEMPT: &str = include_str!("attempt.sh");
const BEGIN: &str = include_str!("begin.sh");
const LATER: &str = include_str!("later.sh");

/// For a question that is answered at once.
pub(super) const SHORTLY: Duration = Duration::from_mins(1);
/// A longer script becomes a file, for a moment.
const LONG: usize = 64 << 10;
/// How much is kept of what is said beside the answers.
const SAID: usize = 8192;

/// An attempt on a host.
pub(crate) struct Remote<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) route: &'a Route,
    /// Who does the work.
    pub(crate) user: Option<&'a Become>,
    /// What the attempt is called there.
    pub(crate) id: &'a str,
    /// How much room its log may take there, in bytes.
    pub(crate) limit: u64,
}

/// What comes of the log.
#[derive(Clone, Copy)]
pub(crate) enum Came<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// All up to there is missing: the host could not keep it.
    Gap(u64),
}

/// What is to be done.
pub(crate) struct Work {
    /// The words of the program that is given the script as a file; the shell's if empty.
    pub(crate) interpreter: Vec<String>,
    pub(crate) script: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) stdin: Option<String>,
    /// Where it begins, if not in the user's home.
    pub(crate) dir: Option<String>,
}

/// What came of a launch.
pub(crate) enum Launched {
    /// It has begun, in that boot of the host.
    Begun(String, Session),
    /// It had begun before, and the host is in that boot.
    Found(String),
    /// It must never begin.
    Fenced,
    /// The line broke: it may have begun.
    Unknown(Trouble),
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Its first process has ended with this code, and its log has this size.
    Ended(i32, u64),
    /// It will never end by itself: why, and the size of its log.
    Lost(Loss, u64),
    /// It must never begin.
    Fenced,
    /// There is no folder, in that boot of the host.
    Absent(String),
}

/// Why nobody saw its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The host came up anew meanwhile.
    Rebooted,
    /// The process that watched it is gone; nothing of it is left.
    Killed,
    /// As before, and something of it would not end.
    Stuck,
}

impl Work {
    /// What becomes the work on the host, as the shell function `work`.
    fn function(&self, id: &str) -> String {
        let dir = self.dir.as_deref().map_or_else(
            || "cd \"${HOME:-/}\" 2>/dev/null || cd /".to_owned(),
            |dir| format!("cd {} || exit 125", quoted(dir)),
        );
        let mut lines = Vec::new();
        let mut names = Vec::new();
        for (part, name, fd) in [(self.input(), "stdin.$$", ""), (self.long(), "script.$$", "3")] {
            if !part.is_empty() {
                lines.push(format!("exec {fd}<{name} || exit 125\n"));
                names.push(name);
            }
        }
        if !names.is_empty() {
            lines.push(format!("rm -f {}\n", names.join(" ")));
        }
        let exec = if self.long().is_empty() {
            self.exec("$own ")
        } else {
            format!("exec $own {} /proc/self/fd/3\n", self.words())
        };
        format!("work() {{\n{}{}{dir}\n{exec}}}\n", self.exports(id), lines.concat())
    }

    /// What it reads; may be nothing.
    fn input(&self) -> &str {
        self.stdin.as_deref().unwrap_or_default()
    }

    /// The script, if it is too long for a shell to hold it.
    fn long(&self) -> &str {
        if self.script.len() > LONG { &self.script } else { "" }
    }

    fn words(&self) -> String {
        let words: Vec<String> = self.interpreter.iter().map(|word| quoted(word)).collect();
        if words.is_empty() { "/bin/sh -eu".to_owned() } else { words.join(" ") }
    }

    /// The last command of a shell that becomes the work. The interpreter reads the script from a pipe: it is written
    /// down nowhere.
    fn exec(&self, own: &str) -> String {
        let mut end = String::from("WEIR_END");
        while self.script.contains(&end) {
            end.push('_');
        }
        let words = self.words();
        format!("exec {own}{words} /proc/self/fd/3 3<<'{end}'\n{}\n{end}\n", self.script)
    }

    /// The script for a shell that does the work itself. Nothing of it is written down there.
    pub(crate) fn on_connection(&self, id: &str) -> String {
        let dir = self
            .dir
            .as_deref()
            .map_or_else(String::new, |dir| format!("cd {} || exit 125\n", quoted(dir)));
        format!("{}{dir}{}", self.exports(id), self.exec(""))
    }

    fn exports(&self, id: &str) -> String {
        let mark = [("WEIR_ATTEMPT".to_owned(), id.to_owned())];
        let lines = self.env.iter().chain(&mark);
        let lines = lines.map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        lines.collect::<Vec<_>>().concat()
    }
}

/// What a script says with `say`, taken out of its standard error.
#[derive(Default)]
pub(super) struct Says {
    part: Vec<u8>,
    told: VecDeque<String>,
    beside: String,
}

impl Says {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.part.extend_from_slice(bytes);
        while let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.part.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            match line.strip_prefix("weir:") {
                Some(told) => self.told.push_back(told.to_owned()),
                None if self.beside.len() < SAID => {
                    self.beside.push_str(&line);
                    self.beside.push('\n');
                }
                None => {}
            }
        }
    }

    /// The next word, if it was said.
    pub(super) fn pop(&mut self) -> Option<String> {
        self.told.pop_front()
    }

    /// The last word, or that there was none.
    fn last(&self) -> Result<&str, Trouble> {
        self.told.back().map(String::as_str).ok_or_else(|| {
            let beside = self.beside.trim();
            let beside = if beside.is_empty() { "nothing" } else { beside };
            Trouble::new(
                ErrorClass::Connection,
                format!("the host gave no answer; it said: {beside}"),
                "it needs a POSIX shell and coreutils, and /proc",
            )
        })
    }
}

impl Remote<'_> {
    fn script(&self, more: &str) -> String {
        let (id, limit) = (quoted(self.id), self.limit);
        format!("{ATTEMPT}\n{LATER}\nid={id}\nlimit={limit}\n{more}\n")
    }

    async fn open(&self, more: &str) -> Result<Exec, Trouble> {
        self.pool.start(self.route, self.user, &self.script(more)).await
    }

    async fn ask(&self, more: &str, bound: Duration) -> Result<String, Trouble> {
        let step = async {
            let mut exec = self.open(more).await?;
            exec.writer().finish().await?;
            let mut says = Says::default();
            loop {
                match exec.next().await? {
                    Piece::Out(_) => {}
                    Piece::Err(bytes) => says.push(&bytes),
                    Piece::Exit(_) => return says.last().map(str::to_owned),
                }
            }
        };
        within(bound, "the host did not answer", Box::pin(step)).await
    }

    /// Begins the work, or finds it begun.
    ///
    /// # Errors
    /// It has surely not begun.
    pub(crate) async fn launch(&self, work: &Work) -> Result<Launched, Trouble> {
        let (long, input) = (work.long(), work.input());
        let mark = mark()?;
        // Cut off on its way it is no whole function, and nothing of it is done.
        let script = format!(
            "{ATTEMPT}\n{BEGIN}\nid={}\nlimit={}\nmark={mark}\nscripts={} inputs={}\n{}\
             IFS= read -r go && [ \"$go\" = go ] || exit 0\nbegin\n",
            quoted(self.id),
            self.limit,
            long.len(),
            input.len(),
            work.function(self.id),
        );
        let size = script.len() + long.len() + input.len();
        let bound = SHORTLY + Duration::from_millis(size as u64 / 50);
        let opened = Box::pin(self.pool.start(self.route, self.user, &script));
        let mut exec = within(bound, "the host did not answer", opened).await?;
        // From here on it may have begun.
        let mut says = Says::default();
        let step = async {
            let writer = exec.writer();
            let feed =
                async { writer.send(["go\n", long, input, "whole\n"].concat().into_bytes()).await };
            let read = async {
                loop {
                    if let Some(told) = says.pop() {
                        return Ok(told);
                    }
                    match exec.next().await? {
                        Piece::Out(_) => {}
                        Piece::Err(bytes) => says.push(&bytes),
                        Piece::Exit(_) => return says.last().map(str::to_owned),
                    }
                }
            };
            let (_fed, told): (Result<(), Trouble>, _) = tokio::join!(feed, read);
            told
        };
        let told = match within(bound, "the host did not answer", Box::pin(step)).await {
            Ok(told) => told,
            Err(trouble) => return Ok(Launched::Unknown(trouble)),
        };
        match told.split_once(' ') {
            Some(("launched", boot)) => {
                Ok(Launched::Begun(boot.to_owned(), Session::new(exec, says, mark)))
            }
            Some(("found", boot)) => Ok(Launched::Found(boot.to_owned())),
            Some(("failed", why)) => Err(Trouble::new(
                ErrorClass::Internal,
                format!("the work could not be begun there: {why}"),
                "",
            )),
            None if told == "fenced" => Ok(Launched::Fenced),
            _ => Ok(Launched::Unknown(Trouble::unreachable(format!("it answered `{told}`")))),
        }
    }

    /// Waits for the end, handing out the log from `offset` on as it grows. Who takes it may answer how much of it need
    /// not be kept there any longer.
    ///
    /// # Errors
    /// The line broke, or what takes the log takes no more.
    pub(crate) async fn attach(
        &self,
        offset: u64,
        mut take: impl FnMut(Came<'_>) -> Result<Option<u64>, Trouble> + Send,
    ) -> Result<Stand, Trouble> {
        let more = format!("offset={offset}\nattach");
        let opened = Box::pin(self.open(&more));
        let mut exec = within(SHORTLY, "the host did not answer", opened).await?;
        let mut says = Says::default();
        // First it says where the log begins.
        let mut head = Some(Vec::new());
        loop {
            match exec.next().await? {
                Piece::Out(mut bytes) => {
                    if let Some(mut begun) = head.take() {
                        begun.append(&mut bytes);
                        let Some(end) = begun.iter().position(|byte| *byte == b'\n') else {
                            head = Some(begun);
                            continue;
                        };
                        bytes = begun.split_off(end + 1);
                        let begin = String::from_utf8_lossy(&begun).trim().parse().ok();
                        if let Some(begin) = begin.filter(|begin| *begin > offset) {
                            take(Came::Gap(begin))?;
                        }
                    }
                    if let Some(taken) = take(Came::Bytes(&bytes))? {
                        exec.writer().send(format!("{taken}\n").into_bytes()).await?;
                    }
                }
                Piece::Err(bytes) => says.push(&bytes),
                Piece::Exit(_) => break,
            }
        }
        stand(says.last()?)
    }

    /// The log from `offset` to `end`, and the file of outputs.
    ///
    /// # Errors
    /// As [`Remote::attach`].
    pub(crate) async fn collect(
        &self,
        offset: u64,
        end: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Trouble> + Send,
    ) -> Result<Vec<u8>, Trouble> {
        let more = format!("offset={offset} end={end}\ncollect");
        let opened = Box::pin(self.open(&more));
        let mut exec = within(SHORTLY, "the host did not answer", opened).await?;
        exec.writer().finish().await?;
        let mut left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut output = Vec::new();
        loop {
            match exec.next().await? {
                Piece::Out(bytes) => {
                    let (log, rest) = bytes.split_at(left.min(bytes.len()));
                    left -= log.len();
                    if !log.is_empty() {
                        take(log)?;
                    }
                    output.extend_from_slice(rest);
                }
                Piece::Err(_) => {}
                Piece::Exit(0) if left == 0 => return Ok(output),
                Piece::Exit(code) => {
                    return Err(Trouble::unreachable(format!(
                        "the rest of its log can't be read there (code {code}, {left} bytes are missing)"
                    )));
                }
            }
        }
    }

    /// Ends the work, or sees that it never begins. `None` if nothing is left.
    ///
    /// # Errors
    /// The line broke, or something of it would not end.
    pub(crate) async fn cancel(&self, grace: Duration) -> Result<(), Trouble> {
        self.end(&format!("tenths={}\ncancel", grace.as_millis().div_ceil(100)), grace).await
    }

    /// Ends all that carries the attempt's mark.
    ///
    /// # Errors
    /// As [`Remote::cancel`].
    pub(crate) async fn cut(&self, grace: Duration) -> Result<(), Trouble> {
        self.end(&format!("tenths={}\ncut", grace.as_millis().div_ceil(100)), grace).await
    }

    async fn end(&self, more: &str, grace: Duration) -> Result<(), Trouble> {
        // Each look at all processes of a busy host takes a while.
        let told = self.ask(more, SHORTLY + grace * 4).await?;
        match told.split_once(' ') {
            None if told == "gone" || told == "fenced" => Ok(()),
            Some(("stuck", left)) => Err(Trouble::new(
                ErrorClass::Internal,
                format!("processes {} would not end", left.trim()),
                "",
            )),
            _ => Err(Trouble::new(ErrorClass::Internal, format!("it answered `{told}`"), "")),
        }
    }

    /// Leaves nothing of it there but a tombstone.
    ///
    /// # Errors
    /// The line broke.
    pub(crate) async fn remove(&self) -> Result<(), Trouble> {
        self.ask("remove", SHORTLY).await.map(|_| ())
    }
}

fn stand(told: &str) -> Result<Stand, Trouble> {
    let words: Vec<&str> = told.split(' ').collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let stand = match words[..] {
        ["ended", "code", code, size] => {
            code.parse().ok().zip(number(size)).map(|(code, size)| Stand::Ended(code, size))
        }
        ["lost", "rebooted", size] => number(size).map(|size| Stand::Lost(Loss::Rebooted, size)),
        ["lost", "killed", size] => number(size).map(|size| Stand::Lost(Loss::Killed, size)),
        ["lost", "stuck", size] => number(size).map(|size| Stand::Lost(Loss::Stuck, size)),
        ["fenced"] => Some(Stand::Fenced),
        ["absent", boot] => Some(Stand::Absent(boot.to_owned())),
        _ => None,
    };
    stand.ok_or_else(|| Trouble::unreachable(format!("the host answered `{told}`")))
}
