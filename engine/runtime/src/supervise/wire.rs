//! What the engine and the supervisor say to each other: one packet a message, numbers in the machine's byte order.
//!
//! An engine may meet a supervisor of an older release that still has jobs: the first message each way carries
//! [`VERSION`], and the numbers of messages are never used again for something else.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_core::flow::Limits;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{Launch, Phase, ProcessId};
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use super::folder::{End, Ended};

/// The protocol spoken here.
pub(crate) const VERSION: u32 = 2;

const HELLO: u8 = 1;
const LAUNCH: u8 = 2;
const WATCH: u8 = 3;
const CANCEL: u8 = 4;
const LEAVE: u8 = 5;
const WELCOME: u8 = 101;
const STARTED: u8 = 102;
const ENDED: u8 = 103;
const CANCELLED: u8 = 104;
const STUCK: u8 = 105;
const STAYS: u8 = 106;

/// A message to the supervisor.
pub(crate) enum Request<'a> {
    /// The first message.
    Hello,
    /// Start it, or find that it had been started; tell the end (the start, too).
    Launch(Box<Order<'a>>),
    /// Tell the end.
    Watch { tag: u64, id: ProcessId },
    /// End it, whole.
    Cancel { tag: u64, id: ProcessId, grace: Duration },
    /// Exit, if there is nothing to do.
    Leave,
}

/// What to start, as it stands in a message.
pub(crate) struct Order<'a> {
    pub(crate) tag: u64,
    pub(crate) tells: Tells,
    pub(crate) id: ProcessId,
    pub(crate) dir: &'a CStr,
    pub(crate) run_as: Option<&'a CStr>,
    pub(crate) limits: Limits,
    pub(crate) script: Option<&'a [u8]>,
    pub(crate) argv: Vec<&'a CStr>,
    pub(crate) env: Vec<&'a CStr>,
    pub(crate) secrets: Vec<Secret>,
}

/// What the one who asked wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// That it has started, if that is known before it has ended; and that it has ended.
    Both,
    /// That it has ended.
    End,
}

/// A message from the supervisor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Welcome {
        version: u32,
        pid: u32,
    },
    Started {
        tag: u64,
    },
    Ended {
        tag: u64,
        ended: Ended,
    },
    Cancelled {
        tag: u64,
    },
    /// Something of it would not end.
    Stuck {
        tag: u64,
        message: String,
    },
    /// It does not exit: there are jobs.
    Stays,
}

/// A message that can't be read.
#[derive(Debug)]
pub(crate) struct Malformed;

pub(crate) fn hello() -> Vec<u8> {
    Out::new(HELLO).u32(VERSION).0
}

pub(crate) fn leave() -> Vec<u8> {
    Out::new(LEAVE).0
}

pub(crate) fn watch(tag: u64, id: &ProcessId) -> Vec<u8> {
    Out::new(WATCH).u64(tag).id(id).0
}

pub(crate) fn cancel(tag: u64, id: &ProcessId, grace: Duration) -> Vec<u8> {
    let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    Out::new(CANCEL).u64(tag).id(id).u64(millis).0
}

