//! A run as a tree of lines that fit a terminal. Pure: the run, the time and the room come in, lines go out.

use std::collections::BTreeMap;

use weir_core::time::Timestamp;

use crate::style::{Look, Style};
use crate::terminal::{cut, width};
use crate::view::{Run, Task, span};

/// The room there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Columns.
    pub(crate) columns: usize,
    /// Lines at most; tasks are folded together until they fit.
    pub(crate) lines: usize,
}

/// The widest a name may be, indents included, before what follows it moves to the right.
const NAME_MAX: usize = 36;

/// The run's head and its tasks. `last_lines` are the last lines of the logs of what works, by the task's number.
pub(crate) fn tree(
    run: &Run,
    last_lines: &BTreeMap<u32, String>,
    now: Timestamp,
    room: Room,
    style: Style,
) -> Vec<String> {
    let mut lines = vec![head(run, now, room.columns, style)];
    let rows: Vec<Row> = run.tasks.iter().map(|task| Row::new(task, last_lines, now)).collect();
    let folded = fold(rows, room.lines.saturating_sub(1).max(1), style);
    let names =
        folded.iter().map(|row| row.indent() + width(&row.name)).max().unwrap_or(0).min(NAME_MAX);
    let words = folded.iter().map(|row| width(&row.word)).max().unwrap_or(0);
    let times = folded.iter().map(|row| width(&row.time)).max().unwrap_or(0);
    lines.extend(folded.iter().map(|row| row.line(names, words, times, room.columns, style)));
    lines
}

fn head(run: &Run, now: Timestamp, columns: usize, style: Style) -> String {
    let look = Look::of(&run.state);
    let over = run.tasks.iter().filter(|task| !task.is_group() && task.is_over()).count();
    let all = run.tasks.iter().filter(|task| !task.is_group()).count();
    let began = run.started_at.unwrap_or(run.created_at);
    let took =
        span(run.ended_at.unwrap_or(now).since(began).as_millis().try_into().unwrap_or(u64::MAX));
    let name = format!("run {} {}", run.id, run.flow_name());
    let tail = format!("  {took}  {over} of {all}");
    let room = columns.saturating_sub(width(&run.state) + width(&tail) + 4);
    format!(
        "{} {} {}{}",
        style.look(look, style.mark(look)),
        style.strong(&cut(&name, room, style.ellipsis())),
        style.look(look, &run.state),
        style.faint(&tail)
    )
}

/// One line of the tree: a task, or several that are folded together.
#[derive(Clone, Debug)]
struct Row {
    depth: usize,
    look: Look,
    name: String,
    word: String,
    time: String,
    note: String,
    weight: Weight,
}

/// What may be folded first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It is over, and all is well.
    Over,
    /// It has not begun.
    Ahead,
    /// It is at work, failed, or asks.
    Now,
}

impl Row {
    fn new(task: &Task, last_lines: &BTreeMap<u32, String>, now: Timestamp) -> Self {
        let look = Look::of(&task.state);
        let weight = match look {
            Look::Good | Look::Out => Weight::Over,
            Look::Waiting => Weight::Ahead,
            Look::Bad | Look::Busy | Look::Mending | Look::Asking => Weight::Now,
        };
        let time = task.worked_ms(now).map(span).unwrap_or_default();
        let last_line = last_lines.get(&task.number).filter(|_| task.is_active());
        let reason = task.reason.as_deref().unwrap_or_default();
        let note = match (last_line, look) {
            (Some(line), Look::Busy) if reason.is_empty() => line.clone(),
            _ => reason.lines().next().unwrap_or_default().to_owned(),
        };
        let tries = task.attempts.last().map_or(0, |attempt| attempt.number);
        let word = if tries > 1 { format!("{} ({tries})", task.state) } else { task.state.clone() };
        Self {
            depth: task.depth as usize,
            look,
            name: task.last_name().to_owned(),
            word,
            time,
            note,
            weight,
        }
    }

    fn folded(rows: &[Self], look: Look, words: &str) -> Self {
        let depth = rows.iter().map(|row| row.depth).min().unwrap_or(0);
        let (word, time, note) = (String::new(), String::new(), String::new());
        let weight = rows.first().map_or(Weight::Over, |row| row.weight);
        Self { depth, look, name: format!("{} {words}", rows.len()), word, time, note, weight }
    }

    fn indent(&self) -> usize {
        2 + 2 * self.depth
    }

    fn line(
        &self,
        names: usize,
        words: usize,
        times: usize,
        columns: usize,
        style: Style,
    ) -> String {
        // What stands in each line before its note: indent, mark, name, state, time.
        let room = names.max(8) - self.indent().min(names);
        let name = cut(&self.name, room.max(8), style.ellipsis());
        let pad = |text: &str, wide: usize| " ".repeat(wide.saturating_sub(width(text)));
        let mut line = " ".repeat(self.indent());
        line.push_str(&style.look(self.look, style.mark(self.look)));
        line.push(' ');
        line.push_str(&name);
        let mut used = self.indent() + 2 + width(&name);
        if !self.word.is_empty() {
            let gap = pad(&name, names.saturating_sub(self.indent()));
            line.push_str(&gap);
            line.push_str("  ");
            line.push_str(&style.look(self.look, &self.word));
            line.push_str(&pad(&self.word, words));
            line.push_str(&pad(&self.time, times + 2));
            line.push_str(&self.time);
            used +=
                gap.len() + 2 + words.max(width(&self.word)) + (times + 2).max(width(&self.time));
        }
        let room = columns.saturating_sub(used + 2);
        if !self.note.is_empty() && room > 4 {
            line.push_str("  ");
            line.push_str(&style.faint(&cut(&self.note, room, style.ellipsis())));
        }
        line.trim_end().to_owned()
    }
}

