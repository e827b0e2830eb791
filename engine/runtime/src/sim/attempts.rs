//! Attempts whose end is asked for: who reports it, and what is known of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use weir_core::ids::AttemptId;
use weir_core::job_type::{
    AttemptContext, Clock, Handle, JobError, JobType, Launch, Phase, Plan, PlanContext, ProcessEnd,
    ProcessId, Processes, Runs,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::CancelReason;
use weir_core::schema::Schema;
use weir_core::time::Timestamp;

use super::lab::{BEGIN, Lab};
use crate::attempt::Attempts;
use crate::input::{Action, Input, Order};

/// Work that hangs until its end is asked for; it says in its log why, the last of it once it is to end.
#[derive(Default)]
struct Hangs {
    asked: Notify,
}

#[async_trait]
impl JobType for Hangs {
    fn name(&self) -> &'static str {
        "hangs"
    }

    fn about(&self) -> &'static str {
        "Hangs."
    }

    fn schema(&self) -> Schema {
        Schema::anything()
    }

    async fn plan(&self, _with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        Ok(Plan::default())
    }

    async fn start(&self, _with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        write_log(cx, "it begins\n");
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        self.asked.notified().await;
        write_log(cx, "lock of load stays\n");
        Ok(Outcome::Failed(Failure::new(ErrorClass::Exit, "ended by SIGTERM (15)")))
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        if cx.phase == Phase::Work {
            self.asked.notify_one();
        }
        Ok(())
    }
}

fn write_log(cx: &AttemptContext, text: &str) {
    std::fs::create_dir_all(&cx.folder).expect("a folder is made");
    let log = cx.folder.join("log");
    let before = std::fs::read_to_string(&log).unwrap_or_default();
    std::fs::write(log, before + text).expect("a log is written");
}

/// Nothing is asked of it.
struct Nothing;

#[async_trait]
impl Processes for Nothing {
    async fn launch(&self, _id: &ProcessId, _launch: Launch) -> Result<(), JobError> {
        unreachable!("no process is asked for")
    }

    async fn wait(&self, _id: &ProcessId) -> Result<ProcessEnd, JobError> {
        unreachable!("no process is asked for")
    }

    async fn cancel(&self, _id: &ProcessId, _grace: Duration) -> Result<(), JobError> {
        unreachable!("no process is asked for")
    }
}

#[async_trait]
impl Runs for Nothing {
    async fn begin(
        &self,
        _parent: AttemptId,
        _flow: &str,
        _params: Value,
        _confirm: Vec<String>,
    ) -> Result<i64, JobError> {
        unreachable!("no run is asked for")
    }

    async fn wait(&self, _run: i64) -> Result<(String, Outputs), JobError> {
        unreachable!("no run is asked for")
    }

    async fn cancel(&self, _run: i64) -> Result<(), JobError> {
        unreachable!("no run is asked for")
    }

    async fn child_of(&self, _parent: AttemptId) -> Option<i64> {
        None
    }
}

#[async_trait]
impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGIN)
    }

    async fn sleep(&self, _span: Duration) {
        std::future::pending::<()>().await;
    }
}

/// How an attempt was said to have ended: the outcome, and the evidence of its diagnosis.
type Told = (Outcome, Option<String>);

struct Stand {
    lab: Lab,
    attempts: Arc<Attempts>,
    told: Arc<Mutex<Vec<Told>>>,
    began: Arc<Notify>,
    hangs: Arc<Hangs>,
}

