//! The graph of a flow as SVG: jobs as boxes, groups as frames, a `foreach` as one box with counts; with the states of
//! a run, if there is one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use askama::Template;
use weir_core::flow::compile::Compiled;
use weir_core::graph::JobKind;
use weir_core::ids::{JobIx, ScopeIx, TaskIx};
use weir_core::run::Run;

use super::layers;
use crate::form::task_address;
use crate::words::Words;

const BOX: (f64, f64) = (178.0, 46.0);
const PAD: f64 = 14.0;
const HEAD: f64 = 26.0;
/// Letters of a name that fit into a box.
const LETTERS: usize = 21;

/// A graph, placed.
#[derive(Template)]
#[template(path = "dag.html")]
pub(crate) struct Dag {
    words: &'static Words,
    width: String,
    height: String,
    frames: Vec<Shape>,
    boxes: Vec<Shape>,
    lines: Vec<String>,
}

/// A box or a frame.
struct Shape {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    name: String,
    label: String,
    kind: String,
    state: &'static str,
    said: String,
    counts: String,
    href: Option<String>,
    destroys: bool,
}

/// What a picture is made of.
struct Drawing<'a> {
    compiled: &'a Compiled,
    words: &'static Words,
    run: Option<(i64, &'a Run)>,
    /// For each job, its tasks.
    tasks: BTreeMap<u32, Vec<TaskIx>>,
}

#[derive(Default)]
struct Part {
    frames: Vec<Shape>,
    boxes: Vec<Shape>,
    lines: Vec<Vec<(f64, f64)>>,
    width: f64,
    height: f64,
}

impl Part {
    fn take(&mut self, mut inner: Self, x: f64, y: f64) {
        for shape in inner.frames.iter_mut().chain(&mut inner.boxes) {
            shape.x += x;
            shape.y += y;
        }
        for point in inner.lines.iter_mut().flatten() {
            *point = (point.0 + x, point.1 + y);
        }
        self.frames.append(&mut inner.frames);
        self.boxes.append(&mut inner.boxes);
        self.lines.append(&mut inner.lines);
    }
}

impl Dag {
    /// Draws a flow; `run` gives the states.
    pub(crate) fn new(
        compiled: &Compiled,
        words: &'static Words,
        run: Option<(i64, &Run)>,
    ) -> Self {
        let mut tasks: BTreeMap<u32, Vec<TaskIx>> = BTreeMap::new();
        if let Some((_, run)) = run {
            for ix in (0..run.tasks().len() as u32).map(TaskIx) {
                tasks.entry(run.tasks()[ix.at()].job.0).or_default().push(ix);
            }
        }
        let drawing = Drawing { compiled, words, run, tasks };
        let mut part = Part::default();
        let main = drawing.scope(ScopeIx(0));
        let (mut width, mut height) = (main.width, main.height);
        part.take(main, 2.0, 2.0);
        let hooks = compiled.graph.hooks;
        for (name, scope) in [
            ("on-start", hooks.on_start),
            ("on-success", hooks.on_success),
            ("on-failure", hooks.on_failure),
            ("on-exit", hooks.on_exit),
        ] {
            let Some(scope) = scope else { continue };
            let inner = drawing.scope(scope);
            let y = height + 16.0;
            let shape = Shape {
                x: 2.0,
                y: y + 2.0,
                width: inner.width + 2.0 * PAD,
                height: inner.height + HEAD + PAD,
                name: name.to_owned(),
                label: name.to_owned(),
                kind: String::new(),
                state: "",
                said: String::new(),
                counts: String::new(),
                href: None,
                destroys: false,
            };
            width = width.max(shape.width);
            height = y + shape.height;
            part.frames.push(shape);
            part.take(inner, 2.0 + PAD, y + 2.0 + HEAD);
        }
        Self {
            words,
            width: format!("{:.0}", width + 4.0),
            height: format!("{:.0}", height + 4.0),
            // What holds others stands behind them.
            frames: {
                part.frames.sort_by(|one, other| {
                    (other.width * other.height).total_cmp(&(one.width * one.height))
                });
                part.frames
            },
            boxes: part.boxes,
            lines: part.lines.iter().map(|points| path(points)).collect(),
        }
    }
}

