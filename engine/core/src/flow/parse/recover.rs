//! Known failures: what each looks like, and what cures it.

use super::settings::{self, Inherited};
use super::{Reader, one_or_many};
use crate::flow::{Recover, Signature, Text, Then};
use crate::yaml::Node;

impl Reader<'_> {
    /// The entries of `recover`.
    pub(crate) fn recovers(&mut self, node: &Node, inherited: &Inherited) -> Vec<Recover> {
        node.items().iter().map(|item| self.recover(item, inherited)).collect()
    }

    fn recover(&mut self, node: &Node, inherited: &Inherited) -> Recover {
        Recover {
            catalogue: node.get("use").and_then(|node| self.text(node)),
            signature: node.get("match").map(signature),
            diagnosis: node.get("diagnosis").and_then(|node| node.text()).map(str::to_owned),
            jobs: node.get("jobs").map(|jobs| self.jobs(jobs, inherited)).unwrap_or_default(),
            then: node.get("then").and_then(|node| self.then(node)),
            limit: node.get("limit").and_then(settings::whole),
            place: super::start_of(node),
        }
    }

    fn then(&self, node: &Node) -> Option<Then> {
        if let Some(job) = node.get("retry-from") {
            return self.text(job).map(Then::RetryFrom);
        }
        match node.text()? {
            "retry" => Some(Then::Retry),
            "continue" => Some(Then::Continue),
            "ask" => Some(Then::Ask),
            "fail" => Some(Then::Fail),
            words => {
                let job = words.strip_prefix("retry-from ")?;
                let from = words.len() - job.len();
                let place = self.source.inside(node.place, words, from, words.len());
                Some(Then::RetryFrom(Text { source: job.to_owned(), place }))
            }
        }
    }
}

/// What a failure looks like.
pub(crate) fn signature(node: &Node) -> Signature {
    let exit = node.get("exit").map(one_or_many).unwrap_or_default();
    let types = node.get("uses").map(one_or_many).unwrap_or_default();
    Signature {
        log: node.get("log").and_then(|node| node.text()).map(str::to_owned),
        exit: exit.iter().filter_map(settings::whole).collect(),
        class: node.get("class").map(settings::classes).unwrap_or_default(),
        job_types: types.iter().filter_map(|node| node.text()).map(str::to_owned).collect(),
    }
}
