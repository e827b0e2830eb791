//! Failures on demand, for tests and simulation. A store has none unless it was opened with them.

use std::fmt;
use std::sync::Arc;

use super::Trouble;

/// Where in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// All rows are written, nothing is durable yet.
    BeforeCommit,
    /// All is durable, nobody was told yet.
    AfterCommit,
}

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The commit fails; rolled back. Only before the commit; after it, it counts as [`Fault::Die`].
    Fail(Trouble),
    /// The process dies here: the writer stops, nobody is answered any more.
    Die,
}

type Hook = dyn Fn(Point) -> Fault + Send + Sync;

/// Asked at each point of each commit.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Hook>>);

impl Faults {
    /// Faults chosen by `hook`, which runs on the writer's thread.
    pub fn new(hook: impl Fn(Point) -> Fault + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn any(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn at(&self, point: Point) -> Fault {
        self.0.as_ref().map_or(Fault::None, |hook| hook(point))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.any() { "Faults(some)" } else { "Faults(none)" })
    }
}
