//! A flow: its graph, when it runs by itself, its last runs job by job, how long they took, its parameters.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use weir_core::ids::{RunId, TaskIx};
use weir_core::run::RunState;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::store::RunFilter;
use weir_engine::view;

use crate::address::Path;
use crate::clock;
use crate::error::PageError;
use crate::flows;
use crate::form::{self, flow_address, task_address};
use crate::pages::field::typed;
use crate::pages::schedules::Line;
use crate::picture::dag::{Dag, mark};
use crate::schedules;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::Who;
use crate::words::Words;

/// Runs that stand side by side, and jobs of each.
const RUNS: u64 = 30;
const ROWS: usize = 200;

#[derive(Template)]
#[template(path = "flow.html")]
pub(crate) struct Flow {
    s: Shell,
    project: String,
    name: String,
    href: String,
    title: Option<String>,
    description: Option<String>,
    mistakes: Option<String>,
    warnings: Vec<String>,
    dag: Dag,
    schedules: Vec<Line>,
    grid: Grid,
    params: Vec<ParamLine>,
    may_run: bool,
    may_change: bool,
}

struct ParamLine {
    name: String,
    kind: String,
    value: String,
    description: String,
}

#[derive(Default)]
struct Grid {
    runs: Vec<Column>,
    rows: Vec<Row>,
}

struct Column {
    id: i64,
    title: String,
    state: &'static str,
    mark: &'static str,
    top: String,
    tall: String,
}

struct Row {
    path: String,
    cells: Vec<Option<Cell>>,
}

struct Cell {
    href: String,
    state: &'static str,
    said: &'static str,
    mark: &'static str,
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Page<Flow>, PageError> {
    let project = form::project(&project).to_owned();
    me.must(Role::Viewer, &project)?;
    let known = flows::all(&site, &me).await?;
    let known = known
        .into_iter()
        .find(|flow| flow.project == project && flow.name == name)
        .ok_or_else(PageError::no_page)?;
    let compiled = match flows::load(&site, &project, &name).await {
        Ok(loaded) => loaded.compiled,
        Err(error) => {
            // A file with mistakes: what ran last is shown instead.
            let Some(row) = site.handle.store().latest_version(&project, &name).await? else {
                return Err(PageError::bad(known.mistakes.unwrap_or(error.detail)));
            };
            let version = site.handle.library().version(site.handle.store(), &row.hash);
            version.await.map_err(PageError::broken)?
        }
    };
    let flow = &compiled.flow;
    let grid = grid(&site, &s, &project, &name).await?;
    let own = schedules::all(&site, &me).await?.into_iter();
    let own = own.filter(|one| one.project == project && one.flow == name);
    let params = flow
        .params
        .iter()
        .map(|param| ParamLine {
            name: param.name.clone(),
            kind: serde_json::to_value(param.kind).map(|kind| typed(&kind)).unwrap_or_default(),
            value: param.default.as_ref().map(typed).unwrap_or_default(),
            description: param.description.clone().unwrap_or_default(),
        })
        .collect();
    Ok(Page(Flow {
        href: flow_address(&project, &name),
        title: flow.title.clone(),
        description: flow.description.clone(),
        mistakes: known.mistakes,
        warnings: Vec::new(),
        dag: Dag::new(&compiled, Words::of(s.lang), None),
        schedules: own.map(|one| Line::new(one, &me, &s)).collect(),
        grid,
        params,
        may_run: me.may(Role::Operator, &project),
        may_change: me.may(Role::Author, &project),
        project,
        name,
        s,
    }))
}

/// The last runs, the oldest first, job by job.
async fn grid(site: &Site, words: &Words, project: &str, name: &str) -> Result<Grid, PageError> {
    let filter = RunFilter {
        project: Some(project.to_owned()),
        flow: Some(name.to_owned()),
        ..RunFilter::default()
    };
    let mut rows = site.handle.store().runs(&filter, None, RUNS).await?;
    rows.reverse();
    let now = wall_clock();
    let spans: Vec<u128> = rows
        .iter()
        .map(|row| {
            let from = row.started_at.unwrap_or(row.created_at);
            row.ended_at.unwrap_or(now).since(from).as_millis()
        })
        .collect();
    let longest = spans.iter().copied().max().unwrap_or(1).max(1);
    let mut grid = Grid::default();
    let mut order: Vec<String> = Vec::new();
    let mut cells: BTreeMap<String, BTreeMap<usize, Cell>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let state = RunState::from_code(row.state).map_or("", RunState::name);
        let took = clock::between(row.started_at, row.ended_at, now);
        let tall = (spans[at] as f64 / longest as f64 * 98.0).max(2.0);
        grid.runs.push(Column {
            id: row.id,
            title: format!("{}: {}, {took}", row.id, words.state(state)),
            state,
            mark: mark(state),
            top: format!("{:.1}", 100.0 - tall),
            tall: format!("{tall:.1}"),
        });
        let Ok(opened) =
            view::open(site.handle.store(), site.handle.library(), RunId(row.id)).await
        else {
            continue;
        };
        for ix in (0..opened.run.tasks().len() as u32).map(TaskIx) {
            // One row a job: items of a `foreach` stand in their own run only.
            if opened.run.item(ix).is_some() {
                continue;
            }
            let path = opened.path(ix);
            if path.contains('[') || order.len() >= ROWS && !cells.contains_key(&path) {
                continue;
            }
            if !cells.contains_key(&path) {
                order.push(path.clone());
            }
            let state = opened.run.tasks()[ix.at()].state.name();
            let cell = Cell {
                href: task_address(row.id, &path),
                state,
                said: words.state(state),
                mark: mark(state),
            };
            cells.entry(path).or_default().insert(at, cell);
        }
    }
    for path in order {
        let mut own = cells.remove(&path).unwrap_or_default();
        let cells = (0..grid.runs.len()).map(|at| own.remove(&at)).collect();
        grid.rows.push(Row { path, cells });
    }
    Ok(grid)
}
