//! What is different in a run from the last one of its flow that went well: version, parameters, duration.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_core::ids::RunId;
use weir_core::run::RunState;
use weir_core::time::Timestamp;
use weir_engine::store::RunFilter;
use weir_engine::view::{RunView, shown_params};

use crate::clock::{At, between};
use crate::error::PageError;
use crate::form::flow_address;
use crate::pages::field::typed;
use crate::pages::lines::short;
use crate::site::Site;

/// So many runs before are looked through.
const FAR: u64 = 200;

/// The last good run, and what is different since.
pub(crate) struct Since {
    pub(crate) run: i64,
    pub(crate) at: At,
    /// Its version, and where the difference is shown; `None` if it is the same.
    pub(crate) version: Option<(String, String)>,
    /// Parameters whose values differ: name, before, now.
    pub(crate) params: Vec<(String, String, String)>,
    pub(crate) took_before: String,
    pub(crate) took: String,
}

impl Since {
    pub(crate) async fn find(
        site: &Site,
        run: &RunView,
        now: Timestamp,
    ) -> Result<Option<Self>, PageError> {
        let store = site.handle.store();
        let filter = RunFilter {
            project: Some(run.project.clone()),
            flow: Some(run.flow.clone()),
            ..RunFilter::default()
        };
        let rows = store.runs(&filter, Some(RunId(run.id)), FAR).await?;
        let good = RunState::Succeeded.code();
        let Some(before) = rows.into_iter().find(|row| row.state == good) else { return Ok(None) };
        let params = match site.handle.library().version(store, &before.version).await {
            Ok(compiled) => differing(&shown_params(&compiled, &before.params), &run.params),
            // What that version made of them can't be read any more.
            Err(_) => Vec::new(),
        };
        let href = || {
            let flow = flow_address(&run.project, &run.flow);
            format!("{flow}/versions?a={}&b={}", before.version, run.version)
        };
        Ok(Some(Self {
            run: before.id,
            at: At::new(before.started_at.unwrap_or(before.created_at)),
            version: (before.version != run.version).then(|| (short(&before.version), href())),
            params,
            took_before: between(before.started_at, before.ended_at, now),
            took: between(run.started_at, run.ended_at, now),
        }))
    }
}

/// Values that are not the same in both.
fn differing(before: &Value, now: &Value) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = [before, now]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::keys)
        .collect();
    names
        .into_iter()
        .filter(|name| before.get(name.as_str()) != now.get(name.as_str()))
        .map(|name| {
            let text = |params: &Value| params.get(name).map(typed).unwrap_or_default();
            (name.clone(), text(before), text(now))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_told() {
        let (before, now) = (json!({ "a": 1, "b": "x", "old": true }), json!({ "a": 1, "b": "y" }));
        let found = differing(&before, &now);
        let told: Vec<(&str, &str, &str)> =
            found.iter().map(|(n, b, a)| (n.as_str(), b.as_str(), a.as_str())).collect();
        assert_eq!(told, [("b", "x", "y"), ("old", "true", "")]);
    }
}