impl Stand {
    fn new(match_: &str) -> Self {
        let mut lab = Lab::new(1);
        let text = format!(
            "name: it\njobs:\n  a:\n    uses: work\n    timeout: 90s\n    recover:\n      - {{ match: {{ {match_} }}, \
             diagnosis: It hangs., then: retry }}\n"
        );
        let loaded = lab.load(&text, "");
        lab.begin(&loaded);
        let told = Arc::new(Mutex::new(Vec::new()));
        let began = Arc::new(Notify::new());
        let (hears, begins) = (Arc::clone(&told), Arc::clone(&began));
        let attempts = Arc::new(Attempts {
            home: lab.folder.path().to_owned(),
            processes: Arc::new(Nothing),
            runs: Arc::new(Nothing),
            clock: Arc::new(Nothing),
            report: Box::new(move |input| match input {
                Input::AttemptEnded { outcome, found, .. } => {
                    let evidence = found.map(|found| {
                        let evidence: Value =
                            serde_json::from_str(&found.row.evidence).expect("it is JSON");
                        evidence["text"].to_string()
                    });
                    hears.lock().unwrap_or_else(PoisonError::into_inner).push((outcome, evidence));
                }
                Input::AttemptStarted { .. } => begins.notify_one(),
                _ => panic!("an attempt begins and ends, no more"),
            }),
            flights: Mutex::default(),
        });
        Self { lab, attempts, told, began, hangs: Arc::default() }
    }

    /// The order of the one attempt. Each is good for one action, as each has its own in the engine.
    fn order(&mut self) -> Order {
        self.lab.restart(false);
        let acts = std::mem::take(&mut self.lab.world.acts);
        let launch = acts.into_iter().find_map(|action| match action {
            Action::Launch(order) => Some(order),
            Action::Cancel(..) | Action::Abandon(..) | Action::Publish(_) => None,
        });
        let mut order = *launch.expect("it is launched again");
        order.work.job_type = Arc::clone(&self.hangs) as Arc<dyn JobType>;
        order
    }

    /// The attempt begins, hangs, and its end is asked for.
    fn hangs_and_ends(&mut self, reason: CancelReason) -> Vec<Told> {
        let (launched, cancelled) = (self.order(), self.order());
        let attempts = Arc::clone(&self.attempts);
        let began = Arc::clone(&self.began);
        let rt = Arc::clone(&self.lab.rt);
        rt.block_on(async {
            let follower = tokio::spawn(Arc::clone(&attempts).launch(launched));
            began.notified().await;
            Arc::clone(&attempts).cancel(cancelled, reason).await;
            follower.await.expect("it does not panic");
        });
        self.told()
    }

    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn timed_out() -> Outcome {
    Outcome::Failed(Failure::new(ErrorClass::Timeout, "took longer than 1m30s, its timeout"))
}

#[test]
fn what_took_too_long_has_failed_by_that_class_and_its_whole_log_is_read() {
    for known in ["log: stays", "class: timeout, log: stays"] {
        let told = Stand::new(known).hangs_and_ends(CancelReason::Timeout);
        assert_eq!(told, [(timed_out(), Some(json!("lock of load stays").to_string()))], "{known}");
    }
    let told = Stand::new("class: timeout").hangs_and_ends(CancelReason::Timeout);
    assert!(matches!(&told[..], [(outcome, Some(_))] if *outcome == timed_out()), "{told:?}");
    let told = Stand::new("class: exit").hangs_and_ends(CancelReason::Timeout);
    assert_eq!(told, [(timed_out(), None)]);
}

#[test]
fn what_is_cancelled_is_not_diagnosed() {
    for reason in [CancelReason::Run, CancelReason::Kill, CancelReason::Late] {
        let told = Stand::new("log: stays").hangs_and_ends(reason);
        assert_eq!(told, [(Outcome::Cancelled, None)], "{reason:?}");
    }
}

#[test]
fn an_engine_that_only_hears_of_the_timeout_reports_the_same() {
    let mut stand = Stand::new("log: begins");
    let (launched, cancelled) = (stand.order(), stand.order());
    let attempts = Arc::clone(&stand.attempts);
    let began = Arc::clone(&stand.began);
    let rt = Arc::clone(&stand.lab.rt);
    rt.block_on(async {
        let follower = tokio::spawn(Arc::clone(&attempts).launch(launched));
        began.notified().await;
        follower.abort();
        let _aborted = follower.await;
        attempts.flights.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Arc::clone(&attempts).cancel(cancelled, CancelReason::Timeout).await;
    });
    assert_eq!(stand.told(), [(timed_out(), Some(json!("it begins").to_string()))]);
}

#[test]
fn what_is_to_end_before_it_began_never_begins() {
    let mut stand = Stand::new("class: timeout");
    let (launched, cancelled) = (stand.order(), stand.order());
    let folder = Attempts::folder(stand.lab.folder.path(), launched.id, Phase::Work);
    let attempts = Arc::clone(&stand.attempts);
    let rt = Arc::clone(&stand.lab.rt);
    rt.block_on(async {
        let cancel = Arc::clone(&attempts).cancel(cancelled, CancelReason::Timeout);
        let launch = Arc::clone(&attempts).launch(launched);
        tokio::join!(cancel, launch);
    });
    let told = stand.told();
    assert!(matches!(&told[..], [(outcome, Some(_))] if *outcome == timed_out()), "{told:?}");
    assert!(!folder.exists());
}

/// Work whose end nobody can confirm.
struct NeverEnds;

#[async_trait]
impl JobType for NeverEnds {
    fn name(&self) -> &'static str {
        "never-ends"
    }

