//! Whether what is kept can be true: the file itself, rules across tables, and events against rows.

use std::fmt;

use sea_orm::{
    ConnectionTrait as _, DbBackend, EntityTrait as _, QueryOrder as _, QuerySelect as _, Statement,
};
use weir_core::hex;
use weir_core::ids::RunId;

use super::entity::{blob, run};
use super::rows::{AttemptRow, EventRow, SavedRun};
use super::{Error, Store};

/// Something that can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The run it is about; `None` if it is about the store as a whole.
    pub run: Option<RunId>,
    /// What was found: lower case, no full stop.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run {
            Some(run) => write!(f, "run {run}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Makes a run again from its events and tells every difference from its rows.
pub type Refold<'a> = dyn Fn(&SavedRun, &[AttemptRow], &[EventRow]) -> Vec<String> + Sync + 'a;

/// Each asks for the run and the words for what is wrong in it. States from 6 (runs) and 10 (tasks) on are final.
const RULES: &[&str] = &[
    "SELECT run, 'its events are not numbered from 1 without gaps: ' || count(*) || ' events up to number ' || max(seq)
       FROM event GROUP BY run HAVING min(seq) <> 1 OR max(seq) <> count(*)",
    "SELECT id, 'it says that its last event is ' || seq || ', the events say '
            || coalesce((SELECT max(seq) FROM event WHERE run = run.id), 0)
       FROM run WHERE seq <> coalesce((SELECT max(seq) FROM event WHERE run = run.id), 0)",
    "SELECT run, 'there are tasks, but no run' FROM task WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    "SELECT run, 'there are attempts, but no run' FROM attempt WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    "SELECT task.run, 'task ' || task.task || ' has ended, its attempt ' || task.attempt || ' has not'
       FROM task JOIN attempt ON attempt.run = task.run AND attempt.task = task.task AND number = task.attempt
      WHERE task.state >= 10 AND ended_at IS NULL",
    "SELECT run, 'task ' || task || ' has no row for its attempt ' || attempt
       FROM task WHERE attempt > 0 AND NOT EXISTS (
         SELECT 1 FROM attempt AS a WHERE a.run = task.run AND a.task = task.task AND a.number = task.attempt)",
    "SELECT run, 'task ' || task || ' has an attempt ' || number || ' that it does not know of'
       FROM attempt WHERE number > coalesce(
         (SELECT task.attempt FROM task WHERE task.run = attempt.run AND task.task = attempt.task), 0)",
    "SELECT run, 'task ' || task || ' has ' || count(*) || ' attempts that have not ended'
       FROM attempt WHERE ended_at IS NULL GROUP BY run, task HAVING count(*) > 1",
    "SELECT run.id, 'it has ended, its task ' || task.task || ' has not'
       FROM run JOIN task ON task.run = run.id WHERE run.ended_at IS NOT NULL AND task.state < 10",
    "SELECT run, 'event ' || seq || ' is about task ' || task || ', which has never moved'
       FROM event WHERE task IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM task AS t WHERE t.run = event.run AND t.task = event.task)",
    "SELECT run, 'event ' || seq || ' is about attempt ' || attempt || ' of task ' || task || ', which there is not'
       FROM event WHERE attempt > 0 AND NOT EXISTS (
         SELECT 1 FROM attempt AS a WHERE a.run = event.run AND a.task = event.task AND a.number = event.attempt)",
    "SELECT run, 'a diagnosis is about attempt ' || attempt || ' of task ' || task || ', which there is not'
       FROM diagnosis WHERE attempt > 0 AND NOT EXISTS (
         SELECT 1 FROM attempt AS a
          WHERE a.run = diagnosis.run AND a.task = diagnosis.task AND a.number = diagnosis.attempt)",
    "SELECT NULL, 'the events of schedule ' || id || ' are not numbered from 1 to ' || seq || ' without gaps'
       FROM schedule LEFT JOIN (SELECT schedule, count(*) AS events, max(seq) AS last FROM schedule_event GROUP BY schedule)
         ON schedule = id
      WHERE coalesce(events, 0) <> seq OR coalesce(last, 0) <> seq",
    "SELECT NULL, 'schedule ' || schedule.id || ' has settled its times up to ' || up_to || ', and one at ' || max(due_at) || ' as well'
       FROM schedule JOIN fire ON schedule = schedule.id
      WHERE NOT EXISTS (SELECT 1 FROM schedule_event AS e WHERE e.schedule = schedule.id AND e.kind = 6)
      GROUP BY schedule.id HAVING max(due_at) > up_to",
    "SELECT NULL, 'schedule ' || id || ' is next due at a time that it has settled'
       FROM schedule WHERE next_due <= up_to",
    "SELECT NULL, 'schedule ' || s.id || CASE WHEN paused_by IS NULL THEN ' is not paused, its' ELSE ' is paused, its' END || ' events say otherwise'
       FROM schedule AS s
      WHERE (paused_by IS NOT NULL) <> coalesce((SELECT kind = 3 FROM schedule_event AS e
               WHERE e.schedule = s.id AND kind IN (3, 4) ORDER BY e.seq DESC LIMIT 1), 0)",
    "SELECT run.id, 'it is for another time than the due time that began it'
       FROM fire JOIN run ON run.id = fire.run WHERE run.due_at <> fire.due_at",
    "SELECT NULL, 'version ' || version.hash || ' needs the text ' || part.value || ', which is not there'
       FROM version, json_tree(CASE WHEN json_valid(texts) THEN texts ELSE '[]' END) AS part
      WHERE part.type = 'text' AND length(part.value) = 64 AND part.value NOT IN (SELECT hash FROM blob)",
];

