//! Jobs that are spread over several hosts: each host is a task of its own, as if the job had a `foreach` over them.

use std::collections::BTreeMap;

use super::names::{self, What};
use super::{Host, Job, Text, Uses};
use crate::schema::TextKind;

/// The setting of a job type that selects its hosts.
pub(crate) const HOSTS: &str = "hosts";

/// Names that speak of one thing at hand: a selector made of them means one host.
const OF_ONE: [&str; 3] = ["item", "failed", "remedy"];

/// The selector over whose hosts a job is spread. `None` if it works on one host, named outright or by an item, has a
/// `foreach` of its own, or works on no hosts at all.
pub fn spread(
    job: &Job,
    hosts: &BTreeMap<String, Host>,
    works_on_hosts: impl FnOnce(&str) -> bool,
) -> Option<Text> {
    let uses =
        job.uses.as_ref().filter(|uses| job.foreach.is_none() && works_on_hosts(&uses.job_type))?;
    let selector = selector(uses)?;
    if hosts.contains_key(selector.source.trim()) {
        return None;
    }
    let mentions = names::of_template(&selector.source, TextKind::Plain).unwrap_or_default();
    let is_of_one = mentions.iter().any(|mention| match &mention.what {
        What::Value(path) => OF_ONE.contains(&path[0].as_str()),
        What::Call(..) | What::Filter(_) | What::Test(_) => false,
    });
    (!is_of_one).then_some(selector)
}

/// The text that selects the hosts of a piece of work.
pub fn selector(uses: &Uses) -> Option<Text> {
    let source = uses.with.get(HOSTS)?.as_str()?.to_owned();
    let place = uses.places.get("/hosts").unwrap_or(uses.place);
    Some(Text { source, place })
}
