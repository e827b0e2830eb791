//! One job: its type, its settings, and what can't work together.

use super::Check;
use super::reach::Scope;
use super::texts::Words;
use crate::flow::{After, Job, PoolUse, Text, Uses, selector};
use crate::mistake::Place;
use crate::outcome::ErrorClass;
use crate::schema::nearest;

impl Check<'_> {
    /// What is wrong with one job, apart from its needs and from what stands below it.
    pub(super) fn job(&mut self, scope: &Scope<'_>, at: usize, job: &Job, is_remedy: bool) {
        let spread = self.spread(job);
        let words = Words {
            jobs: Some((scope, at)),
            has_item: scope.has_item || job.foreach.is_some() || spread.is_some(),
            has_host: false,
            is_remedy,
            knows_itself: false,
            may_use_secrets: false,
        };
        if let Some(foreach) = &job.foreach {
            self.expression(foreach, &Words { has_item: scope.has_item, ..words });
        }
        if let Some(when) = &job.when
            && self.expression(when, &words) == Some(false)
        {
            self.warning(
                when.place,
                "never-runs",
                format!("`{}` never runs: this is always false", job.name),
                "write an expression over `params` or `jobs`, or remove the job",
            );
        }
        for text in job.destroys.as_deref().into_iter().chain(&job.locks) {
            self.template(text, &words);
        }
        let working = Words { may_use_secrets: true, ..words };
        self.surroundings(job, &words);
        let own = job.uses.iter().chain(&job.unless);
        for uses in own {
            self.uses(uses, &working);
        }
        if let Some(verify) = &job.verify {
            // What the job has left behind is known by then.
            self.uses(verify, &Words { knows_itself: true, ..working });
        }
        for (what, uses) in
            [("it", &job.uses), ("`unless`", &job.unless), ("`verify`", &job.verify)]
        {
            if let Some(uses) = uses {
                let is_spread = spread.is_some()
                    && spread.as_ref().map(|text| &text.source)
                        == selector(uses).as_ref().map(|text| &text.source);
                self.hosts_of(what, uses, is_spread);
            }
        }
        self.unreachable(job);
        self.destroying(job);
        for pool in &job.pools {
            self.pool(pool);
        }
    }

    /// What a job works in. What comes from the project was checked there.
    fn surroundings(&mut self, job: &Job, words: &Words<'_>) {
        let defaults = &self.around.project.defaults;
        let has_host = job.uses.as_ref().is_some_and(|uses| self.is_on_a_host(uses));
        let secret = Words { may_use_secrets: true, has_host, ..*words };
        for (name, text) in job.env.iter() {
            let is_inherited =
                defaults.env.iter().any(|(known, value)| known == name && value == text);
            if !is_inherited {
                self.template(text, &secret);
            }
        }
        let mut own = |text: &Option<Box<Text>>, inherited: &Option<Text>| {
            if let Some(text) = text
                && Some(&**text) != inherited.as_ref()
            {
                self.template(text, words);
            }
        };
        own(&job.working_dir, &defaults.working_dir);
        own(&job.run_as, &defaults.run_as);
    }

    /// Whether a piece of work is done on a host.
    fn is_on_a_host(&self, uses: &Uses) -> bool {
        self.around.types.traits(&uses.job_type).works_on_hosts && selector(uses).is_some()
    }

    fn uses(&mut self, uses: &Uses, words: &Words<'_>) {
        let words = &Words { has_host: self.is_on_a_host(uses), ..*words };
        let Some(known) = self.around.types.get(&uses.job_type) else {
            let help = self.known_types(&uses.job_type);
            let message = format!("there is no job type `{}`", uses.job_type);
            self.error(uses.place, "unknown-job-type", message, &help);
            return;
        };
        for fault in known.check(&uses.with) {
            let place = place_of(uses, &fault.pointer);
            let help = fault
                .help
                .unwrap_or_else(|| format!("`weir types {}` shows its settings", uses.job_type));
            self.error(place, "bad-setting", fault.message, &help);
        }
        self.settings(uses, words);
    }

    fn unreachable(&mut self, job: &Job) {
        if !job.needs.is_empty() {
            return;
        }
        let name = match job.after {
            After::OneSuccess => "one-success",
            After::OneFailed => "one-failed",
            After::AllFailed => "all-failed",
            After::AllSuccess | After::AllDone | After::NoneFailed => return,
        };
        self.error(
            job.place,
            "never-runs",
            format!(
                "`{}` never runs: `after: {name}` waits for a job, and it needs none",
                job.name
            ),
            "add the job it waits for to `needs`, or remove `after`",
        );
    }

    fn destroying(&mut self, job: &Job) {
        for (what, uses) in [("", &job.uses), ("unless", &job.unless), ("verify", &job.verify)] {
            let Some(uses) = uses else { continue };
            let known = self.around.types.get(&uses.job_type);
            let Some(setting) = known.and_then(|known| known.destroys_by(&uses.with)) else {
                continue;
            };
            let place = place_of(uses, &format!("/{setting}"));
            if !what.is_empty() {
                let message =
                    format!("`{what}` only looks, and with `{setting}` something is lost for good");
                self.error(place, "check-destroys", message, &format!("remove `{setting}`"));
            } else if job.destroys.is_none() && self.agreed == 0 {
                self.error(
                    place,
                    "unnamed-loss",
                    format!("with `{setting}` something is lost for good, and `{}` does not say what", job.name),
                    "add `destroys:` to the job, in words that name what is lost: a person must confirm them",
                );
            }
        }
        let Some(destroys) = &job.destroys else { return };
        let is_blind = job.unless.is_none()
            && job.retry.attempts > 1
            && job.retry.on.contains(&ErrorClass::UnknownOutcome);
        if is_blind {
            self.error(
                destroys.place,
                "blind-retry",
                format!("`{}` destroys, and would be tried again when nobody knows whether it was done", job.name),
                "add `unless:`, a check that tells whether it is done; or take `unknown-outcome` out of `retry.on`",
            );
        }
    }

    fn pool(&mut self, pool: &PoolUse) {
        let pools = &self.around.project.pools;
        match pools.get(&pool.name) {
            Some(size) if *size >= pool.slots => {}
            Some(size) => self.error(
                pool.place,
                "pool-too-small",
                format!(
                    "`{}` is of size {size}, and {} slots are taken here: the job could never start",
                    pool.name, pool.slots
                ),
                "take fewer slots, or enlarge the pool in project.yaml",
            ),
            None => {
                let help = match nearest(&pool.name, pools.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add `pools: {{ {}: SLOTS }}` to project.yaml", pool.name),
                };
                self.error(
                    pool.place,
                    "unknown-pool",
                    format!("the project has no pool `{}`", pool.name),
                    &help,
                );
            }
        }
    }
}

/// Where a setting stands, or the nearest thing around it that has a place.
fn place_of(uses: &Uses, pointer: &str) -> Place {
    let mut pointer = pointer;
    loop {
        if let Some(place) = uses.places.get(pointer) {
            return place;
        }
        if let Some(place) = uses.places.below(pointer).filter(|_| !pointer.is_empty()) {
            return place;
        }
        match pointer.rfind('/') {
            Some(at) => pointer = &pointer[..at],
            None => return uses.place,
        }
    }
}
