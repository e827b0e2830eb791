//! What the pages on hosts look through: the same that `weir hosts check` and `weir hosts facts` do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_core::hosts::{HopLooked, Looked, Lookout, Route};
use weir_plugins::{Pool, SshBounds};

/// Goes to hosts over connections of its own.
pub(crate) struct Connections {
    pool: Arc<Pool>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { pool: Pool::new(SshBounds::default()) }
    }
}

#[async_trait]
impl Lookout for Connections {
    async fn look(&self, route: Route, within: Duration) -> Looked {
        let found = super::check::look(&self.pool, route.clone(), within).await;
        let hops = found.hops.into_iter().map(|(name, ms)| HopLooked { name, ms }).collect();
        let mut looked = Looked { hops, error: found.error, ..Looked::default() };
        if looked.error.is_none() {
            match super::facts::ask(&self.pool, &route).await {
                Ok(facts) => looked.facts = facts,
                Err(error) => looked.error = Some(error.to_string()),
            }
        }
        looked
    }
}
