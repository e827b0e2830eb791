//! Folders of flows that a server watches: what is in them is in effect, and a broken new text changes nothing.
//!
//! Files are looked at by their times and sizes, over and over, with a pause that grows with what a look costs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, oneshot, watch};
use weir_core::mistake::{Mistake, Severity};
use weir_core::schedule::{DaysOff, Schedule, Trigger};
use weir_core::time::Timestamp;

use crate::api::render_mistakes;
use crate::begin::same;
use crate::engine::{Handle, wall_clock};
use crate::fire::Ask;
use crate::input::Input;
use crate::library::{Loaded, Source};
use crate::schedules::{Readies, own_wanted};
use crate::store::rows::FlowRow;
use crate::supervise::sys;
use crate::timetable::{Load, Wanted};

/// How the files of flows end.
const ENDING: &str = ".flow.yaml";
/// The shortest pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// A look may cost this part of the time.
const SHARE: u32 = 500;
/// A look that costs less is waited for, and for so long at most.
const CHEAP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);
/// Folders are not followed deeper.
const DEEPEST: usize = 16;

/// Watches folders until it is dropped.
#[derive(Debug)]
pub struct Folders {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

/// What is known of a file.
#[derive(Clone, Debug, Default)]
pub struct FileState {
    /// The project and the flow that it is in effect as.
    pub flow: Option<(String, String)>,
    /// What people read in lists.
    pub title: Option<String>,
    /// Words to find it by.
    pub labels: BTreeMap<String, String>,
    /// What is wrong with its newest text, for people.
    pub error: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
}

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<PathBuf, FileState>>,
    look: Notify,
    /// How many looks were asked for.
    asked: AtomicU64,
    /// How many of those are over, and what the last one cost.
    over: watch::Sender<(u64, Duration)>,
}

/// When a file was changed last, and its size. `None`: it is not there.
type Stamp = Option<(SystemTime, u64)>;

struct Watch {
    handle: Handle,
    folders: Vec<PathBuf>,
    shared: Arc<Shared>,
    seen: BTreeMap<PathBuf, Vec<(PathBuf, Stamp)>>,
    triggers: BTreeMap<(String, String), Vec<FileTrigger>>,
    /// Files of triggers, and whether they were as they are at the look before.
    found: BTreeMap<(i64, PathBuf), (Stamp, bool)>,
}

/// A schedule that waits for files.
struct FileTrigger {
    schedule: String,
    pattern: PathBuf,
}

impl Folders {
    /// Puts all flows of the folders in effect, and watches them from then on.
    pub async fn watch(handle: Handle, folders: Vec<PathBuf>) -> Self {
        let shared = Arc::new(Shared::default());
        let mut watch = Watch {
            handle,
            folders,
            shared: Arc::clone(&shared),
            seen: BTreeMap::new(),
            triggers: BTreeMap::new(),
            found: BTreeMap::new(),
        };
        watch.look().await;
        watch.forget_others().await;
        let task = tokio::spawn(async move {
            let mut cost = Duration::ZERO;
            loop {
                let pause = PAUSE.max(cost * SHARE);
                let look = Arc::clone(&watch.shared);
                // Whoever asks for a look at once does not wait for the pause.
                let _ = tokio::time::timeout(pause, look.look.notified()).await;
                let asked = watch.shared.asked.load(Ordering::SeqCst);
                let begun = Instant::now();
                watch.look().await;
                watch.look_for_files().await;
                cost = begun.elapsed();
                watch.shared.over.send_replace((asked, cost));
            }
        });
        Self { shared, task }
    }

    /// Looks now.
    pub fn look(&self) {
        self.shared.look.notify_one();
    }

