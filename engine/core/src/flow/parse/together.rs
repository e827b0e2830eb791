//! Keys that can't stand together, or not alone. Judged here, where each key still has its place.

use super::Reader;
use super::settings::span;
use crate::flow::spread::HOSTS;
use crate::yaml::{Data, Entry, Node};

/// Keys that speak of one piece of work, which a group is not.
const OF_WORK: [&str; 5] = ["with", "unless", "verify", "outputs", "on-lost"];

impl Reader<'_> {
    /// A job is one piece of work, or a group.
    pub(super) fn job_together(&mut self, entry: &Entry) {
        let (node, name) = (&entry.value, &entry.key);
        if !matches!(node.data, Data::Map(_)) {
            return;
        }
        match (node.entry("uses"), node.entry("jobs")) {
            (Some(uses), Some(_)) => self.mistake(
                uses.place,
                "group-with-uses",
                format!("`{name}` has both `uses` and `jobs`"),
                Some("keep `jobs` for a group, or `uses` for a single job".to_owned()),
            ),
            (None, None) => self.mistake(
                entry.place,
                "missing-key",
                format!("`{name}` has no `uses`"),
                Some("add `uses:` (the job type), or `jobs:` for a group".to_owned()),
            ),
            (None, Some(jobs)) => {
                if matches!(&jobs.value.data, Data::Map(entries) if entries.is_empty()) {
                    self.mistake(
                        jobs.place,
                        "empty-group",
                        format!("the group `{name}` has no jobs"),
                        Some("add a job below it, or remove the group".to_owned()),
                    );
                }
                for key in OF_WORK {
                    if let Some(entry) = node.entry(key) {
                        self.mistake(
                            entry.place,
                            "group-with-work",
                            format!("`{key}` speaks of one piece of work, and `{name}` is a group"),
                            Some("move it to the jobs of the group".to_owned()),
                        );
                    }
                }
            }
            (Some(_), None) => {}
        }
        if node.entry("foreach").is_none() && !self.selects_hosts(node) {
            for key in ["parallel", "fail-fast", "rolling"] {
                if let Some(entry) = node.entry(key) {
                    self.mistake(
                        entry.place,
                        "without-foreach",
                        format!(
                            "`{key}` speaks of the items of a `foreach`, and `{name}` has none"
                        ),
                        Some(format!("add `foreach:`, or remove `{key}`")),
                    );
                }
            }
        }
        self.times_together(node);
        if let Some(retry) = node.get("retry") {
            self.retry_together(retry);
        }
        for item in node.get("recover").map(Node::items).unwrap_or_default() {
            self.recover_together(item);
        }
    }

    /// Whether a job works on hosts that are selected: each of them is a task of its own.
    fn selects_hosts(&self, node: &Node) -> bool {
        let works_on_hosts =
            |node: &Node| node.text().is_some_and(|name| self.types.traits(name).works_on_hosts);
        node.get("uses").is_some_and(works_on_hosts)
            && node.get("with").is_some_and(|with| with.entry(HOSTS).is_some())
    }

    /// Times that can't be meant, of a flow or a job.
    pub(super) fn times_together(&mut self, node: &Node) {
        if let Some(timeout) =
            node.get("timeout").filter(|node| span(node).is_some_and(|span| span.is_zero()))
        {
            self.mistake(
                timeout.place,
                "no-time",
                "a `timeout` of 0 ends everything at once".to_owned(),
                Some("write how long it may take, or remove `timeout`".to_owned()),
            );
        }
        let late = |key: &str| node.get("late").and_then(|late| late.get(key));
        if let (Some(start), Some(finish)) = (late("start-within"), late("finish-within"))
            && let (Some(begins), Some(ends)) = (span(start), span(finish))
            && begins > ends
        {
            self.mistake(
                finish.place,
                "never-late",
                "the end may not be later than the start: `start-within` is longer than `finish-within`".to_owned(),
                Some("both count from the due time: write a longer `finish-within`".to_owned()),
            );
        }
    }

    /// Who writes 0 means that there is no bound, and would lose all runs.
    pub(super) fn keep_together(&mut self, keep: &Node) {
        if let Some(age) =
            keep.get("age").filter(|node| span(node).is_some_and(|age| age.is_zero()))
        {
            self.mistake(
                age.place,
                "out-of-range",
                "an `age` of 0 keeps nothing".to_owned(),
                Some("write how long runs are kept, such as `90d`, or remove `age`".to_owned()),
            );
        }
    }

    /// A longest wait must not be shorter than the first.
    pub(super) fn retry_together(&mut self, retry: &Node) {
        let (Some(delay), Some(longest)) = (retry.get("delay"), retry.entry("max-delay")) else {
            return;
        };
        if let (Some(first), Some(most)) = (span(delay), span(&longest.value))
            && first > most
        {
            self.mistake(
                longest.value.place,
                "out-of-range",
                "the longest wait is shorter than the first".to_owned(),
                Some("write a `max-delay` of at least `delay`".to_owned()),
            );
        }
    }

    /// An entry of `recover` says what it is for, and what follows.
    pub(super) fn recover_together(&mut self, item: &Node) {
        let Data::Map(entries) = &item.data else { return };
        let place = entries.first().map_or(item.place, |entry| entry.place);
        let has = |key: &str| item.entry(key).is_some();
        if !has("use") && !has("match") {
            self.mistake(
                place,
                "missing-key",
                "this entry does not say which failure it is for".to_owned(),
                Some(
                    "add `use:` (an entry of the catalogue) or `match:` (what it looks like)"
                        .to_owned(),
                ),
            );
        } else if !has("use") && !has("then") && !has("jobs") {
            self.mistake(
                place,
                "missing-key",
                "this entry does not say what follows".to_owned(),
                Some("add `then:` (retry, retry-from JOB, continue, ask, fail), or `jobs:` that cure it".to_owned()),
            );
        }
    }
}
