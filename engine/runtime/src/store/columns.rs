//! The columns of each table that is written, and how a row fills them.

use weir_core::time::Timestamp;

use super::people::RequestRow;
use super::rows::{
    AttemptRow, BlobRow, BlockRow, DiagnosisRow, EventRow, FireRow, FlowRow, NoticeRow, ResultRow,
    RunChange, RunRow, ScheduleEventRow, ScheduleRow, SecretRow, TaskRow, VersionRow,
};
use super::table::{Form, Row, Values};

impl Row for RunRow {
    const TABLE: &'static str = "run";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "project",
        "flow",
        "version",
        "state",
        "reason",
        "paused",
        "origin",
        "parent",
        "params",
        "confirm",
        "start",
        "\"key\"",
        "\"by\"",
        "due_at",
        "created_at",
        "started_at",
        "ended_at",
        "seq",
    ];
    const FORM: Form = Form::Insert;
    const KEY: &'static str = "id";
    type Key<'a> = i64;

    fn key(&self) -> i64 {
        self.id
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.id)
            .text(&self.project)
            .text(&self.flow)
            .text(&self.version)
            .int(self.state)
            .maybe_text(self.reason.as_deref())
            .int(self.paused)
            .maybe_int(self.origin)
            .maybe_text(self.parent.as_deref())
            .text(&self.params)
            .text(&self.confirm)
            .text(&self.start)
            .text(&self.key)
            .text(&self.by)
            .int(self.due_at.millis())
            .int(self.created_at.millis())
            .maybe_int(self.started_at.map(Timestamp::millis))
            .maybe_int(self.ended_at.map(Timestamp::millis))
            .int(self.seq);
    }
}

impl Row for RunChange {
    const TABLE: &'static str = "run";
    const COLUMNS: &'static [&'static str] =
        &["id", "state", "reason", "paused", "started_at", "ended_at", "seq"];
    const FORM: Form = Form::Update;
    const KEY: &'static str = "id";
    type Key<'a> = i64;

    fn key(&self) -> i64 {
        self.id
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.id)
            .int(self.state)
            .maybe_text(self.reason.as_deref())
            .int(self.paused)
            .maybe_int(self.started_at.map(Timestamp::millis))
            .maybe_int(self.ended_at.map(Timestamp::millis))
            .int(self.seq);
    }
}

impl Row for TaskRow {
    const TABLE: &'static str = "task";
    const COLUMNS: &'static [&'static str] =
        &["run", "task", "state", "cause", "attempt", "tries", "since", "until", "extra"];
    const FORM: Form =
        Form::Replace(&["state", "cause", "attempt", "tries", "since", "until", "extra"]);
    const KEY: &'static str = "run, task";
    type Key<'a> = (i64, u32);

    fn key(&self) -> (i64, u32) {
        (self.run.0, self.task.0)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.task.0)
            .int(self.state)
            .int(self.cause)
            .int(self.attempt)
            .int(self.tries)
            .int(self.since.millis())
            .maybe_int(self.until.map(Timestamp::millis))
            .int(self.extra);
    }
}

impl Row for BlockRow {
    const TABLE: &'static str = "block";
    const COLUMNS: &'static [&'static str] =
        &["run", "first", "owner", "scope", "count", "remedy", "items"];
    const FORM: Form = Form::Insert;
    const KEY: &'static str = "run, first";
    type Key<'a> = (i64, u32);

    fn key(&self) -> (i64, u32) {
        (self.run.0, self.first.0)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.first.0)
            .int(self.owner.0)
            .int(self.scope)
            .int(self.count)
            .maybe_int(self.remedy)
            .maybe_text(self.items.as_deref());
    }
}

impl Row for AttemptRow {
    const TABLE: &'static str = "attempt";
    const COLUMNS: &'static [&'static str] = &[
        "run",
        "task",
        "number",
        "state",
        "started_at",
        "ended_at",
        "exit_code",
        "signal",
        "class",
        "message",
        "handle",
    ];
    const FORM: Form = Form::Replace(&[
        "state",
        "started_at",
        "ended_at",
        "exit_code",
        "signal",
        "class",
        "message",
        "handle",
    ]);
    const KEY: &'static str = "run, task, number";
    type Key<'a> = (i64, u32, u32);

    fn key(&self) -> (i64, u32, u32) {
        (self.run.0, self.task.0, self.number)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.task.0)
            .int(self.number)
            .int(self.state)
            .int(self.started_at.millis())
            .maybe_int(self.ended_at.map(Timestamp::millis))
            .maybe_int(self.exit_code)
            .maybe_int(self.signal)
            .maybe_int(self.class)
            .maybe_text(self.message.as_deref())
            .maybe_text(self.handle.as_deref());
    }
}

