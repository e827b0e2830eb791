//! Going to a host because a person wants to know how it is.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Route;

/// Goes to hosts for people who look.
#[async_trait]
pub trait Lookout: Send + Sync {
    /// Goes to each machine on the way to a host, one after the other, and asks the host about itself.
    async fn look(&self, route: Route, within: Duration) -> Looked;
}

/// What was found of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Looked {
    /// The machines on the way; the last is the host.
    pub hops: Vec<HopLooked>,
    /// Why it is not reached.
    pub error: Option<String>,
    /// What it says of itself.
    pub facts: Map<String, Value>,
}

/// A machine on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HopLooked {
    /// Its name.
    pub name: String,
    /// The time that it took to be reached and to answer; `None` if it did not.
    pub ms: Option<u64>,
}
