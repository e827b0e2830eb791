//! A home, a turn and a world in which nothing happens by itself: time, commits and ends come when a test says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::JobType;
use weir_core::run::{From, TaskState};
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use super::mirror::Mirror;
use super::types;
use crate::begin::{Begin, prepare};
use crate::engine::Ground;
use crate::home::Home;
use crate::input::{Action, CommitFailure, Input, Refusal, Wish};
use crate::library::{FileText, Library, Loaded, Source};
use crate::secrets::Secrets;
use crate::store::rows::Batch;
use crate::store::{Advice, Fault, Faults, Point, Store};
use crate::turn::{Results, Turn, World};

/// What the next commit meets: before it, and after it.
type Next = Arc<Mutex<(Fault, Fault)>>;

pub(super) struct Lab {
    pub(super) rt: Arc<Runtime>,
    pub(super) folder: TempDir,
    pub(super) library: Arc<Library>,
    pub(super) ground: Ground,
    pub(super) turn: Turn,
    pub(super) world: Made,
    pub(super) mirror: Mirror,
    /// Batches that were handed to the store at least once, by number: one that comes again is not new.
    pub(super) last_submitted: u64,
    slots: u32,
    next: Next,
}

/// The world as the turn sees it.
pub(super) struct Made {
    pub(super) now: i64,
    pub(super) store: Store,
    pub(super) rt: Arc<Runtime>,
    pub(super) library: Arc<Library>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) submitted: Option<(u64, Batch)>,
    pub(super) acts: Vec<Action>,
}

impl World for Made {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn submit(&mut self, number: u64, batch: Batch) {
        assert!(self.submitted.is_none(), "a batch is submitted while another is on its way");
        self.submitted = Some((number, batch));
    }

    fn act(&mut self, action: Action) {
        self.acts.push(action);
    }

    fn results(&mut self, run: RunId) -> Result<Results, String> {
        Ok(self.rt.block_on(crate::adopt::results(&self.store, run)).expect("the store is read"))
    }

    fn child_of(&mut self, parent: AttemptId) -> Result<Option<RunId>, String> {
        let found = self.rt.block_on(self.store.child_of(parent)).expect("the store is read");
        Ok(found.map(|row| RunId(row.id)))
    }

    fn secret(&mut self, _project: &str, name: &str) -> Option<Secret> {
        self.secrets.get(name).map(|value| Secret::new(name, value.clone()))
    }

    fn job_type(&self, name: &str) -> Option<Arc<dyn JobType>> {
        self.library.job_types.get(name)?.work().cloned()
    }

    fn is_watched(&self) -> bool {
        true
    }

    fn seal(&self, values: &weir_core::params::Values) -> String {
        assert!(values.secrets.is_empty(), "no flow here has secret parameters");
        Value::Object(values.plain.clone().into_iter().collect()).to_string()
    }

    fn fires_after(&mut self, schedule: i64, after: Timestamp) -> Result<Vec<Timestamp>, String> {
        Ok(self.rt.block_on(self.store.fires_after(schedule, after)).expect("the store is read"))
    }

    fn failed_before(&mut self, project: &str, flow: &str, run: RunId) -> Result<bool, String> {
        let found = self.store.failed_before(project, flow, run);
        Ok(self.rt.block_on(found).expect("the store is read"))
    }

    fn library(&self) -> Arc<Library> {
        Arc::clone(&self.library)
    }

    fn home(&self) -> Home {
        self.store.home().clone()
    }
}

/// The beginning of time here: a time of our days.
pub(super) const BEGIN: i64 = 1_795_000_000_000;