/// Folds rows together until they fit: first what is over, then what is ahead, last all but what comes first.
fn fold(rows: Vec<Row>, room: usize, style: Style) -> Vec<Row> {
    let rows = fold_weight(rows, room, Weight::Over, |rows| {
        let left_out = rows.iter().filter(|row| row.look == Look::Out).count();
        if left_out == rows.len() {
            Row::folded(rows, Look::Out, "left out")
        } else {
            Row::folded(rows, Look::Good, "done")
        }
    });
    let mut rows =
        fold_weight(rows, room, Weight::Ahead, |rows| Row::folded(rows, Look::Waiting, "waiting"));
    if rows.len() > room {
        // Still too many: what is at work is what a person looks for.
        rows.sort_by_key(|row| row.weight != Weight::Now);
        let rest = rows.split_off(room.saturating_sub(1));
        let mut more = Row::folded(&rest, Look::Waiting, "more lines");
        more.name = format!("{} {}", style.ellipsis(), more.name);
        rows.push(more);
    }
    rows
}

fn fold_weight(
    rows: Vec<Row>,
    room: usize,
    weight: Weight,
    one: impl Fn(&[Row]) -> Row,
) -> Vec<Row> {
    if rows.len() <= room {
        return rows;
    }
    let mut out = Vec::with_capacity(room);
    for group in rows.chunk_by(|one, other| one.weight == weight && other.weight == weight) {
        match group {
            [_, _, ..] => out.push(one(group)),
            few => out.extend_from_slice(few),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOM: Room = Room { columns: 78, lines: 24 };

    fn task(path: &str, state: &str, depth: u32) -> Task {
        Task {
            path: path.to_owned(),
            state: state.to_owned(),
            depth,
            uses: Some("command".to_owned()),
            ..Task::default()
        }
    }

    fn run() -> Run {
        let shown = json!({ "run": {
            "id": 7, "flow": "nightly", "state": "running", "created_at": "2026-01-01T00:00:00Z",
            "started_at": "2026-01-01T00:00:00Z",
            "tasks": [
                { "path": "fetch", "state": "succeeded", "uses": "command", "number": 0,
                  "attempts": [{ "number": 1, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:01.500Z" }] },
                { "path": "load", "state": "running", "number": 1 },
                { "path": "load[0]", "state": "running", "uses": "command", "depth": 1, "number": 2,
                  "attempts": [{ "number": 2, "started_at": "2026-01-01T00:00:02Z" }] },
                { "path": "load[1]", "state": "ready", "uses": "command", "depth": 1, "number": 3,
                  "reason": "it waits for a slot of pool `database`" },
                { "path": "gate", "state": "asking", "uses": "approve", "number": 4, "reason": "Publish?\nSecond line." },
                { "path": "report", "state": "waiting", "uses": "command", "number": 5, "reason": "it waits for `load` and 1 more" },
            ],
        }});
        Run::read(&shown).expect("a run")
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-01-01T00:01:05Z").expect("a time")
    }

    #[test]
    fn a_tree_says_what_runs_and_what_waits() {
        let last = BTreeMap::from([(
            2,
            "row 12000 of a table whose name is much too long for this terminal".to_owned(),
        )]);
        insta::assert_snapshot!(tree(&run(), &last, now(), ROOM, Style::plain()).join("\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let last = BTreeMap::from([(2, "进度 ".repeat(40))]);
        for columns in [20, 40, 60, 100] {
            for line in tree(&run(), &last, now(), Room { columns, lines: 24 }, Style::plain()) {
                assert!(width(&line) <= columns.max(52), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn colours_change_no_word() {
        let plain = tree(&run(), &BTreeMap::new(), now(), ROOM, Style::plain());
        let coloured = tree(&run(), &BTreeMap::new(), now(), ROOM, Style::coloured());
        let bare: Vec<String> =
            coloured.iter().map(|line| crate::terminal::clean(line.as_bytes())).collect();
        assert_eq!(bare, plain);
        assert_ne!(coloured, plain);
    }

    #[test]
    fn many_tasks_are_folded_to_the_height() {
        let mut many =
            Run { id: 1, flow: "wide".to_owned(), state: "running".to_owned(), ..Run::default() };
        many.tasks.extend((0..40).map(|at| task(&format!("a{at}"), "succeeded", 0)));
        many.tasks.push(task("broken", "failed", 0));
        many.tasks.extend((0..3).map(|at| task(&format!("b{at}"), "running", 0)));
        many.tasks.extend((0..500).map(|at| task(&format!("c{at}"), "waiting", 0)));
        let lines = |room| {
            tree(&many, &BTreeMap::new(), now(), Room { columns: 60, lines: room }, Style::plain())
        };
        insta::assert_snapshot!(lines(8).join("\n"));
        insta::assert_snapshot!(lines(5).join("\n"));
        for room in 2..30 {
            assert!(lines(room).len() <= room, "{room}");
        }
    }
}