/// # Errors
/// A text holds a NUL, which no argument, variable or path can.
pub(crate) fn launch(
    tag: u64,
    tells: Tells,
    id: &ProcessId,
    launch: &Launch,
) -> Result<Vec<u8>, &'static str> {
    let mut out = Out::new(LAUNCH).u64(tag).u8(match tells {
        Tells::Both => 0,
        Tells::End => 1,
    });
    out = out.id(id).text(launch.working_dir.as_os_str().as_bytes(), "the working folder")?;
    out = match &launch.run_as {
        Some(user) => out.u8(1).text(user.as_bytes(), "the user's name")?,
        None => out.u8(0),
    };
    let limits = &launch.limits;
    for limit in [
        limits.memory,
        limits.cpu_time,
        limits.cpus_milli,
        limits.open_files,
        limits.processes,
        limits.file_size,
        limits.log_size,
    ] {
        out = match limit {
            Some(value) => out.u8(1).u64(value),
            None => out.u8(0),
        };
    }
    out = match &launch.script {
        Some(script) => out.u8(1).bytes(script),
        None => out.u8(0),
    };
    out = out.u32(launch.argv.len() as u32);
    for argument in &launch.argv {
        out = out.text(argument.as_bytes(), "an argument")?;
    }
    out = out.u32(launch.env.len() as u32);
    for (name, value) in &launch.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err("a variable");
        }
        out = out.u32((name.len() + value.len() + 2) as u32);
        out.0.extend_from_slice(name.as_bytes());
        out.0.push(b'=');
        out.0.extend_from_slice(value.as_bytes());
        out.0.push(0);
    }
    out = out.u32(launch.secrets.len() as u32);
    for secret in launch.secrets.iter() {
        out = out.bytes(secret.name().as_bytes()).bytes(secret.expose().as_bytes());
    }
    Ok(out.0)
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome { version, pid } => Out::new(WELCOME).u32(*version).u32(*pid).0,
            Self::Started { tag } => Out::new(STARTED).u64(*tag).0,
            Self::Ended { tag, ended } => Out::new(ENDED).u64(*tag).ended(ended).0,
            Self::Cancelled { tag } => Out::new(CANCELLED).u64(*tag).0,
            Self::Stuck { tag, message } => Out::new(STUCK).u64(*tag).bytes(message.as_bytes()).0,
            Self::Stays => Out::new(STAYS).0,
        }
    }

    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut input = In(message);
        Ok(match input.u8()? {
            WELCOME => Self::Welcome { version: input.u32()?, pid: input.u32()? },
            STARTED => Self::Started { tag: input.u64()? },
            ENDED => Self::Ended { tag: input.u64()?, ended: input.ended()? },
            CANCELLED => Self::Cancelled { tag: input.u64()? },
            STUCK => Self::Stuck { tag: input.u64()?, message: input.string()? },
            STAYS => Self::Stays,
            _ => return Err(Malformed),
        })
    }
}

impl<'a> Request<'a> {
    pub(crate) fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = In(message);
        Ok(match input.u8()? {
            HELLO => {
                // So far every engine speaks the same.
                input.u32()?;
                Self::Hello
            }
            LAUNCH => Self::Launch(Box::new(input.order()?)),
            WATCH => Self::Watch { tag: input.u64()?, id: input.id()? },
            CANCEL => Self::Cancel {
                tag: input.u64()?,
                id: input.id()?,
                grace: Duration::from_millis(input.u64()?),
            },
            LEAVE => Self::Leave,
            _ => return Err(Malformed),
        })
    }
}

/// A message being written.
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(kind);
        Self(bytes)
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self = self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
        self
    }

    /// Bytes with a NUL after them, so that the reader can hand them to the kernel where they lie.
    pub(crate) fn text(mut self, value: &[u8], what: &'static str) -> Result<Self, &'static str> {
        if value.contains(&0) {
            return Err(what);
        }
        self = self.u32(value.len() as u32 + 1);
        self.0.extend_from_slice(value);
        self.0.push(0);
        Ok(self)
    }

    fn id(self, id: &ProcessId) -> Self {
        let phase = match id.phase {
            Phase::Unless => 0,
            Phase::Work => 1,
            Phase::Verify => 2,
        };
        self.u64(id.attempt.run.0 as u64)
            .u32(id.attempt.task.0)
            .u32(id.attempt.number)
            .u8(phase)
            .bytes(id.folder.as_os_str().as_bytes())
    }

    fn ended(self, ended: &Ended) -> Self {
        let out = self.u64(ended.at.millis() as u64);
        match &ended.end {
            End::Exited(code) => out.u8(0).u32(*code as u32),
            End::Signalled(signal, reason) => {
                out.u8(1).u32(*signal as u32).bytes(reason.as_bytes())
            }
            End::Lost => out.u8(2),
            End::Fenced => out.u8(3),
            End::Failed(class, message) => out.u8(4).u8(*class as u8).bytes(message.as_bytes()),
        }
    }
}

