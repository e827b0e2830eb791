//! `weir graph`: a flow's jobs and what each needs, as text, for Graphviz or for Mermaid.

use std::fmt::Write as _;

use weir_core::flow::compile::Compiled;
use weir_core::graph::JobKind;
use weir_core::ids::{JobIx, ScopeIx};

use crate::access;
use crate::args::{self, Format, Global};
use crate::end::{End, Ended};
use crate::flow_file;
use crate::shipped;

pub(crate) async fn graph(global: &Global, args: &args::Graph) -> Ended {
    let path = flow_file::find_file(&args.flow)?;
    let library = shipped::library(&access::home_path(global)?).await?;
    let quiet = Global { quiet: true, ..global.clone() };
    let compiled = flow_file::load(&quiet, &library, &path)?.compiled;
    say_text!("{}", drawn(&compiled, args.format))?;
    Ok(End::Done)
}

fn drawn(compiled: &Compiled, format: Format) -> String {
    let mut out = match format {
        Format::Text => format!("{}\n", compiled.flow.name),
        Format::Dot => {
            "digraph {\n  rankdir=LR\n  compound=true\n  node [shape=box, style=rounded]\n"
                .to_owned()
        }
        Format::Mermaid => "flowchart LR\n".to_owned(),
    };
    let mut drawer = Drawer { compiled, format, out: &mut out };
    drawer.scope(ScopeIx(0), 1);
    drawer.needs(ScopeIx(0));
    let hooks = compiled.graph.hooks;
    for (name, scope) in [
        ("on-start", hooks.on_start),
        ("on-success", hooks.on_success),
        ("on-failure", hooks.on_failure),
        ("on-exit", hooks.on_exit),
    ] {
        if let Some(scope) = scope {
            drawer.frame(name, name, 1, scope);
            drawer.needs(scope);
        }
    }
    if let Format::Dot = format {
        out.push_str("}\n");
    }
    out
}

struct Drawer<'a> {
    compiled: &'a Compiled,
    format: Format,
    out: &'a mut String,
}