impl Row for ResultRow {
    const TABLE: &'static str = "result";
    const COLUMNS: &'static [&'static str] = &["run", "task", "outputs"];
    const FORM: Form = Form::Replace(&["outputs"]);
    const KEY: &'static str = "run, task";
    type Key<'a> = (i64, u32);

    fn key(&self) -> (i64, u32) {
        (self.run.0, self.task.0)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values.int(self.run.0).int(self.task.0).text(&self.outputs);
    }
}

impl Row for DiagnosisRow {
    const TABLE: &'static str = "diagnosis";
    const COLUMNS: &'static [&'static str] =
        &["run", "task", "attempt", "at", "signature", "evidence", "\"then\"", "used", "result"];
    const FORM: Form =
        Form::Replace(&["at", "signature", "evidence", "\"then\"", "used", "result"]);
    const KEY: &'static str = "run, task, attempt";
    type Key<'a> = (i64, u32, u32);

    fn key(&self) -> (i64, u32, u32) {
        (self.run.0, self.task.0, self.attempt)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.task.0)
            .int(self.attempt)
            .int(self.at.millis())
            .text(&self.signature)
            .text(&self.evidence)
            .text(&self.then)
            .int(self.used)
            .maybe_text(self.result.as_deref());
    }
}

impl Row for EventRow {
    const TABLE: &'static str = "event";
    const COLUMNS: &'static [&'static str] =
        &["run", "seq", "at", "kind", "task", "attempt", "\"by\"", "detail"];
    const FORM: Form = Form::Insert;
    const KEY: &'static str = "run, seq";
    type Key<'a> = (i64, i64);

    fn key(&self) -> (i64, i64) {
        (self.run.0, self.seq)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.seq)
            .int(self.at.millis())
            .int(self.kind)
            .maybe_int(self.task.map(|task| task.0))
            .maybe_int(self.attempt)
            .maybe_text(self.by.as_deref())
            .maybe_text(self.detail.as_deref());
    }
}

impl Row for VersionRow {
    const TABLE: &'static str = "version";
    const COLUMNS: &'static [&'static str] = &["hash", "project", "flow", "texts", "at", "seen_at"];
    // A version that is loaded again, because its text was put back, is the newest again.
    const FORM: Form = Form::Replace(&["seen_at"]);
    const KEY: &'static str = "hash";
    type Key<'a> = &'a str;

    fn key(&self) -> &str {
        &self.hash
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .text(&self.hash)
            .text(&self.project)
            .text(&self.flow)
            .text(&self.texts)
            .int(self.at.millis())
            .int(self.at.millis());
    }
}

impl Row for BlobRow {
    const TABLE: &'static str = "blob";
    const COLUMNS: &'static [&'static str] = &["hash", "content"];
    const FORM: Form = Form::Keep;
    const KEY: &'static str = "hash";
    type Key<'a> = &'a str;

    fn key(&self) -> &str {
        &self.hash
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values.text(&self.hash).bytes(&self.content);
    }
}

impl Row for RequestRow {
    const TABLE: &'static str = "request";
    const COLUMNS: &'static [&'static str] = &["\"by\"", "\"key\"", "fingerprint", "run", "at"];
    const FORM: Form = Form::Keep;
    const KEY: &'static str = "\"by\", \"key\"";
    type Key<'a> = (&'a str, &'a str);

    fn key(&self) -> (&str, &str) {
        (&self.by, &self.key)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .text(&self.by)
            .text(&self.key)
            .text(&self.fingerprint)
            .int(self.run)
            .int(self.at.millis());
    }
}

impl Row for SecretRow {
    const TABLE: &'static str = "secret";
    const COLUMNS: &'static [&'static str] = &["scope", "name", "sealed", "key_id", "at", "\"by\""];
    const FORM: Form = Form::Replace(&["sealed", "key_id", "at", "\"by\""]);
    const KEY: &'static str = "scope, name";
    type Key<'a> = (&'a str, &'a str);

    fn key(&self) -> (&str, &str) {
        (&self.scope, &self.name)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .text(&self.scope)
            .text(&self.name)
            .bytes(&self.sealed)
            .text(&self.key_id)
            .int(self.at.millis())
            .text(&self.by);
    }
}