/// A message being read.
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_ne_bytes(self.take(4)?.try_into().map_err(|_| Malformed)?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_ne_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(crate) fn text(&mut self) -> Result<&'a CStr, Malformed> {
        CStr::from_bytes_with_nul(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<&'a CStr>, Malformed> {
        let count = self.u32()? as usize;
        let mut texts = Vec::with_capacity(count.min(4096) + 1);
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Ok(texts)
    }

    pub(crate) fn optional_u64(&mut self) -> Result<Option<u64>, Malformed> {
        Ok(if self.u8()? == 1 { Some(self.u64()?) } else { None })
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a CStr>, Malformed> {
        Ok(if self.u8()? == 1 { Some(self.text()?) } else { None })
    }

    fn string(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn id(&mut self) -> Result<ProcessId, Malformed> {
        let attempt = AttemptId {
            run: RunId(self.u64()? as i64),
            task: TaskIx(self.u32()?),
            number: self.u32()?,
        };
        let phase = match self.u8()? {
            0 => Phase::Unless,
            1 => Phase::Work,
            2 => Phase::Verify,
            _ => return Err(Malformed),
        };
        let folder = Path::new(OsStr::from_bytes(self.bytes()?));
        Ok(ProcessId { attempt, phase, folder: PathBuf::from(folder) })
    }

    fn ended(&mut self) -> Result<Ended, Malformed> {
        let at = Timestamp::from_millis(self.u64()? as i64);
        let end = match self.u8()? {
            0 => End::Exited(self.u32()? as i32),
            1 => End::Signalled(self.u32()? as i32, self.string()?),
            2 => End::Lost,
            3 => End::Fenced,
            4 => {
                let class = self.u8()?;
                let class = ErrorClass::ALL.into_iter().find(|known| *known as u8 == class);
                End::Failed(class.ok_or(Malformed)?, self.string()?)
            }
            _ => return Err(Malformed),
        };
        Ok(Ended { end, at })
    }

    fn order(&mut self) -> Result<Order<'a>, Malformed> {
        let tag = self.u64()?;
        let tells = match self.u8()? {
            0 => Tells::Both,
            1 => Tells::End,
            _ => return Err(Malformed),
        };
        let id = self.id()?;
        let dir = self.text()?;
        let run_as = self.optional_text()?;
        let limits = Limits {
            memory: self.optional_u64()?,
            cpu_time: self.optional_u64()?,
            cpus_milli: self.optional_u64()?,
            open_files: self.optional_u64()?,
            processes: self.optional_u64()?,
            file_size: self.optional_u64()?,
            log_size: self.optional_u64()?,
        };
        let script = if self.u8()? == 1 { Some(self.bytes()?) } else { None };
        let argv = self.texts()?;
        let env = self.texts()?;
        let count = self.u32()?;
        let mut secrets = Vec::new();
        for _ in 0..count {
            secrets.push(Secret::new(self.string()?, self.string()?));
        }
        Ok(Order { tag, tells, id, dir, run_as, limits, script, argv, env, secrets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_read_back_as_written_and_cut_ones_are_refused() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let ends = [
            End::Exited(-1),
            End::Exited(255),
            End::Signalled(9, "too large".into()),
            End::Lost,
            End::Fenced,
            End::Failed(ErrorClass::Refused, "no such program".into()),
        ];
        for end in ends {
            let reply = Reply::Ended { tag: 7, ended: Ended { end, at } };
            let message = reply.encode();
            assert_eq!(Reply::decode(&message).ok(), Some(reply));
            for length in 0..message.len() {
                assert!(Reply::decode(&message[..length]).is_err(), "cut to {length}");
            }
        }
    }
}