    /// Looks now; what is there is known when this returns, if a look costs little. Whoever waits for a page does not
    /// wait for a look at very many files: they come with the next one.
    pub fn fresh(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut over = shared.over.subscribe();
            let own = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
            shared.look.notify_one();
            if over.borrow().1 < CHEAP {
                let done = over.wait_for(|(asked, _)| *asked >= own);
                let _ = tokio::time::timeout(PATIENCE, done).await;
            }
        }
    }

    /// What is known of each file.
    pub fn files(&self) -> BTreeMap<PathBuf, FileState> {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    async fn look(&mut self) {
        let mut files = BTreeSet::new();
        let mut is_whole = true;
        for folder in &self.folders {
            is_whole &= flows_in(folder, 0, &mut files);
        }
        let mut has_read = false;
        for file in &files {
            let is_same = self
                .seen
                .get(file)
                .is_some_and(|stamps| stamps.iter().all(|(path, at)| stamp(path) == *at));
            if !is_same {
                self.load(file).await;
                has_read = true;
            }
        }
        // What can't be seen just now may still be there.
        if is_whole {
            let gone: Vec<PathBuf> =
                self.seen.keys().filter(|file| !files.contains(*file)).cloned().collect();
            for file in gone {
                self.unload(&file).await;
            }
        }
        if has_read {
            sys::give_back_memory();
        }
    }

    async fn load(&mut self, file: &Path) {
        let handle = self.handle.clone();
        // Nobody adds a schedule to the version before meanwhile.
        let _turn = handle.shared().loading.lock().await;
        let mut stamps = vec![(file.to_owned(), stamp(file))];
        let source = match Source::read(file) {
            Ok(source) => source,
            Err(error) => {
                self.seen.insert(file.to_owned(), stamps);
                return self.fail(file, error.to_string()).await;
            }
        };
        stamps
            .push((source.folder.join("project.yaml"), stamp(&source.folder.join("project.yaml"))));
        let loaded = self.handle.library().load(&source);
        let mut problem = None;
        let wanted = match &loaded {
            Err(mistakes) => {
                let errors: Vec<Mistake> = mistakes
                    .iter()
                    .filter(|mistake| mistake.severity == Severity::Error)
                    .cloned()
                    .collect();
                problem = Some(render_mistakes(&errors, &source));
                Vec::new()
            }
            Ok(loaded) => {
                for calendar in calendars(loaded, file) {
                    stamps.push((calendar.clone(), stamp(&calendar)));
                }
                match self.wanted(loaded, file).await {
                    Ok(wanted) => wanted,
                    Err(mistakes) => {
                        problem = Some(render_mistakes(&mistakes, &source));
                        Vec::new()
                    }
                }
            }
        };
        self.seen.insert(file.to_owned(), stamps);
        match (loaded, problem) {
            (Ok(loaded), None) => self.put(file, loaded, wanted).await,
            (_, problem) => self.fail(file, problem.unwrap_or_default()).await,
        }
    }

    /// The schedules of a flow with the runs that they begin: those of its text, and those that people have added.
    async fn wanted(&self, loaded: &Loaded, file: &Path) -> Result<Vec<Wanted>, Vec<Mistake>> {
        let ground = self.handle.shared();
        let own = self.handle.own_schedules(&loaded.version.project, &loaded.version.flow).await;
        let mut mistakes = Vec::new();
        let mut wanted = Vec::new();
        let mut readies = Readies::new(ground, loaded);
        for schedule in &loaded.compiled.flow.schedules {
            if let Some((id, own)) = own.iter().find(|(id, _)| *id == schedule.id) {
                mistakes.push(Mistake {
                    file: file.display().to_string(),
                    place: schedule.place,
                    severity: Severity::Error,
                    code: "taken-name",
                    message: format!("{} has added a schedule `{id}` to this flow by hand", own.by),
                    help: Some(
                        "give this one another `id`, or remove the other on the page Schedules"
                            .to_owned(),
                    ),
                });
                continue;
            }
            match with_calendars(schedule, file) {
                Ok(schedule) => wanted.push(readies.wanted(schedule, None)),
                Err(more) => mistakes.extend(more),
            }
        }
        let own = own.into_iter().map(|(_, own)| own);
        wanted.extend(own.filter_map(|own| own_wanted(&mut readies, file, own)));
        if mistakes.is_empty() { Ok(wanted) } else { Err(mistakes) }
    }

    async fn put(&mut self, file: &Path, loaded: Loaded, wanted: Vec<Wanted>) {
        let of_flow = (loaded.version.project.clone(), loaded.version.flow.clone());
        let taken = {
            let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
            files
                .iter()
                .find(|(other, state)| *other != file && state.flow.as_ref() == Some(&of_flow))
                .map(|(other, _)| other.clone())
        };
        if let Some(other) = taken {
            let (project, flow) = of_flow;
            return self
                .fail(
                    file,
                    format!(
                        "{project}/{flow} is loaded from {} already\nhelp: give one of the two flows, or its project, another name",
                        other.display()
                    ),
                )
                .await;
        }
        let before = self.state(file).flow;
        if let Some((project, flow)) = before.filter(|before| *before != of_flow) {
            self.ask(Ask::Unload { project, flow }).await;
        }
        self.note_triggers(&of_flow, &wanted, file);
        let (project, flow) = of_flow.clone();
        let row = FlowRow {
            project: project.clone(),
            flow: flow.clone(),
            version: loaded.version.hash.clone(),
            file: file.display().to_string(),
            is_gone: false,
            at: wall_clock(),
        };
        let schedules = wanted.len();
        let known = FileState {
            title: loaded.compiled.flow.title.clone(),
            labels: loaded.compiled.flow.labels.clone(),
            flow: Some(of_flow),
            error: None,
            since: wall_clock(),
        };
        let over: Vec<String> = wanted
            .iter()
            .filter(|wanted| {
                wanted.schedule.trigger.is_time()
                    && wanted.schedule.next_after(wall_clock()).is_none()
            })
            .map(|wanted| wanted.schedule.id.clone())
            .collect();
        self.ask(Ask::Load {
            load: Box::new(Load { flow: row, wanted }),
            loaded: Box::new(loaded),
        })
        .await;
        if !over.is_empty() {
            tracing::warn!("{}: no time is left for: {}", file.display(), over.join(", "));
        }
        tracing::info!(
            "{project}/{flow} is in effect with {schedules} schedules: {}",
            file.display()
        );
        self.note(file, known);
    }

    fn note_triggers(&mut self, of_flow: &(String, String), wanted: &[Wanted], file: &Path) {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let triggers = wanted
            .iter()
            .filter_map(|wanted| match &wanted.schedule.trigger {
                Trigger::File(pattern) => Some(FileTrigger {
                    schedule: wanted.schedule.id.clone(),
                    pattern: folder.join(pattern),
                }),
                Trigger::Cron(_)
                | Trigger::Every(_)
                | Trigger::At(_)
                | Trigger::AfterFlow { .. } => None,
            })
            .collect();
        self.triggers.insert(of_flow.clone(), triggers);
    }

    /// A text can't be used: what was in effect stays so, also if an earlier engine put it there.
    async fn fail(&mut self, file: &Path, error: String) {
        tracing::error!("{} is not taken, what was in effect stays so:\n{error}", file.display());
        let mut state = self.state(file);
        if state.flow.is_none()
            && let Some(row) = self.kept(file).await
            && let Some((loaded, wanted)) = self.earlier(&row, file).await
        {
            let of_flow = (row.project.clone(), row.flow.clone());
            self.note_triggers(&of_flow, &wanted, file);
            state.title.clone_from(&loaded.compiled.flow.title);
            state.labels.clone_from(&loaded.compiled.flow.labels);
            let load = Box::new(Load { flow: row, wanted });
            self.ask(Ask::Load { load, loaded: Box::new(loaded) }).await;
            state.flow = Some(of_flow);
        }
        self.note(file, FileState { error: Some(error), since: wall_clock(), ..state });
    }

    /// The flow that an earlier engine loaded from a file.
    async fn kept(&self, file: &Path) -> Option<FlowRow> {
        let name = file.display().to_string();
        let rows = self.handle.loaded_flows().await;
        rows.into_iter().find(|row| row.file == name)
    }

    async fn earlier(&self, row: &FlowRow, file: &Path) -> Option<(Loaded, Vec<Wanted>)> {
        let ground = self.handle.shared();
        let compiled = ground.library.version(&ground.store, &row.version).await.ok()?;
        let loaded = same(ground, &row.version, &compiled).await.ok()?;
        let wanted = self.wanted(&loaded, file).await.ok()?;
        Some((loaded, wanted))
    }

    async fn unload(&mut self, file: &Path) {
        self.seen.remove(file);
        let state = {
            let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.remove(file)
        };
        if let Some((project, flow)) = state.and_then(|state| state.flow) {
            tracing::info!("{project}/{flow} is gone: {}", file.display());
            self.triggers.remove(&(project.clone(), flow.clone()));
            self.ask(Ask::Unload { project, flow }).await;
            // Another file may have waited for the name.
            self.seen.retain(|other, _| {
                let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
                files.get(other).is_some_and(|state| state.error.is_none())
            });
        }
    }

    /// Flows that an earlier engine loaded and that are in no folder any more.
    async fn forget_others(&mut self) {
        for row in self.handle.loaded_flows().await {
            let of_flow = (row.project.clone(), row.flow.clone());
            let is_here = {
                let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
                files.values().any(|state| state.flow.as_ref() == Some(&of_flow))
            };
            if !is_here {
                self.ask(Ask::Unload { project: row.project, flow: row.flow }).await;
            }
        }
    }

    /// Files that schedules wait for. One counts when it is the same at two looks: then it is written.
    async fn look_for_files(&mut self) {
        let mut present = BTreeSet::new();
        let mut come = Vec::new();
        for ((project, flow), triggers) in &self.triggers {
            for trigger in triggers {
                let name = (project.clone(), flow.clone(), trigger.schedule.clone());
                let Some(id) = self.handle.schedule_id(name).await else { continue };
                for path in matching(&trigger.pattern) {
                    let now = stamp(&path);
                    let key = (id, path);
                    let (before, is_told) = self.found.get(&key).copied().unwrap_or((None, false));
                    let is_written = now.is_some() && before == now;
                    if is_written && !is_told {
                        come.push((id, key.1.clone(), now));
                    }
                    self.found.insert(key.clone(), (now, is_written));
                    present.insert(key);
                }
            }
        }
        self.found.retain(|key, _| present.contains(key));
        for (id, path, stamp) in come {
            let Some((at, size)) = stamp else { continue };
            let millis = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            let cause = format!("file {} {millis} {size}", path.display());
            match self.handle.store().has_fired(id, &cause).await {
                Ok(true) => {}
                Ok(false) => {
                    let path = path.display().to_string();
                    self.ask(Ask::File { id, path, cause }).await;
                }
                Err(error) => tracing::error!("{} has come, and waits: {error}", path.display()),
            }
        }
    }

    async fn ask(&self, ask: Ask) {
        let (reply, answer) = oneshot::channel();
        let input = Input::Schedule(ask, Box::new(move |result| drop(reply.send(result))));
        if self.handle.send(input) {
            let _ = answer.await;
        }
    }

    fn state(&self, file: &Path) -> FileState {
        let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(file).cloned().unwrap_or_default()
    }

    fn note(&self, file: &Path, state: FileState) {
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(file.to_owned(), state);
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The flow files of a folder and of those in it. Says whether all could be seen.
fn flows_in(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut is_whole = true;
    for entry in entries {
        let Ok(entry) = entry else {
            is_whole = false;
            continue;
        };
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // A link to a folder could lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !name.starts_with('.') && depth < DEEPEST {
                is_whole &= flows_in(&path, depth + 1, files);
            }
        } else if name.ends_with(ENDING) && !name.starts_with('.') {
            files.insert(path);
        }
    }
    is_whole
}

