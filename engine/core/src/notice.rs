//! Notices: what people are told of a run, where it goes, and in which words. How it gets there is not known here.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::Timestamp;

/// So long after somebody was told of something they are not told of the same again, if nothing else is said.
pub const WINDOW: Duration = Duration::from_mins(5);

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The run began.
    Started,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It was ended.
    Cancelled,
    /// It ended well, after the run before it had failed or a known failure was cured in it.
    Recovered,
    /// A start or an end is late.
    Late,
    /// A task asks a person.
    Asking,
    /// A task failed, and nobody knows this failure.
    Undiagnosed,
}

impl Reason {
    /// All of them, in the order of the flow file's reference.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Recovered,
        Self::Late,
        Self::Asking,
        Self::Undiagnosed,
    ];

    /// Its name in the flow file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Recovered => "recovered",
            Self::Late => "late",
            Self::Asking => "asking",
            Self::Undiagnosed => "undiagnosed",
        }
    }

    /// The reason with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Its number in the store. Never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The reason with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// What happened, as the end of a sentence that begins with what it happened to.
    fn words(self) -> &'static str {
        match self {
            Self::Started => "has started",
            Self::Succeeded => "has succeeded",
            Self::Failed => "has failed",
            Self::Cancelled => "was cancelled",
            Self::Recovered => "works again",
            Self::Late => "is late",
            Self::Asking => "asks for a decision",
            Self::Undiagnosed => "has failed in a way that is not known",
        }
    }
}

/// Who is told, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver<'a> {
    /// A mail address.
    Mail(&'a str),
    /// A webhook, by its name.
    Webhook(&'a str),
}

impl<'a> Receiver<'a> {
    /// Reads `mail:ADDRESS` or `webhook:NAME`.
    pub fn parse(text: &'a str) -> Option<Self> {
        match text.split_once(':')? {
            ("mail", address) => Some(Self::Mail(address)),
            ("webhook", name) => Some(Self::Webhook(name)),
            _ => None,
        }
    }

    /// The name of the secret that says where it goes.
    pub fn secret(self) -> String {
        match self {
            Self::Mail(_) => "mail".to_owned(),
            Self::Webhook(name) => format!("webhook.{name}"),
        }
    }

    /// The name of the secret that it is signed with, if there is one.
    pub fn signing_secret(self) -> Option<String> {
        match self {
            Self::Mail(_) => None,
            Self::Webhook(name) => Some(format!("webhook.{name}.sign")),
        }
    }
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Names this notice for good: the same if it has to be sent again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Why.
    pub reason: Reason,
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// What people call the flow.
    pub title: Option<String>,
    /// The run.
    pub run: i64,
    /// The task, if it is about one.
    pub task: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// When the run was due.
    pub due: Timestamp,
    /// Who or what began the run.
    pub by: String,
    /// More, a line each. Without secrets.
    pub details: Vec<String>,
    /// How often the same happened before this, since somebody was told of it last.
    #[serde(default)]
    pub more: u64,
    /// The page of the run.
    #[serde(default)]
    pub link: Option<String>,
}

impl Message {
    /// One line: `[Weir] tap/format has failed (run 7)`.
    pub fn subject(&self) -> String {
        let subject = match &self.task {
            Some(task) => format!("{}: {task} {}", self.flow_name(), self.reason.words()),
            None => format!("{} {}", self.flow_name(), self.reason.words()),
        };
        let line = format!("[Weir] {subject} (run {})", self.run);
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// The whole of it, without the subject.
    pub fn body(&self) -> String {
        let mut text = String::new();
        if let Some(title) = &self.title {
            let _ = writeln!(text, "{title}");
        }
        for line in &self.details {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "at {}, begun by {}", self.at, self.by);
        if self.due != self.at {
            let _ = writeln!(text, "due {}", self.due);
        }
        match self.more {
            0 => {}
            1 => text.push_str("it happened once more since you were told last\n"),
            more => {
                let _ = writeln!(text, "it happened {more} times more since you were told last");
            }
        }
        let _ = match &self.link {
            Some(link) => writeln!(text, "{link}"),
            None => writeln!(text, "weir show {}", self.run),
        };
        text
    }

    /// Subject and body in at most so many bytes: what is too long is cut in the middle, so that the link stays.
    pub fn within(&self, most: usize) -> String {
        let (subject, body) = (self.subject(), self.body());
        let whole = format!("{subject}\n{body}");
        if whole.len() <= most {
            return whole;
        }
        let last = body.lines().last().unwrap_or_default();
        let end = format!("\n...\n{last}\n");
        let mut room = most.saturating_sub(end.len()).min(whole.len());
        while !whole.is_char_boundary(room) {
            room -= 1;
        }
        format!("{}{end}", &whole[..room])
    }

    fn flow_name(&self) -> String {
        if self.project.is_empty() {
            self.flow.clone()
        } else {
            format!("{}/{}", self.project, self.flow)
        }
    }
}

/// Where a notice goes: what the operator has set under the receiver's secrets.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The mail server, or the webhook's address; both with what it takes to be let in.
    pub address: Secret,
    /// What a webhook's calls are signed with.
    pub sign: Option<Secret>,
}

/// Why a notice has not arrived. Holds neither an address nor a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It surely was not taken.
    #[error("{0}")]
    Refused(String),
    /// It was sent, and what became of it is not known.
    #[error("{0}; it may have arrived")]
    Unknown(String),
}

