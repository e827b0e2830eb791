//! Pictures drawn on the server: the graph of a flow, and when its tasks were at work.

pub(crate) mod dag;
pub(crate) mod gantt;
pub(crate) mod layers;
