//! Flows that begin each other at their ends, and so would never stop.

use std::collections::{BTreeMap, VecDeque};

use weir_core::flow::{Flow, Project};
use weir_core::mistake::{Mistake, Place, Severity};
use weir_core::schedule::Trigger;
use weir_engine::library::Source;

/// A project and a flow of it.
type Name = (String, String);

/// The schedules of several files that wait for the end of a flow.
#[derive(Debug, Default)]
pub(crate) struct Circles {
    waits: Vec<Wait>,
}

/// A flow that waits for another.
#[derive(Debug)]
struct Wait {
    flow: Name,
    after: Name,
    file: String,
    place: Place,
    source: Source,
}

impl Circles {
    /// Takes up what a flow waits for.
    pub(crate) fn add(&mut self, flow: &Flow, project: &Project, source: &Source) {
        for schedule in &flow.schedules {
            let Trigger::AfterFlow { project: of, flow: after, .. } = &schedule.trigger else {
                continue;
            };
            self.waits.push(Wait {
                flow: (project.name.clone(), flow.name.clone()),
                after: (of.as_ref().unwrap_or(&project.name).clone(), after.clone()),
                file: source.flow.name.clone(),
                place: schedule.place,
                source: source.clone(),
            });
        }
    }

    /// What is wrong: a mistake for each schedule that is part of a circle.
    pub(crate) fn mistakes(&self) -> Vec<(Mistake, &Source)> {
        let mut starts: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
        for wait in &self.waits {
            starts.entry(&wait.after).or_default().push(&wait.flow);
        }
        let mistake = |wait: &Wait, way: &[&Name]| Mistake {
            file: wait.file.clone(),
            place: wait.place,
            severity: Severity::Warning,
            code: "endless",
            message: format!(
                "these flows begin each other, again and again: {}",
                way.iter().map(|name| called(name)).collect::<Vec<_>>().join(" -> ")
            ),
            help: Some("leave out one of their `after-flow` schedules".to_owned()),
        };
        self.waits
            .iter()
            .filter_map(|wait| {
                let mut way = way(&starts, &wait.flow, &wait.after)?;
                way.push(&wait.flow);
                Some((mistake(wait, &way), &wait.source))
            })
            .collect()
    }
}

fn called((project, flow): &Name) -> String {
    if project.is_empty() { flow.clone() } else { format!("{project}/{flow}") }
}

/// The shortest way along which the end of one flow leads to the start of another.
fn way<'a>(
    starts: &BTreeMap<&'a Name, Vec<&'a Name>>,
    from: &'a Name,
    to: &Name,
) -> Option<Vec<&'a Name>> {
    let mut before: BTreeMap<&Name, Option<&'a Name>> = BTreeMap::from([(from, None)]);
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            let mut way = vec![at];
            while let Some(Some(earlier)) = before.get(way[way.len() - 1]) {
                way.push(*earlier);
            }
            way.reverse();
            return Some(way);
        }
        for flow in starts.get(at).into_iter().flatten() {
            if !before.contains_key(flow) {
                before.insert(flow, Some(at));
                next.push_back(flow);
            }
        }
    }
    None
}