/// Brings notices to where they go.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Sends one, and returns when the other side has taken it.
    ///
    /// # Errors
    /// It was not taken, or nobody knows.
    async fn send(
        &self,
        receiver: Receiver<'_>,
        channel: &Channel,
        message: &Message,
    ) -> Result<(), Undelivered>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            id: "7-12-failed".to_owned(),
            reason: Reason::Failed,
            project: "tap".to_owned(),
            flow: "format".to_owned(),
            title: Some("Format HDFS".to_owned()),
            run: 7,
            task: None,
            at: Timestamp::from_millis(1_795_000_000_000),
            due: Timestamp::from_millis(1_795_000_000_000),
            by: "anna".to_owned(),
            details: vec!["`format` failed: exit code 1".to_owned()],
            more: 0,
            link: Some("https://weir.example.org/runs/7".to_owned()),
        }
    }

    #[test]
    fn a_message_says_what_happened_where_and_when() {
        let mut message = message();
        assert_eq!(message.subject(), "[Weir] tap/format has failed (run 7)");
        assert_eq!(
            message.body(),
            "Format HDFS\n`format` failed: exit code 1\nat 2026-11-18T11:06:40.000Z, begun by anna\nhttps://weir.example.org/runs/7\n"
        );
        message.reason = Reason::Asking;
        message.task = Some("a/b[0]\r\nBcc: x@example.org".to_owned());
        message.more = 2;
        message.link = None;
        assert_eq!(
            message.subject(),
            "[Weir] tap/format: a/b[0]  Bcc: x@example.org asks for a decision (run 7)"
        );
        assert!(message.body().ends_with("2 times more since you were told last\nweir show 7\n"));
    }

    #[test]
    fn what_is_too_long_keeps_its_link() {
        let mut message = message();
        message.details = vec!["é".repeat(4_000)];
        let text = message.within(1_001);
        assert!(text.len() <= 1_001, "{}", text.len());
        assert!(text.ends_with("é\n...\nhttps://weir.example.org/runs/7\n"), "{text}");
        assert!(text.starts_with("[Weir] tap/format has failed (run 7)\n"));
        assert_eq!(
            message.within(100_000).len(),
            message.subject().len() + 1 + message.body().len()
        );
    }

    #[test]
    fn reasons_keep_their_names_and_numbers() {
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.code()), code);
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(Reason::named(reason.name()), Some(reason));
            assert_eq!(serde_json::to_value(reason).expect("a text"), reason.name());
        }
    }

    #[test]
    fn a_receiver_names_its_secret() {
        let webhook = Receiver::parse("webhook:ops").expect("a receiver");
        assert_eq!(webhook.secret(), "webhook.ops");
        assert_eq!(webhook.signing_secret().as_deref(), Some("webhook.ops.sign"));
        assert_eq!(Receiver::parse("mail:a@b"), Some(Receiver::Mail("a@b")));
        assert_eq!(Receiver::parse("pager:a"), None);
    }
}