    fn about(&self) -> &'static str {
        "Never ends."
    }

    fn schema(&self) -> Schema {
        Schema::anything()
    }

    async fn plan(&self, _with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        Ok(Plan::default())
    }

    async fn start(&self, _with: &Value, _cx: &AttemptContext) -> Result<Handle, JobError> {
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        _with: &Value,
        _cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        Err(Failure::new(ErrorClass::Connection, "nobody is there"))
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        _cx: &AttemptContext,
    ) -> Result<(), JobError> {
        Err(Failure::new(ErrorClass::Connection, "nobody is there"))
    }
}

/// A clock that goes on by what is slept.
#[derive(Default)]
struct Goes(Mutex<u64>);

#[async_trait]
impl Clock for Goes {
    fn now(&self) -> Timestamp {
        let gone = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_millis(BEGIN).plus(Duration::from_millis(gone))
    }

    async fn sleep(&self, span: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += span.as_millis() as u64;
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_can_not_be_seen_to_end_is_given_up_by_a_kill_and_reported_once() {
    let mut stand = Stand::new("class: exit");
    let mut orders = [stand.order(), stand.order(), stand.order()];
    for order in &mut orders {
        order.work.job_type = Arc::new(NeverEnds);
    }
    let [launched, cancelled, killed] = orders;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let attempts = Arc::new(Attempts {
        home: stand.lab.folder.path().to_owned(),
        processes: Arc::new(Nothing),
        runs: Arc::new(Nothing),
        clock: Arc::new(Goes::default()),
        report: Box::new(move |input| {
            let words = match input {
                Input::AttemptStarted { .. } => "it has begun".to_owned(),
                Input::AttemptUnreached { why, .. } => format!("out of reach: {why}"),
                Input::AttemptNotEnded { why, .. } => format!("does not end: {why}"),
                Input::AttemptEnded { outcome, .. } => format!("{outcome:?}"),
                _ => panic!("no more is told of an attempt"),
            };
            let mut heard = hears.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.last() != Some(&words) {
                heard.push(words);
            }
        }),
        flights: Mutex::default(),
    });
    let folder = Attempts::folder(stand.lab.folder.path(), launched.id, Phase::Work);
    let rt = Arc::clone(&stand.lab.rt);
    rt.block_on(async {
        let follower = tokio::spawn(Arc::clone(&attempts).launch(launched));
        while heard.lock().unwrap_or_else(PoisonError::into_inner).len() < 2 {
            tokio::task::yield_now().await;
        }
        let first = tokio::spawn(Arc::clone(&attempts).cancel(cancelled, CancelReason::Run));
        while heard.lock().unwrap_or_else(PoisonError::into_inner).len() < 3 {
            tokio::task::yield_now().await;
        }
        Arc::clone(&attempts).cancel(killed, CancelReason::Kill).await;
        first.await.expect("it does not go on for ever");
        follower.await.expect("it does not panic");
    });
    let given_up = Outcome::Failed(Failure::new(
        ErrorClass::Lost,
        "its end could not be confirmed, and it may still be at work: nobody is there",
    ));
    assert_eq!(
        *heard.lock().unwrap_or_else(PoisonError::into_inner),
        [
            "it has begun".to_owned(),
            "out of reach: nobody is there".to_owned(),
            "does not end: nobody is there".to_owned(),
            format!("{given_up:?}")
        ]
    );
    assert!(!folder.exists(), "nothing of this stands in its log");
}
