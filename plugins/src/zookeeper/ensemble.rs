//! What the answers of all servers add up to.

use std::fmt;

use serde_json::Value;
use weir_core::outcome::Outputs;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It serves.
    Serving(Serving),
    /// It runs, and has no quorum.
    NotServing,
    /// It can't be asked, and why.
    Silent(String),
}

/// A server that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    /// As what.
    pub(super) mode: Mode,
    /// Of the server.
    pub(super) version: Option<String>,
    /// The last transaction.
    pub(super) zxid: Option<String>,
    /// How many znodes there are.
    pub(super) nodes: Option<u64>,
}

/// As what a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It leads.
    Leader,
    /// It follows, and votes.
    Follower,
    /// It follows without a vote.
    Observer,
    /// It knows of no others.
    Standalone,
}

impl Mode {
    /// The mode of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim() {
            "leader" => Some(Self::Leader),
            "follower" => Some(Self::Follower),
            "observer" => Some(Self::Observer),
            "standalone" => Some(Self::Standalone),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::Standalone => "standalone",
        }
    }
}

/// All servers and what they say.
#[derive(Debug)]
pub(super) struct Ensemble {
    /// By name, in the order of the settings.
    pub(super) answers: Vec<(String, Answer)>,
}

impl Ensemble {
    /// The outputs if it serves; else why not.
    ///
    /// # Errors
    /// It does not serve.
    pub(super) fn judge(&self, wants_all: bool) -> Result<Outputs, String> {
        let servers = self.answers.len();
        let needed = servers / 2 + 1;
        let leaders: Vec<_> = self.serving(Mode::Leader).collect();
        let followers: Vec<_> = self.serving(Mode::Follower).collect();
        let loners: Vec<_> = self.serving(Mode::Standalone).collect();
        let leader = match (leaders.as_slice(), loners.as_slice()) {
            ([], [loner]) if servers == 1 => loner,
            (_, [(name, _), ..]) => {
                return Err(format!(
                    "{name} serves alone: it does not know of the others\nhelp: list all servers in its zoo.cfg \
                     (`server.1=...`) and restart it"
                ));
            }
            ([leader], []) => leader,
            ([], []) => return Err(self.no_quorum(followers.len(), needed)),
            ([(one, _), (other, _), ..], []) => {
                return Err(format!("both {one} and {other} lead: they are not of one ensemble"));
            }
        };
        let voters = 1 + followers.len();
        if voters < needed {
            return Err(self.no_quorum(voters, needed));
        }
        let idle = self.answers.iter().find(|(_, answer)| !matches!(answer, Answer::Serving(_)));
        if let (true, Some((name, answer))) = (wants_all, idle) {
            return Err(format!("{name} does not serve: {}", answer.in_words()));
        }
        let (name, serving) = leader;
        let mut outputs = Outputs::new();
        outputs.insert("leader".to_owned(), Value::from(*name));
        let followers: Vec<Value> = followers.iter().map(|(name, _)| Value::from(*name)).collect();
        outputs.insert("followers".to_owned(), Value::Array(followers));
        outputs.insert("serving".to_owned(), Value::from(voters));
        outputs.insert("version".to_owned(), serving.version.clone().into());
        outputs.insert("zxid".to_owned(), serving.zxid.clone().into());
        outputs.insert("nodes".to_owned(), serving.nodes.into());
        Ok(outputs)
    }

    fn serving(&self, mode: Mode) -> impl Iterator<Item = (&str, &Serving)> {
        self.answers.iter().filter_map(move |(name, answer)| match answer {
            Answer::Serving(serving) if serving.mode == mode => Some((name.as_str(), serving)),
            Answer::Serving(_) | Answer::NotServing | Answer::Silent(_) => None,
        })
    }

    fn no_quorum(&self, voters: usize, needed: usize) -> String {
        let idle = self.answers.iter().filter(|(_, answer)| !matches!(answer, Answer::Serving(_)));
        let why: Vec<_> =
            idle.map(|(name, answer)| format!("{name}: {}", answer.in_words())).collect();
        let (all, why) = (self.answers.len(), why.join("; "));
        let what = if voters < needed { "no quorum" } else { "no leader yet" };
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        format!("{what}: {voters} of {all} serve, {needed} are needed{why}")
    }
}

impl Answer {
    fn in_words(&self) -> String {
        match self {
            Self::Serving(serving) => serving.mode.name().to_owned(),
            Self::NotServing => "runs, but has no quorum".to_owned(),
            Self::Silent(why) => why.clone(),
        }
    }
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, answer) in &self.answers {
            writeln!(f, "{name}: {}", answer.in_words())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(answers: &str, wants_all: bool) -> String {
        let answer = |(at, word): (usize, &str)| {
            let answer = match (Mode::named(word), word) {
                (Some(mode), _) => {
                    Answer::Serving(Serving { mode, version: None, zxid: None, nodes: None })
                }
                (None, "idle") => Answer::NotServing,
                (None, _) => Answer::Silent("connection refused".to_owned()),
            };
            (format!("m{}", at + 1), answer)
        };
        let answers = answers.split(' ').enumerate().map(answer).collect();
        match (Ensemble { answers }).judge(wants_all) {
            Ok(outputs) => format!("{} leads {}", outputs["leader"], outputs["followers"]),
            Err(why) => why.lines().next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn a_majority_serves_or_nobody_does() {
        for (answers, expected) in [
            ("follower leader follower", r#""m2" leads ["m1","m3"]"#),
            ("dead leader follower", r#""m2" leads ["m3"]"#),
            ("standalone", r#""m1" leads []"#),
            ("leader observer follower", r#""m1" leads ["m3"]"#),
            (
                "dead idle dead",
                "no quorum: 0 of 3 serve, 2 are needed (m1: connection refused; m2: runs, but has no quorum; \
                 m3: connection refused)",
            ),
            (
                "dead leader dead",
                "no quorum: 1 of 3 serve, 2 are needed (m1: connection refused; m3: connection refused)",
            ),
            (
                "follower follower idle",
                "no leader yet: 2 of 3 serve, 2 are needed (m3: runs, but has no quorum)",
            ),
            ("standalone leader follower", "m1 serves alone: it does not know of the others"),
            ("leader leader follower", "both m1 and m2 lead: they are not of one ensemble"),
        ] {
            assert_eq!(judge(answers, false), expected, "{answers}");
        }
        assert_eq!(judge("dead leader follower", true), "m1 does not serve: connection refused");
        assert_eq!(judge("follower leader follower", true), r#""m2" leads ["m1","m3"]"#);
    }
}