impl Drawer<'_> {
    /// The jobs of a scope, each behind those it needs, and what each holds.
    fn scope(&mut self, scope: ScopeIx, depth: usize) {
        for job in in_order(self.compiled, scope) {
            let inner = self.inner(job);
            match (self.format, inner) {
                (Format::Text, _) => {
                    self.line_of(job, depth);
                    if let Some(inner) = inner {
                        self.scope(inner, depth + 1);
                    }
                }
                (Format::Dot | Format::Mermaid, Some(inner)) => {
                    let label = self.label(job);
                    self.frame(&format!("j{}", job.0), &label, depth, inner);
                }
                (Format::Dot, None) => {
                    let label = self.label(job);
                    let _ = writeln!(
                        self.out,
                        "{:indent$}j{} [label={}]",
                        "",
                        job.0,
                        dot(&label),
                        indent = 2 * depth
                    );
                }
                (Format::Mermaid, None) => {
                    let label = self.label(job);
                    let _ = writeln!(
                        self.out,
                        "{:indent$}j{}[{}]",
                        "",
                        job.0,
                        mermaid(&label),
                        indent = 4 * depth
                    );
                }
            }
        }
    }

    /// A frame around the jobs of a scope.
    fn frame(&mut self, id: &str, label: &str, depth: usize, inner: ScopeIx) {
        match self.format {
            Format::Text => {
                let _ = writeln!(self.out, "{:indent$}{label}", "", indent = 2 * depth);
                self.scope(inner, depth + 1);
            }
            Format::Dot => {
                let indent = 2 * depth;
                let _ = writeln!(
                    self.out,
                    "{:indent$}subgraph {} {{",
                    "",
                    dot(&format!("cluster_{id}"))
                );
                let _ = writeln!(self.out, "{:indent$}  label={}", "", dot(label));
                self.scope(inner, depth + 1);
                let _ = writeln!(self.out, "{:indent$}}}", "");
            }
            Format::Mermaid => {
                let indent = 4 * depth;
                let _ = writeln!(self.out, "{:indent$}subgraph {id}[{}]", "", mermaid(label));
                self.scope(inner, depth + 1);
                let _ = writeln!(self.out, "{:indent$}end", "");
            }
        }
    }

    /// The arrows between the jobs of a scope, and of all scopes in it.
    fn needs(&mut self, scope: ScopeIx) {
        let graph = &self.compiled.graph;
        let first = graph.scope(scope).first;
        for job in graph.jobs_of(scope) {
            for need in graph.scope(scope).needs(job.0 - first) {
                let need = JobIx(first + need);
                match self.format {
                    Format::Text => {}
                    Format::Dot => {
                        let ends: Vec<String> = [("ltail", need), ("lhead", job)]
                            .into_iter()
                            .filter(|(_, end)| self.inner(*end).is_some())
                            .map(|(name, end)| format!("{name}=cluster_j{}", end.0))
                            .collect();
                        let ends = if ends.is_empty() {
                            String::new()
                        } else {
                            format!(" [{}]", ends.join(", "))
                        };
                        // Graphviz draws arrows between jobs only: those of a group end at its frame.
                        let (from, to) = (self.stand_in(need), self.stand_in(job));
                        let _ = writeln!(self.out, "  j{} -> j{}{ends}", from.0, to.0);
                    }
                    Format::Mermaid => {
                        let _ = writeln!(self.out, "    j{} --> j{}", need.0, job.0);
                    }
                }
            }
            if let Some(inner) = self.inner(job) {
                self.needs(inner);
            }
        }
    }

    /// The scope of what a job holds, if that is more than itself.
    fn inner(&self, job: JobIx) -> Option<ScopeIx> {
        let graph = &self.compiled.graph;
        match graph.job(job).kind {
            JobKind::Group(inner) => Some(inner),
            JobKind::Foreach { body, .. } => graph.jobs_of(body).find_map(|job| self.inner(job)),
            JobKind::Work | JobKind::Instant | JobKind::Asks => None,
        }
    }

    /// A job that is drawn as a node: itself, or one within the group.
    fn stand_in(&self, job: JobIx) -> JobIx {
        match self.inner(job).and_then(|inner| self.compiled.graph.jobs_of(inner).next()) {
            Some(first) => self.stand_in(first),
            None => job,
        }
    }

    /// Whether the job has a task for each item of a list, or for each of its hosts.
    fn is_foreach(&self, job: JobIx) -> bool {
        let text = &self.compiled.jobs[job.at()];
        text.foreach.is_some() || self.compiled.spread(job).is_some()
    }

    fn label(&self, job: JobIx) -> String {
        let text = &self.compiled.jobs[job.at()];
        let mut label = text.name.clone();
        if self.is_foreach(job) {
            label.push_str("[]");
        }
        if let Some(uses) = &text.uses {
            label.push('\n');
            label.push_str(&uses.job_type);
        }
        label
    }

    fn line_of(&mut self, job: JobIx, depth: usize) {
        let text = &self.compiled.jobs[job.at()];
        let name =
            if self.is_foreach(job) { format!("{}[]", text.name) } else { text.name.clone() };
        let uses = text.uses.as_ref().map_or("", |uses| uses.job_type.as_str());
        let needs: Vec<&str> = text.needs.iter().map(|need| need.source.as_str()).collect();
        let after =
            if needs.is_empty() { String::new() } else { format!("after {}", needs.join(", ")) };
        let wide = 30_usize.saturating_sub(2 * depth);
        let line = format!("{:indent$}{name:<wide$} {uses:<12} {after}", "", indent = 2 * depth);
        let _ = writeln!(self.out, "{}", line.trim_end());
    }
}

/// The jobs of a scope, each behind those it needs, otherwise as in the file.
fn in_order(compiled: &Compiled, scope: ScopeIx) -> Vec<JobIx> {
    let scope = compiled.graph.scope(scope);
    let mut open: Vec<usize> = (0..scope.count).map(|place| scope.needs(place).len()).collect();
    let mut ready: std::collections::BTreeSet<u32> =
        (0..scope.count).filter(|place| open[*place as usize] == 0).collect();
    let mut order = Vec::with_capacity(scope.count as usize);
    while let Some(place) = ready.pop_first() {
        order.push(JobIx(scope.first + place));
        for dependent in scope.dependents(place) {
            open[*dependent as usize] -= 1;
            if open[*dependent as usize] == 0 {
                ready.insert(*dependent);
            }
        }
    }
    order
}

/// A text in Graphviz's quotes.
fn dot(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text in Mermaid's quotes.
fn mermaid(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "#quot;").replace('\n', "<br/>"))
}