/// The files that match a path with `*` and `?` in its last part, by name.
fn matching(pattern: &Path) -> BTreeSet<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| fits(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a name fits a pattern with `*` and `?`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[of] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((begin, from)) => {
                    (at, of) = (begin + 1, from + 1);
                    star = Some((begin, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn calendars(loaded: &Loaded, file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let schedules = loaded.compiled.flow.schedules.iter();
    schedules
        .flat_map(|schedule| &schedule.calendars)
        .map(|name| folder.join(&name.source))
        .collect()
}

/// A schedule with the days off of its calendar files.
///
/// # Errors
/// A file can't be read, or is no calendar; or no time is left.
pub fn with_calendars(
    schedule: &Arc<Schedule>,
    file: &Path,
) -> Result<Arc<Schedule>, Vec<Mistake>> {
    if schedule.calendars.is_empty() {
        return Ok(Arc::clone(schedule));
    }
    let mut whole = Schedule::clone(schedule);
    let mut mistakes = Vec::new();
    let mistake = |place, code, message, help: &str| Mistake {
        file: file.display().to_string(),
        place,
        severity: Severity::Error,
        code,
        message,
        help: Some(help.to_owned()),
    };
    for name in &schedule.calendars {
        let path = file.parent().unwrap_or(Path::new("/")).join(&name.source);
        let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let days =
            read.and_then(|text| DaysOff::from_icalendar(&text).map_err(|bad| bad.to_string()));
        match days {
            Ok(days) => whole.days_off.extend(days),
            Err(why) => mistakes.push(mistake(
                name.place,
                "bad-calendar",
                format!("{} can't be used as a calendar: {why}", path.display()),
                "put an iCalendar file with whole days beside the flow",
            )),
        }
    }
    if mistakes.is_empty()
        && whole.trigger.is_time()
        && whole.next_after(Timestamp::from_millis(-1)).is_none()
    {
        mistakes.push(mistake(
            whole.place,
            "never-runs",
            format!("the schedule `{}` never runs", whole.id),
            "all its times lie on the days off of its calendars",
        ));
    }
    if mistakes.is_empty() { Ok(Arc::new(whole)) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fitting) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.part", false),
            ("a?c*", "abcd", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fitting, "{pattern} {name}");
        }
    }
}
