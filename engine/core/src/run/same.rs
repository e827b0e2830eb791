//! Whether two runs are the same in every field. Tests compare a run with the one made again from its rows, and tell
//! by the hash whether they met a state before.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Run;

impl Run {
    /// Everything but the rules and the time of a step that is over: a new field has to be thought of here.
    fn fields(&self) -> impl Hash + PartialEq + '_ {
        let Self {
            id,
            graph: _,
            tasks,
            parts,
            added,
            added_uses,
            uses,
            stage,
            paused,
            failing,
            ending,
            state,
            counts,
            moving,
            used,
            late,
            due_at,
            started_at,
            ended_at,
            settle,
            ended,
        } = self;
        (
            (id, tasks, parts, added, added_uses, uses),
            (stage, paused, failing, ending, state, counts, moving),
            (used, late, due_at, started_at, ended_at, settle, ended),
        )
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.graph, &other.graph) && self.fields() == other.fields()
    }
}

impl Eq for Run {}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields().hash(state);
    }
}
