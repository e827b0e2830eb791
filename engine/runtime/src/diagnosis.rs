//! A failed attempt's log against the failures that are known for its job.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_core::diagnose::{Diagnosis, Matcher, Patterns};
use weir_core::graph::ThenRules;
use weir_core::outcome::Failure;
use weir_core::time::Timestamp;

use crate::input::{Found, Order};
use crate::store::rows::DiagnosisRow;

/// What is known of the failure of this attempt, if anything.
pub(crate) async fn of_attempt(
    order: &Order,
    folder: PathBuf,
    failure: &Failure,
    now: Timestamp,
) -> Option<Box<Found>> {
    let compiled = Arc::clone(&order.compiled);
    let job = order.job;
    let (first, end) = compiled.graph.job(job).remedies;
    if first == end {
        return None;
    }
    let id = order.id;
    let path = order.path.clone();
    let failure = failure.clone();
    let work = move || {
        let patterns = Arc::new(Patterns::new(compiled.known_failures(job)).ok()?);
        let diagnosis = read_log(&folder.join("log"), patterns, &failure);
        let primary = diagnosis.primary.as_ref()?;
        let remedy = u32::try_from(primary.index)
            .ok()
            .map(|index| first + index)
            .filter(|remedy| *remedy < end)?;
        let known = &compiled.remedies[remedy as usize];
        let evidence = evidence(&diagnosis, &known.diagnosis, &known.advice, &path);
        let row = DiagnosisRow {
            run: id.run,
            task: id.task,
            attempt: id.number,
            at: now,
            signature: known.id.clone(),
            evidence: evidence.to_string(),
            then: then_words(compiled.graph.remedies[remedy as usize].then).to_owned(),
            used: false,
            result: None,
        };
        let captures = serde_json::to_value(&primary.captures).unwrap_or(Value::Null);
        Some(Box::new(Found {
            remedy,
            // Unless the flow's author says otherwise of what is so already.
            is_success: primary.rank == weir_core::catalogue::Rank::Ok
                && compiled.graph.remedies[remedy as usize].then == ThenRules::Continue,
            captures,
            row,
        }))
    };
    tokio::task::spawn_blocking(work).await.ok().flatten()
}

fn then_words(then: ThenRules) -> &'static str {
    match then {
        ThenRules::Retry => "retry",
        ThenRules::RetryFrom(_) => "retry-from",
        ThenRules::Continue => "continue",
        ThenRules::Ask => "ask",
        ThenRules::Fail => "fail",
    }
}

/// Runs the patterns over a log file in one pass. A log that can't be read has no lines.
pub fn read_log(log: &Path, patterns: Arc<Patterns>, failure: &Failure) -> Diagnosis {
    let mut matcher = Matcher::new(patterns);
    if let Ok(mut file) = File::open(log) {
        let mut piece = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = file.read(&mut piece) {
            matcher.feed(&piece[..count]);
        }
    }
    // What the job type says of the failure is evidence, too: it stands behind the log. But that there was a code says
    // no more than the code does, and would be a last word after one that says that all is well.
    let is_code_alone =
        failure.exit_code.is_some_and(|code| failure.message == format!("ended with code {code}"));
    if !is_code_alone {
        matcher.feed(b"\n");
        matcher.feed(failure.message.as_bytes());
        matcher.feed(b"\n");
    }
    matcher.finish(failure.exit_code, Some(failure.class))
}

fn evidence(diagnosis: &Diagnosis, words: &str, advice: &[String], path: &str) -> Value {
    let primary = diagnosis.primary.as_ref();
    json!({
        "diagnosis": words,
        "advice": advice,
        "path": path,
        "line": primary.map(|found| found.line),
        "offset": primary.map(|found| found.offset),
        "text": primary.map(|found| found.text.clone()),
        "captures": primary.map(|found| &found.captures),
        "evidence_from": primary.map(|found| found.evidence_from),
        "evidence": primary.map(|found| &found.evidence),
        "others": diagnosis.others.iter().map(|found| json!({
            "id": found.id, "rank": found.rank.name(), "line": found.line, "text": found.text,
        })).collect::<Vec<_>>(),
        "cut_at_marker": diagnosis.cut_at_marker,
    })
}
