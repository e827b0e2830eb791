//! From the names that jobs need to places in their scope.

use std::collections::BTreeMap;

use crate::flow::Job;
use crate::mistake::{Mistake, Place, Severity};
use crate::schema::nearest;

/// What each job of a scope needs, and where each name stands.
pub(super) struct Needs {
    pub(super) lists: Vec<Vec<u32>>,
    pub(super) names: BTreeMap<String, u32>,
}

/// Resolves the needs of the jobs of one scope. Needs in a circle are left out, so that a graph can still be made.
pub(super) fn resolve<'a>(
    jobs: impl Iterator<Item = &'a Job>,
    file: &str,
    mistakes: &mut Vec<Mistake>,
) -> Needs {
    let jobs: Vec<&Job> = jobs.collect();
    let mut mistake = |code, place: Place, message, help| {
        let file = file.to_owned();
        mistakes.push(Mistake { file, place, severity: Severity::Error, code, message, help });
    };
    let mut names = BTreeMap::new();
    for (place, job) in jobs.iter().enumerate() {
        if names.insert(job.name.clone(), place as u32).is_some() {
            mistake("repeated-job", job.place, format!("there are two jobs `{}`", job.name), None);
        }
    }
    let mut lists: Vec<Vec<u32>> = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let mut list = Vec::with_capacity(job.needs.len());
        for need in &job.needs {
            if let Some(place) = names.get(&need.source) {
                list.push(*place);
            } else {
                let near = nearest(&need.source, names.keys().map(String::as_str));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                let message = format!("there is no job `{}` beside `{}`", need.source, job.name);
                mistake("unknown-job", need.place, message, help);
            }
        }
        list.sort_unstable();
        list.dedup();
        lists.push(list);
    }
    if let Some(circle) = circle(&lists) {
        let mut path: Vec<&str> =
            circle.iter().map(|place| jobs[*place as usize].name.as_str()).collect();
        path.push(path[0]);
        let message = format!("jobs need each other in a circle: {}", path.join(" -> "));
        let help = "take one of these needs away".to_owned();
        mistake("circle", jobs[circle[0] as usize].place, message, Some(help));
        lists.iter_mut().for_each(Vec::clear);
    }
    Needs { lists, names }
}

/// The places of one circle, each needing the next, if there is one.
fn circle(needs: &[Vec<u32>]) -> Option<Vec<u32>> {
    let mut dependents = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (place, list) in needs.iter().enumerate() {
        for need in list {
            dependents[*need as usize].push(place);
        }
    }
    let mut free: Vec<usize> = (0..needs.len()).filter(|place| open[*place] == 0).collect();
    let mut ordered = 0;
    while let Some(place) = free.pop() {
        ordered += 1;
        for dependent in &dependents[place] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    if ordered == needs.len() {
        return None;
    }
    // Every job left over needs another one left over: following them must come round.
    let mut at = open.iter().position(|open| *open > 0)? as u32;
    let mut seen = BTreeMap::new();
    let mut path: Vec<u32> = Vec::new();
    while seen.insert(at, path.len()).is_none() {
        path.push(at);
        at = *needs[at as usize].iter().find(|need| open[**need as usize] > 0)?;
    }
    Some(path.split_off(seen_before(&path, at)))
}

fn seen_before(path: &[u32], at: u32) -> usize {
    path.iter().position(|place| *place == at).unwrap_or(0)
}
