//! The system calls that std does not have, made safe. All `unsafe` of the workspace is below here.

mod file;
mod process;
mod socket;
mod spawn;

pub(crate) use file::{
    EventFd, Watch, absolute_dir, close_from, memory_file, pending_bytes, pipe, poll_readable,
    punch_hole, reserve_low_fds, set_pipe_size, take_fd, try_lock,
};
pub(crate) use process::{
    Limit, PidFd, Status, become_subreaper, become_user, child_signals, exec, give_back_memory,
    group_is_alive, ignore_terminal_signals, is_root, lookup_user, new_session, reap, session_of,
    set_limit, wait_for,
};
pub(crate) use socket::{accept, connect, listen, receive, send, shut_down, watch};
pub(crate) use spawn::{Spawn, Spawner};

use std::io;

/// Turns `-1` into the error that `errno` tells.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
