//! The catalogue of known failures: what each looks like, what it means, what cures it.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::flow::{Job, Signature, Text, Then};
use crate::mistake::Place;

/// Known failures, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    entries: Vec<Arc<Entry>>,
    by_id: BTreeMap<String, usize>,
}

/// One entry of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id, such as `HDFS-02`.
    pub id: String,
    /// What people read in a list.
    pub title: String,
    /// What a match says about the failure.
    pub rank: Rank,
    /// What it looks like, and the job types it may be met in.
    pub signature: Signature,
    /// Tried only where no specific entry matches.
    pub is_general: bool,
    /// What it means.
    pub diagnosis: String,
    /// What a person should do, step by step.
    pub advice: Vec<String>,
    /// The jobs that cure it.
    pub jobs: Vec<Job>,
    /// What follows. A [`Then::RetryFrom`] whose job the flow does not have becomes a question.
    pub then: Then,
    /// How often for one task.
    pub limit: u32,
    /// What the remedy destroys: then a person is asked first.
    pub destroys: Option<Text>,
    /// What a person must weigh before agreeing to the remedy.
    pub confirm: Option<String>,
    /// What must hold before the remedy, or what it must never touch.
    pub guard: Option<String>,
    /// Log lines it must match.
    pub sample: Vec<String>,
    /// Where it is known from.
    pub source: Option<String>,
    /// Where its id stands.
    pub place: Place,
}

/// What a match says about a failure.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// The cause, if it is the first such match before a marker.
    #[default]
    Primary,
    /// The cause, too: something refused to do harm. Never answered without a person.
    Guard,
    /// The cause, if there is no primary match: it goes away by itself.
    Transient,
    /// What was wanted is already so: a success, if nothing else is known and nothing comes after it.
    Ok,
    /// Comes after a failure; shown beside the cause, never the cause.
    Secondary,
    /// What comes after it in the log is not the cause.
    Marker,
    /// Good to know; never the cause.
    Info,
    /// Says nothing: the line is ignored.
    Noise,
}

impl Rank {
    /// All ranks.
    pub const ALL: [Self; 8] = [
        Self::Primary,
        Self::Guard,
        Self::Transient,
        Self::Ok,
        Self::Secondary,
        Self::Marker,
        Self::Info,
        Self::Noise,
    ];

    /// The name in the catalogue's files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Guard => "guard",
            Self::Transient => "transient",
            Self::Ok => "ok",
            Self::Secondary => "secondary",
            Self::Marker => "marker",
            Self::Info => "info",
            Self::Noise => "noise",
        }
    }

    /// The rank with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rank| rank.name() == name)
    }

    /// Whether a match can be the diagnosis of a failure, and so has a remedy.
    pub fn is_cause(self) -> bool {
        match self {
            Self::Primary | Self::Guard | Self::Transient | Self::Ok => true,
            Self::Secondary | Self::Marker | Self::Info | Self::Noise => false,
        }
    }
}

impl Catalogue {
    /// A catalogue of these entries, in this order. Of two with the same id the first counts.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut catalogue = Self::default();
        for entry in entries {
            if !catalogue.by_id.contains_key(&entry.id) {
                catalogue.by_id.insert(entry.id.clone(), catalogue.entries.len());
                catalogue.entries.push(Arc::new(entry));
            }
        }
        catalogue
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The entry with that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.by_id.get(id).map(|at| &self.entries[*at])
    }

    /// All entries that may be met in a job of this type, in order.
    pub fn of_type<'a>(&'a self, job_type: &'a str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.iter().filter(move |entry| entry.signature.is_for(job_type))
    }
}

impl Signature {
    /// Whether it may be met in a job of this type: `ssh` also stands for `ssh.*`.
    pub fn is_for(&self, job_type: &str) -> bool {
        let covers = |scope: &String| {
            job_type
                .strip_prefix(scope.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.job_types.is_empty() || self.job_types.iter().any(covers)
    }
}
