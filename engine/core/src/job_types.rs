//! The job types that are known: what a flow file may name in `uses`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::job_type::{Fault, JobType, Nature, Traits};
use crate::schema::{Checker, Schema};

/// All job types by name.
#[derive(Clone, Debug, Default)]
pub struct JobTypes {
    known: BTreeMap<String, Arc<Known>>,
}

/// What is known of one job type.
pub struct Known {
    name: String,
    about: String,
    traits: Traits,
    checker: Checker,
    work: Option<Arc<dyn JobType>>,
}

impl JobTypes {
    /// What is known of the type of that name; an unknown one does some work.
    pub fn traits(&self, name: &str) -> Traits {
        self.get(name).map_or(Traits::from(Nature::Work), Known::traits)
    }

    /// Job types that can do their work.
    pub fn new(types: impl IntoIterator<Item = Arc<dyn JobType>>) -> Self {
        let mut all = Self::default();
        for work in types {
            all.add(work);
        }
        all
    }

    /// Adds a job type that can do its work; replaces one of the same name.
    pub fn add(&mut self, work: Arc<dyn JobType>) {
        let known = Known {
            name: work.name().to_owned(),
            about: work.about().to_owned(),
            traits: Traits { nature: work.nature(), works_on_hosts: work.works_on_hosts() },
            checker: Checker::new(work.schema()),
            work: Some(work),
        };
        self.known.insert(known.name.clone(), Arc::new(known));
    }

    /// Adds a job type of which only the description is at hand: flows that use it can be checked, not run.
    pub fn declare(&mut self, name: &str, about: &str, traits: impl Into<Traits>, schema: Schema) {
        let known = Known {
            name: name.to_owned(),
            about: about.to_owned(),
            traits: traits.into(),
            checker: Checker::new(schema),
            work: None,
        };
        self.known.insert(known.name.clone(), Arc::new(known));
    }

    /// The job type of that name.
    pub fn get(&self, name: &str) -> Option<&Known> {
        self.known.get(name).map(|known| &**known)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.values().map(|known| &**known)
    }
}

impl Known {
    /// The name that flow files use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in one sentence.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How the engine treats it.
    pub fn nature(&self) -> Nature {
        self.traits.nature
    }

    /// Whether it works on hosts: `with.hosts` selects them.
    pub fn works_on_hosts(&self) -> bool {
        self.traits.works_on_hosts
    }

    /// What the engine knows of it before any of its work begins.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// The shape of its settings.
    pub fn schema(&self) -> &Schema {
        self.checker.schema()
    }

    /// The shape of its settings, ready to check many.
    pub fn checker(&self) -> &Checker {
        &self.checker
    }

    /// What is wrong with settings beyond their shape.
    pub fn check(&self, with: &Value) -> Vec<Fault> {
        self.work.as_ref().map(|work| work.check(with)).unwrap_or_default()
    }

    /// The setting by which this loses something for good, if there is one.
    pub fn destroys_by(&self, with: &Value) -> Option<&'static str> {
        self.work.as_ref().and_then(|work| work.destroys_by(with))
    }

    /// What does the work. `None` if only its description is at hand.
    pub fn work(&self) -> Option<&Arc<dyn JobType>> {
        self.work.as_ref()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("name", &self.name)
            .field("traits", &self.traits)
            .finish_non_exhaustive()
    }
}
