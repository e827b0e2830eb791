//! From an order to a running process.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use weir_core::mask::Masker;
use weir_core::outcome::ErrorClass;

use super::cgroup::Cgroup;
use super::channel::Channel;
use super::exec::{self, Refusal};
use super::folder::{self, Claim, End};
use super::jobs::{LEFTOVER_GRACE, Node, Record, Watcher};
use super::pump::Pump;
use super::sys::{self, PidFd, Spawn, Spawner};
use super::wire::Order;

/// Where a program finds its script.
const SCRIPT_FD: i32 = 3;
/// Where a program of another user finds the file for its outputs: it may not enter the folder.
const OUTPUT_FD: i32 = 4;
const OUTPUT: &str = "output";
const OUTPUT_VARIABLE: &[u8] = b"WEIR_OUTPUT=";

/// What a start left in our hands.
struct Started {
    pid: i32,
    pump: Option<Arc<Pump>>,
    group: Arc<Cgroup>,
}

impl Node {
    /// Starts it, or finds that it had been started.
    pub(crate) fn launch(
        self: &Arc<Self>,
        spawner: &Spawner,
        channel: &Arc<Channel>,
        order: &Order<'_>,
    ) {
        let folder = &order.id.folder;
        let watcher = Watcher { channel: Arc::clone(channel), tag: order.tag, tells: order.tells };
        if !self.enter(&order.id, watcher, order.limits.log_size) {
            return;
        }
        match folder::claim(folder) {
            Ok(Claim::Ours) => {}
            Ok(Claim::Ended(ended)) => return self.finish_at(folder, &ended, Record::IsThere),
            Ok(Claim::Begun) => return self.judge(&order.id, LEFTOVER_GRACE, None),
            Err(error) => return self.refuse(folder, &error),
        }
        let Some(start) = self.begin_start(folder) else {
            return self.finish(folder, End::Fenced, Record::Write);
        };
        match self.start(spawner, order) {
            Ok(started) => {
                self.end_start(folder, start, Some(started.pid), started.pump, started.group);
            }
            Err((class, message)) => {
                self.end_start(folder, start, None, None, Arc::default());
                self.finish(folder, End::Failed(class, message), Record::Write);
            }
        }
    }