impl Drawing<'_> {
    fn scope(&self, scope: ScopeIx) -> Part {
        let graph = &self.compiled.graph;
        let jobs: Vec<JobIx> = graph.jobs_of(scope).collect();
        let inner: Vec<Option<Part>> =
            jobs.iter().map(|job| self.inside(*job).map(|scope| self.scope(scope))).collect();
        let sizes: Vec<(f64, f64)> = inner
            .iter()
            .map(|inner| match inner {
                Some(part) => ((part.width + 2.0 * PAD).max(BOX.0), part.height + HEAD + PAD),
                None => BOX,
            })
            .collect();
        let needs: Vec<Vec<usize>> = (0..jobs.len() as u32)
            .map(|place| {
                graph.scope(scope).needs(place).iter().map(|need| *need as usize).collect()
            })
            .collect();
        let placed = layers::place(&sizes, &needs);
        let mut part = Part {
            width: placed.width,
            height: placed.height,
            lines: placed.lines,
            ..Part::default()
        };
        for (at, (job, inner)) in jobs.into_iter().zip(inner).enumerate() {
            let (x, y) = placed.boxes[at];
            let (width, height) = sizes[at];
            let shape = Shape { x, y, width, height, ..self.shape(job) };
            match inner {
                Some(inner) => {
                    part.frames.push(shape);
                    part.take(inner, x + PAD, y + HEAD);
                }
                None => part.boxes.push(shape),
            }
        }
        part
    }

    /// The scope that is drawn inside of a job's frame.
    fn inside(&self, job: JobIx) -> Option<ScopeIx> {
        match self.compiled.graph.job(job).kind {
            JobKind::Group(scope) => Some(scope),
            JobKind::Foreach { body, .. } => self.compiled.graph.jobs_of(body).find_map(|body| {
                match self.compiled.graph.job(body).kind {
                    JobKind::Group(scope) => Some(scope),
                    JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Foreach { .. } => {
                        None
                    }
                }
            }),
            JobKind::Work | JobKind::Instant | JobKind::Asks => None,
        }
    }

    fn shape(&self, job: JobIx) -> Shape {
        let text = self.compiled.job(job);
        let body = match self.compiled.graph.job(job).kind {
            JobKind::Foreach { body, .. } => self.compiled.graph.jobs_of(body).next(),
            JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Group(_) => None,
        };
        let uses = text.uses.as_ref().map(|uses| uses.job_type.as_str());
        let kind = match (uses, body) {
            (Some(uses), Some(_)) => format!("{} {uses}", self.words.for_each),
            (None, Some(_)) => self.words.for_each.to_owned(),
            (Some(uses), None) => uses.to_owned(),
            (None, None) => String::new(),
        };
        let own = self.tasks.get(&job.0);
        let (mut state, mut href) = ("", None);
        if let (Some((id, run)), Some(&[task])) = (self.run, own.map(Vec::as_slice)) {
            state = run.tasks()[task.at()].state.name();
            let name = |job: JobIx| self.compiled.jobs[job.at()].name.as_str();
            href = Some(task_address(id, &run.path(task, &name)));
        }
        let counted = body.map_or(job, |body| body);
        let counts = self.counts(counted, body.is_some());
        if let (Some((_, run)), Some(tasks)) = (self.run, own)
            && tasks.len() > 1
        {
            // Inside of a `foreach`: the state that needs a look first.
            state = tasks
                .iter()
                .map(|task| run.tasks()[task.at()].state.name())
                .max_by_key(|state| urgency(state))
                .unwrap_or_default();
        }
        Shape {
            x: 0.0,
            y: 0.0,
            width: 0.0,
            height: 0.0,
            name: match &text.title {
                Some(title) => format!("{}: {title}", text.name),
                None => text.name.clone(),
            },
            label: short(&text.name),
            kind: short(&kind),
            state,
            said: if state.is_empty() { String::new() } else { self.words.state(state).to_owned() },
            counts,
            href,
            destroys: text.destroys.is_some(),
        }
    }

    /// How many tasks of a job are in which state, where there are several.
    fn counts(&self, job: JobIx, is_each: bool) -> String {
        let (Some((_, run)), Some(tasks)) = (self.run, self.tasks.get(&job.0)) else {
            return String::new();
        };
        if tasks.len() < 2 && !is_each {
            return String::new();
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for task in tasks {
            *counts.entry(run.tasks()[task.at()].state.name()).or_default() += 1;
        }
        let mut out = String::new();
        let mut sorted: Vec<_> = counts.into_iter().collect();
        sorted.sort_by_key(|(state, _)| std::cmp::Reverse(urgency(state)));
        for (state, count) in sorted {
            let _ = write!(out, "{}{count} ", mark(state));
        }
        out.trim_end().to_owned()
    }
}

/// The sign that stands for a state beside its colour.
pub(crate) fn mark(state: &str) -> &'static str {
    match state {
        "succeeded" => "✓",
        "failed" | "timed-out" | "lost" => "✗",
        "running" | "launching" => "▶",
        "failing" => "!",
        "unreachable" => "~",
        "retrying" => "↻",
        "recovering" => "+",
        "asking" => "?",
        "paused" => "‖",
        "cancelling" | "cancelled" => "■",
        "skipped" => "»",
        "already-done" | "reused" => "=",
        "disabled" => "–",
        "waiting" | "ready" | "queued" => "○",
        _ => "",
    }
}

/// Which of several states is shown for all.
fn urgency(state: &str) -> u8 {
    match state {
        "asking" => 9,
        "failed" | "timed-out" | "lost" => 8,
        "unreachable" => 7,
        "recovering" | "retrying" => 6,
        "cancelling" => 5,
        "launching" | "running" => 4,
        "ready" | "waiting" => 3,
        "cancelled" => 2,
        "succeeded" => 1,
        _ => 0,
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LETTERS - 1).collect();
    short.push('…');
    short
}

/// A line through points, as soft curves.
fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (at, &(x, y)) in points.iter().enumerate() {
        if at == 0 {
            let _ = write!(out, "M{x:.1} {y:.1}");
            continue;
        }
        let (from_x, from_y) = points[at - 1];
        let half = (x - from_x) / 2.0;
        let _ =
            write!(out, "C{:.1} {from_y:.1} {:.1} {y:.1} {x:.1} {y:.1}", from_x + half, x - half);
    }
    out
}

impl Shape {
    fn mark(&self) -> &'static str {
        mark(self.state)
    }

    fn text_x(&self) -> f64 {
        self.x + 30.0
    }

    fn right(&self) -> f64 {
        self.x + self.width - 10.0
    }

    fn line(&self, down: i32) -> f64 {
        self.y + f64::from(down)
    }
}