impl Lab {
    pub(super) fn new(slots: u32) -> Self {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let rt = Arc::new(rt.expect("a runtime is made"));
        let memory = PathBuf::from("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
                .expect("a folder is made");
        let library = Arc::new(Library::new(types::all(), Vec::new()).expect("nothing is wrong"));
        let next: Next = Arc::new(Mutex::new((Fault::None, Fault::None)));
        let ground = open(&rt, &folder, &library, &next);
        let world = Made {
            now: BEGIN,
            store: ground.store.clone(),
            rt: Arc::clone(&rt),
            library: Arc::clone(&library),
            secrets: BTreeMap::new(),
            submitted: None,
            acts: Vec::new(),
        };
        Self {
            rt,
            folder,
            library,
            ground,
            turn: Turn::new(slots, 0),
            world,
            mirror: Mirror::default(),
            last_submitted: 0,
            slots,
            next,
        }
    }

    /// A flow's text made ready. `project` is the text of its project's file, or empty.
    pub(super) fn load(&self, flow: &str, project: &str) -> Loaded {
        let file =
            |name: &str, text: &str| FileText { name: name.to_owned(), text: text.to_owned() };
        let source = Source {
            folder: PathBuf::from("/"),
            project: (!project.is_empty()).then(|| file("project.yaml", project)),
            flow: file("it.flow.yaml", flow),
        };
        self.library.load(&source).unwrap_or_else(|mistakes| {
            let all: Vec<String> = mistakes
                .iter()
                .map(|mistake| format!("{}: {}", mistake.place.line, mistake.message))
                .collect();
            panic!("{}\n{flow}", all.join("\n"))
        })
    }

    /// Takes an input and ends the turn; then looks whether memory and what was submitted agree.
    pub(super) fn take(&mut self, input: Input) {
        self.turn.take(input, &mut self.world);
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        self.turn.finish(&mut self.world);
        self.look();
    }

    /// What was submitted just now is all that memory has changed: rows must lead to the same run.
    pub(super) fn look(&mut self) {
        assert_eq!(self.turn.broken, None, "the engine goes on");
        let Some((number, batch)) = &self.world.submitted else { return };
        if *number > self.last_submitted {
            self.last_submitted = *number;
            self.mirror.submitted(batch);
            self.mirror.compare_memory(&self.turn);
        }
    }

    /// Commits what was submitted, through the real store. `None` if nothing was, or if the writer died.
    pub(super) fn commit(
        &mut self,
        before: Fault,
        after: Fault,
    ) -> Option<(u64, Result<(), CommitFailure>)> {
        let (number, batch) = self.world.submitted.take()?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = (before, after);
        let (tell, told) = mpsc::channel();
        self.ground.store.resume();
        self.ground.store.submit(batch.clone(), Box::new(move |result| drop(tell.send(result))));
        let result = told.recv();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = (Fault::None, Fault::None);
        match result {
            Ok(Ok(())) => {
                self.mirror.committed(&batch);
                Some((number, Ok(())))
            }
            Ok(Err(error)) => Some((
                number,
                Err(match error.trouble.advice() {
                    Advice::Retry => CommitFailure::Later(error.to_string(), error.batch),
                    Advice::Stop => CommitFailure::Never(error.to_string()),
                }),
            )),
            Err(_) => {
                if after == Fault::Die {
                    self.mirror.committed(&batch);
                }
                None
            }
        }
    }

    /// Commits whatever there is to commit until nothing is.
    pub(super) fn rest(&mut self) {
        while let Some((number, result)) = self.commit(Fault::None, Fault::None) {
            self.take(Input::Committed { number, result });
        }
    }

    /// The engine is gone, and another takes up what is kept.
    pub(super) fn restart(&mut self, reopens: bool) {
        self.world.submitted = None;
        self.world.acts.clear();
        if reopens {
            self.ground = open(&self.rt, &self.folder, &self.library, &self.next);
            self.world.store = self.ground.store.clone();
        }
        let store = self.ground.store.clone();
        let last = self.rt.block_on(store.last_run_id()).expect("the store is read");
        let saved = self.rt.block_on(store.unfinished()).expect("the store is read");
        self.mirror.compare_store(&saved);
        self.mirror.lost();
        self.turn = Turn::new(self.slots, last.0);
        let kept = self.rt.block_on(async {
            let (flows, schedules) = (store.loaded_flows().await?, store.schedules().await?);
            Ok::<_, crate::store::Error>((flows, schedules, store.fires_ahead().await?))
        });
        let (flows, schedules, ahead) = kept.expect("the store is read");
        self.turn.timetable.adopt(flows, schedules, ahead);
        self.last_submitted = 0;
        for saved in saved {
            let live =
                self.rt.block_on(crate::adopt::live(&self.ground, saved)).expect("it is taken up");
            self.turn.adopt(live);
        }
        self.turn.resume(&mut self.world);
        self.look();
    }

    /// Everything that `weir verify` says.
    pub(super) fn verify(&self) {
        let findings = self
            .rt
            .block_on(self.ground.store.verify(Some(&crate::proof::differences)))
            .expect("the store is read");
        let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(texts, Vec::<String>::new());
    }

    /// Begins a run and ends the turn, without a commit.
    pub(super) fn ask(&mut self, begin: Begin) -> Arc<Mutex<Option<Result<RunId, Refusal>>>> {
        let new = self.rt.block_on(prepare(&self.ground, begin)).expect("it fits");
        let said = Arc::new(Mutex::new(None));
        let told = Arc::clone(&said);
        let reply = Box::new(move |result| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        self.take(Input::Begin(Box::new(new), reply));
        said
    }

    /// Begins a run, durably.
    pub(super) fn begin(&mut self, loaded: &Loaded) -> RunId {
        self.begin_as(Begin::flow(loaded.clone(), "test"))
    }

    pub(super) fn begin_as(&mut self, begin: Begin) -> RunId {
        let said = self.ask(begin);
        self.rest();
        let id = said.lock().unwrap_or_else(PoisonError::into_inner).take();
        id.expect("it was answered").expect("it begins")
    }

    pub(super) fn rerun(&mut self, origin: RunId, from: From) -> RunId {
        self.begin_as(Begin::rerun(origin, from, false, "test"))
    }

    /// Does what a person asks, durably.
    pub(super) fn wish(&mut self, run: RunId, wish: Wish) -> Result<(), Refusal> {
        let said = Arc::new(Mutex::new(None));
        let told = Arc::clone(&said);
        let reply = Box::new(move |result| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        self.take(Input::Wish { run, wish, by: "test".to_owned(), reply });
        self.rest();
        let result = said.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.expect("it was answered")
    }

    /// Lets time go by, ringing what is due on the way.
    pub(super) fn pass(&mut self, millis: i64) {
        let until = self.world.now + millis;
        while let Some(at) = self.turn.next_wake().filter(|at| at.millis() <= until) {
            self.world.now = self.world.now.max(at.millis());
            self.finish();
            self.rest();
        }
        self.world.now = until;
    }

    /// The states of the tasks of a run that moves, `path=state` by path.
    pub(super) fn states(&self, run: RunId) -> String {
        let Some(live) = self.turn.runs.get(&run) else { return "gone".to_owned() };
        let mut all: Vec<String> = (0..live.run.tasks().len() as u32)
            .map(TaskIx)
            .map(|task| format!("{}={}", live.path(task), live.run.tasks()[task.at()].state.name()))
            .collect();
        all.sort();
        all.join(" ")
    }

    pub(super) fn state_of(&self, run: RunId, path: &str) -> TaskState {
        let live = &self.turn.runs[&run];
        let task = live.find(path).expect("there is such a task");
        live.run.tasks()[task.at()].state
    }

    /// A run that has ended, or moves: its state's name, from what was committed.
    pub(super) fn run_state(&self, run: RunId) -> &'static str {
        self.mirror.state(run).name()
    }

    /// What was left behind by a task, as the store has it.
    pub(super) fn outputs(&self, run: RunId, task: u32) -> Option<Value> {
        self.mirror.outputs(run, task)
    }
}

fn open(rt: &Runtime, folder: &TempDir, library: &Arc<Library>, next: &Next) -> Ground {
    let home = Home::open(folder.path()).expect("the home opens");
    let next = Arc::clone(next);
    let faults = Faults::new(move |point| {
        let next = next.lock().unwrap_or_else(PoisonError::into_inner);
        match point {
            Point::BeforeCommit => next.0,
            Point::AfterCommit => next.1,
        }
    });
    let store = rt.block_on(Store::open_with(&home, faults)).expect("the store opens");
    let secrets = rt.block_on(Secrets::open(&home, store.clone())).expect("the secrets open");
    Ground { store, secrets, library: Arc::clone(library) }
}