impl Row for FlowRow {
    const TABLE: &'static str = "flow";
    const COLUMNS: &'static [&'static str] = &["project", "flow", "version", "file", "gone", "at"];
    const FORM: Form = Form::Replace(&["version", "file", "gone", "at"]);
    const KEY: &'static str = "project, flow";
    type Key<'a> = (&'a str, &'a str);

    fn key(&self) -> (&str, &str) {
        (&self.project, &self.flow)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .text(&self.project)
            .text(&self.flow)
            .text(&self.version)
            .text(&self.file)
            .int(self.is_gone)
            .int(self.at.millis());
    }
}

impl Row for ScheduleRow {
    const TABLE: &'static str = "schedule";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "project",
        "flow",
        "name",
        "version",
        "spec",
        "state",
        "paused_by",
        "paused_at",
        "up_to",
        "next_due",
        "seq",
        "at",
        "own",
        "added_by",
    ];
    const FORM: Form = Form::Replace(&[
        "version",
        "spec",
        "state",
        "paused_by",
        "paused_at",
        "up_to",
        "next_due",
        "seq",
        "own",
        "added_by",
    ]);
    const KEY: &'static str = "id";
    type Key<'a> = i64;

    fn key(&self) -> i64 {
        self.id
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.id)
            .text(&self.project)
            .text(&self.flow)
            .text(&self.name)
            .text(&self.version)
            .text(&self.spec)
            .int(self.state)
            .maybe_text(self.paused_by.as_deref())
            .maybe_int(self.paused_at.map(Timestamp::millis))
            .int(self.up_to.millis())
            .maybe_int(self.next_due.map(Timestamp::millis))
            .int(self.seq)
            .int(self.at.millis())
            .maybe_text(self.own.as_ref().map(|own| own.text.as_str()))
            .maybe_text(self.own.as_ref().map(|own| own.by.as_str()));
    }
}

impl Row for ScheduleEventRow {
    const TABLE: &'static str = "schedule_event";
    const COLUMNS: &'static [&'static str] = &["schedule", "seq", "at", "kind", "\"by\"", "detail"];
    const FORM: Form = Form::Insert;
    const KEY: &'static str = "schedule, seq";
    type Key<'a> = (i64, i64);

    fn key(&self) -> (i64, i64) {
        (self.schedule, self.seq)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.schedule)
            .int(self.seq)
            .int(self.at.millis())
            .int(self.kind)
            .maybe_text(self.by.as_deref())
            .maybe_text(self.detail.as_deref());
    }
}

impl Row for FireRow {
    const TABLE: &'static str = "fire";
    const COLUMNS: &'static [&'static str] =
        &["schedule", "due_at", "since", "at", "outcome", "run", "cause", "reason"];
    const FORM: Form = Form::Insert;
    const KEY: &'static str = "schedule, due_at";
    type Key<'a> = (i64, Timestamp);

    fn key(&self) -> (i64, Timestamp) {
        (self.schedule, self.due_at)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.schedule)
            .int(self.due_at.millis())
            .int(self.since.millis())
            .int(self.at.millis())
            .int(self.outcome)
            .maybe_int(self.run)
            .maybe_text(self.cause.as_deref())
            .maybe_text(self.reason.as_deref());
    }
}

impl Row for NoticeRow {
    const TABLE: &'static str = "notice";
    const COLUMNS: &'static [&'static str] = &[
        "run", "seq", "reason", "receiver", "\"key\"", "project", "span_ms", "message", "state",
        "tries", "at", "due_at", "told_at", "ended_at", "error",
    ];
    const FORM: Form = Form::Replace(&["state", "tries", "due_at", "told_at", "ended_at", "error"]);
    const KEY: &'static str = "run, seq, reason, receiver";
    type Key<'a> = (i64, i64, u8, &'a str);

    fn key(&self) -> (i64, i64, u8, &str) {
        (self.run.0, self.seq, self.reason, &self.receiver)
    }

    fn bind(&self, values: &mut Values<'_, '_>) {
        values
            .int(self.run.0)
            .int(self.seq)
            .int(self.reason)
            .text(&self.receiver)
            .text(&self.key)
            .text(&self.project)
            .int(i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX))
            .text(&self.message)
            .int(self.state)
            .int(self.tries)
            .int(self.at.millis())
            .int(self.due_at.millis())
            .maybe_int(self.told_at.map(Timestamp::millis))
            .maybe_int(self.ended_at.map(Timestamp::millis))
            .maybe_text(self.error.as_deref());
    }
}