impl Store {
    /// Looks for what can't be: damage of the file, broken rules across tables, and, with `refold`, rows that the events
    /// do not lead to. Reads only; the store may be in use.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn verify(&self, refold: Option<&Refold<'_>>) -> Result<Vec<Finding>, Error> {
        let mut findings = self.verify_file().await?;
        self.verify_blobs(&mut findings).await?;
        let at = self.moment().await?;
        for rule in RULES {
            for row in at
                .query_all_raw(Statement::from_string(DbBackend::Sqlite, (*rule).to_owned()))
                .await?
            {
                let run: Option<i64> = row.try_get_by_index(0)?;
                findings.push(Finding { run: run.map(RunId), what: row.try_get_by_index(1)? });
            }
        }
        at.rollback().await?;
        if let Some(refold) = refold {
            self.verify_events(refold, &mut findings).await?;
        }
        Ok(findings)
    }

    async fn verify_file(&self) -> Result<Vec<Finding>, Error> {
        let reader = &self.inner.reader;
        let mut findings = Vec::new();
        let ask = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql.to_owned());
        for row in reader.query_all_raw(ask("PRAGMA integrity_check")).await? {
            let what: String = row.try_get_by_index(0)?;
            if what != "ok" {
                findings
                    .push(Finding { run: None, what: format!("the database is damaged: {what}") });
            }
        }
        for row in reader.query_all_raw(ask("PRAGMA foreign_key_check")).await? {
            let (table, other): (String, String) =
                (row.try_get_by_index(0)?, row.try_get_by_index(2)?);
            findings.push(Finding {
                run: None,
                what: format!("a row of {table} needs one of {other} that is not there"),
            });
        }
        Ok(findings)
    }

    /// A text must be what its name says.
    async fn verify_blobs(&self, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let hashes: Vec<String> = blob::Entity::find()
            .select_only()
            .column(blob::Column::Hash)
            .into_tuple()
            .all(&self.inner.reader)
            .await?;
        for hash in hashes {
            let content = self.blob(&hash).await?.unwrap_or_default();
            if hex::sha256(&content) != hash {
                findings.push(Finding { run: None, what: format!("the text {hash} was changed") });
            }
        }
        Ok(())
    }

    async fn verify_events(
        &self,
        refold: &Refold<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let runs: Vec<i64> = run::Entity::find()
            .select_only()
            .column(run::Column::Id)
            .order_by_asc(run::Column::Id)
            .into_tuple()
            .all(&self.inner.reader)
            .await?;
        for id in runs {
            let Some((saved, attempts, events)) = self.saved_run_with_events(RunId(id)).await?
            else {
                continue;
            };
            let differences = refold(&saved, &attempts, &events);
            findings
                .extend(differences.into_iter().map(|what| Finding { run: Some(RunId(id)), what }));
        }
        Ok(())
    }
}