    fn start(self: &Arc<Self>, spawner: &Spawner, order: &Order<'_>) -> Result<Started, Refusal> {
        let name = *order
            .argv
            .first()
            .ok_or_else(|| (ErrorClass::Definition, "there is no program to run".to_owned()))?;
        let log = folder::open_log(&order.id.folder).map_err(internal("the log can't be made"))?;
        let script = match order.script {
            Some(script) => Some(
                sys::memory_file(script).map_err(internal("the script can't be kept in memory"))?,
            ),
            None => None,
        };
        let pipe = if order.secrets.is_empty() {
            None
        } else {
            Some(sys::pipe().map_err(internal("no pipe can be made"))?)
        };
        let output = match &pipe {
            Some((_, writer)) => writer.as_fd(),
            None => log.as_fd(),
        };
        let mut fds: Vec<(BorrowedFd<'_>, i32)> = Vec::with_capacity(8);
        fds.extend([(self.null.as_fd(), 0), (output, 1), (output, 2)]);
        if let Some(script) = &script {
            fds.push((script.as_fd(), SCRIPT_FD));
        }
        let mark = self.mark(&order.id) + "\0";
        let mark = CStr::from_bytes_with_nul(mark.as_bytes()).map_err(|_| {
            (ErrorClass::Internal, "the mark of the attempt holds a NUL".to_owned())
        })?;
        let mut env = Vec::with_capacity(order.env.len() + 1);
        env.push(mark);
        env.extend(order.env.iter().filter(|text| !is_mark(text)));
        let limits = &order.limits;
        let is_plain = order.run_as.is_none()
            && limits.memory.is_none()
            && limits.cpu_time.is_none()
            && limits.cpus_milli.is_none()
            && limits.open_files.is_none()
            && limits.processes.is_none()
            && limits.file_size.is_none();
        let (pid, group) = if is_plain {
            let dir = Path::new(std::ffi::OsStr::from_bytes(order.dir.to_bytes()));
            let program = exec::find_program(name, &env, dir)?;
            let spawn = Spawn {
                program: &program,
                argv: &order.argv,
                env: &env,
                dir: Some(order.dir),
                fds: &fds,
            };
            let pid = spawner
                .spawn(&spawn)
                .map_err(|error| exec::explain(&error, name, Some(order.dir)))?;
            (pid, Arc::default())
        } else {
            self.start_bound(spawner, order, mark, &mut env, &fds)?
        };
        let pump = pipe.map(|(reader, writer)| {
            drop::<OwnedFd>(writer);
            let masker = Masker::new(&order.secrets);
            Pump::start(self, &order.id.folder, reader, log, masker)
        });
        Ok(Started { pid, pump, group })
    }

    /// Starts it as another user or within limits: by way of this binary.
    fn start_bound<'a>(
        &self,
        spawner: &Spawner,
        order: &Order<'a>,
        mark: &'a CStr,
        env: &mut [&'a CStr],
        fds: &[(BorrowedFd<'_>, i32)],
    ) -> Result<(i32, Arc<Cgroup>), Refusal> {
        let account = order.run_as.map(exec::account).transpose()?;
        if account.is_some() && !sys::is_root() {
            let message = "run-as needs a Weir that runs as root".to_owned();
            return Err((ErrorClass::Refused, message));
        }
        let output = match account {
            Some(account) => give_output(&order.id.folder, account, env)
                .map_err(internal("the file for outputs can't be made"))?,
            None => None,
        };
        let name = self.mark(&order.id).replace(['/', '='], "-");
        let group = Cgroup::make(&format!("weir-{name}"), &order.limits);
        if order.limits.cpus_milli.is_some() && !group.cpus {
            group.remove();
            let message = "limits.cpus needs a control group, and none can be made on this machine";
            return Err((ErrorClass::Refused, message.to_owned()));
        }
        let settings =
            exec::settings(&order.argv, env, order.dir, order.run_as, &order.limits, &group);
        let result = (|| {
            let settings = sys::memory_file(&settings)
                .map_err(internal("the settings can't be kept in memory"))?;
            let (reader, writer) = sys::pipe().map_err(internal("no pipe can be made"))?;
            let mut all = fds.to_vec();
            all.push((settings.as_fd(), exec::SETTINGS_FD));
            all.push((writer.as_fd(), exec::STATUS_FD));
            if let Some(output) = &output {
                all.push((output.as_fd(), OUTPUT_FD));
            }
            let argv = [c"weir", &CString::new(exec::NAME).expect("the name holds no NUL")];
            let argv: [&CStr; 2] = [argv[0], argv[1]];
            let spawn = Spawn {
                program: c"/proc/self/exe",
                argv: &argv,
                env: &[mark],
                dir: None,
                fds: &all,
            };
            let pid = spawner.spawn(&spawn).map_err(internal("this program can't be started"))?;
            drop(writer);
            let mut told = Vec::new();
            File::from(reader)
                .read_to_end(&mut told)
                .map_err(internal("the start can't be followed"))?;
            let Some(refusal) = exec::refusal(&told) else { return Ok(pid) };
            // Nothing of it may be left when that is told.
            if let Ok(process) = PidFd::open(pid) {
                let _gone = sys::poll_readable(&[process.as_fd()], None);
            }
            Err(refusal)
        })();
        match result {
            Ok(pid) => Ok((pid, Arc::new(group))),
            Err(refusal) => {
                if !group.remove() {
                    self.table().groups.push(Arc::new(group));
                }
                Err(refusal)
            }
        }
    }
}

/// Makes the file for outputs, which belongs to the user, and points the variable to its descriptor.
fn give_output(
    folder: &Path,
    (uid, gid): (u32, u32),
    env: &mut [&CStr],
) -> io::Result<Option<File>> {
    let variable = env.iter_mut().find(|text| text.to_bytes().starts_with(OUTPUT_VARIABLE));
    let Some(variable) = variable else { return Ok(None) };
    let path = folder.join(OUTPUT);
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    *variable = c"WEIR_OUTPUT=/proc/self/fd/4";
    Ok(Some(file))
}

fn is_mark(text: &CStr) -> bool {
    text.to_bytes().strip_prefix(super::tree::MARK.as_bytes()).is_some_and(|rest| rest[0] == b'=')
}

fn internal(what: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |error| (ErrorClass::Internal, format!("{what}: {error}"))
}
