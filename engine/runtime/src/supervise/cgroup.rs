//! Control groups, for jobs that ask for limits only they can keep: memory, processors, processes of a whole tree.
//!
//! Version 1 and version 2 both count, wherever the groups of this process may be written to. Source: the kernel's
//! `admin-guide/cgroup-v1` and `admin-guide/cgroup-v2`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use weir_core::flow::Limits;

/// The groups of one attempt; empty if it needs none or none can be made.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    dirs: Vec<PathBuf>,
    /// Memory is bound by a group.
    pub(crate) memory: bool,
    /// The number of processes is bound by a group.
    pub(crate) processes: bool,
    /// Processors are bound by a group.
    pub(crate) cpus: bool,
}

/// The period in which processor time is counted, in microseconds.
const PERIOD_US: u64 = 100_000;

impl Cgroup {
    /// Makes the groups that these limits need, as far as the machine lets us.
    pub(crate) fn make(name: &str, limits: &Limits) -> Self {
        let mut group = Self::default();
        if limits.memory.is_none() && limits.processes.is_none() && limits.cpus_milli.is_none() {
            return group;
        }
        if group.make_unified(name, limits).is_err() {
            group.remove();
            group = Self::default();
        }
        group.make_version_1(name, limits);
        group
    }

    /// The files that a process joins the groups by.
    pub(crate) fn process_lists(&self) -> Vec<PathBuf> {
        self.dirs.iter().map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// Removes the groups; `false` if something is still in them.
    pub(crate) fn remove(&self) -> bool {
        self.dirs.iter().all(|dir| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }

    /// Whether the kernel ended a member for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.dirs.iter().any(|dir| {
            ["memory.events", "memory.oom_control"].iter().any(|file| {
                fs::read_to_string(dir.join(file)).is_ok_and(|text| {
                    text.lines().any(|line| {
                        line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0")
                    })
                })
            })
        })
    }

    fn make_version_1(&mut self, name: &str, limits: &Limits) {
        if let Some(bytes) = limits.memory
            && !self.memory
        {
            self.memory = self.make_one("memory", name, |dir| {
                fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string())?;
                // Without swap accounting there is no such file.
                let _no_swap =
                    fs::write(dir.join("memory.memsw.limit_in_bytes"), bytes.to_string());
                Ok(())
            });
        }
        if let Some(count) = limits.processes
            && !self.processes
        {
            self.processes = self
                .make_one("pids", name, |dir| fs::write(dir.join("pids.max"), count.to_string()));
        }
        if let Some(milli) = limits.cpus_milli
            && !self.cpus
        {
            self.cpus = self.make_one("cpu", name, |dir| {
                fs::write(dir.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                fs::write(dir.join("cpu.cfs_quota_us"), quota(milli).to_string())
            });
        }
    }

    fn make_one(
        &mut self,
        controller: &str,
        name: &str,
        set: impl FnOnce(&Path) -> io::Result<()>,
    ) -> bool {
        let Some(parent) = own_group(controller) else { return false };
        let dir = parent.join(name);
        if make_dir(&dir).is_err() {
            return false;
        }
        let done = set(&dir).is_ok();
        if done {
            self.dirs.push(dir);
        } else {
            let _left = fs::remove_dir(&dir);
        }
        done
    }

    fn make_unified(&mut self, name: &str, limits: &Limits) -> io::Result<()> {
        let own = own_group("").ok_or(io::ErrorKind::NotFound)?;
        // A group with members can't pass controllers on, so the one above is tried, too.
        let dir = [Some(own.as_path()), own.parent()].into_iter().flatten().find_map(|parent| {
            for controller in ["+memory", "+pids", "+cpu"] {
                let _refused = fs::write(parent.join("cgroup.subtree_control"), controller);
            }
            let dir = parent.join(name);
            make_dir(&dir).ok()?;
            if dir.join("memory.max").exists() || dir.join("pids.max").exists() {
                return Some(dir);
            }
            let _left = fs::remove_dir(&dir);
            None
        });
        let dir = dir.ok_or(io::ErrorKind::Unsupported)?;
        self.dirs.push(dir.clone());
        if let Some(bytes) = limits.memory
            && fs::write(dir.join("memory.max"), bytes.to_string()).is_ok()
        {
            let _no_swap = fs::write(dir.join("memory.swap.max"), "0");
            self.memory = true;
        }
        if let Some(count) = limits.processes {
            self.processes = fs::write(dir.join("pids.max"), count.to_string()).is_ok();
        }
        if let Some(milli) = limits.cpus_milli {
            let text = format!("{} {PERIOD_US}", quota(milli));
            self.cpus = fs::write(dir.join("cpu.max"), text).is_ok();
        }
        Ok(())
    }
}

fn quota(milli: u64) -> u64 {
    // The kernel takes no less than a millisecond.
    (milli.saturating_mul(PERIOD_US) / 1000).max(1000)
}

/// A folder left by an attempt that was lost is taken over.
fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the groups that attempts of this home left behind.
pub(crate) fn sweep(prefix: &str) {
    for controller in ["", "memory", "pids", "cpu"] {
        let Some(own) = own_group(controller) else { continue };
        for parent in [Some(own.as_path()), own.parent()].into_iter().flatten() {
            let Ok(entries) = fs::read_dir(parent) else { continue };
            for entry in entries.flatten() {
                if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
                    // Those with members stay.
                    let _left = fs::remove_dir(entry.path());
                }
            }
        }
    }
}

/// The folder of this process's own group: of a version 1 controller, or (empty name) of version 2.
fn own_group(controller: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = if controller.is_empty() {
            number == "0" && names.is_empty()
        } else {
            names.split(',').any(|name| name == controller)
        };
        fits.then(|| path.to_owned())
    })?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let fits = if controller.is_empty() {
            *right.first()? == "cgroup2"
        } else {
            *right.first()? == "cgroup" && right.get(2)?.split(',').any(|name| name == controller)
        };
        fits.then(|| Some((left.get(3)?.to_string(), PathBuf::from(left.get(4)?))))?
    })?;
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(&path);
    let dir = mount.join(below.trim_start_matches('/'));
    Some(if dir.is_dir() { dir } else { mount })
}
