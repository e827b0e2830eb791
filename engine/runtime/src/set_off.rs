//! Carries a task on in the thread that has it, as far as that goes without waiting; the runtime does the rest.
//!
//! To hand over what is done in a moment, and to wake another thread for it, takes longer than to do it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls it once here. If it has to wait, it goes on in the runtime when it is woken. As there, a panic ends only it.
pub(crate) fn set_off(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    let mut task: Task = Box::pin(task);
    let waits = Arc::new(Waits { runtime: runtime.clone(), place: Mutex::new(Place::Polled) });
    let waker = Waker::from(Arc::clone(&waits));
    let polled = {
        let _within = runtime.enter();
        let mut cx = Context::from_waker(&waker);
        catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut cx)))
    };
    match polled {
        Ok(Poll::Pending) => waits.park(task),
        Ok(Poll::Ready(())) => {}
        // The panic has been told where panics are.
        Err(_) => tracing::error!("a task that was just set off has panicked"),
    }
}

/// A task between its first poll and the moment when it can go on.
struct Waits {
    runtime: Handle,
    place: Mutex<Place>,
}

enum Place {
    /// It is being polled for the first time.
    Polled,
    /// As before, and it can already go on.
    Woken,
    Parked(Task),
    /// The runtime has it.
    Gone,
}

impl Waits {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn park(&self, task: Task) {
        let mut place = self.place();
        if let Place::Woken = *place {
            *place = Place::Gone;
            drop(place);
            self.runtime.spawn(task);
        } else {
            *place = Place::Parked(task);
        }
    }
}

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        let mut place = self.place();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Polled | Place::Woken => *place = Place::Woken,
            Place::Parked(task) => {
                drop(place);
                self.runtime.spawn(task);
            }
            Place::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// What is done before it waits is done at once, the rest once it is woken: before, during or after that first part.
    #[test]
    fn it_begins_here_and_ends_in_the_runtime() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime");
        let (tell, told) = mpsc::channel();
        let here = std::thread::current().id();
        let (go_on, waits) = oneshot::channel::<()>();
        set_off(runtime.handle(), {
            let tell = tell.clone();
            async move {
                let _ = tell.send(("begun", std::thread::current().id() == here));
                let _ = waits.await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                let _ = tell.send(("ended", std::thread::current().id() == here));
            }
        });
        assert_eq!(told.try_recv(), Ok(("begun", true)));
        assert!(told.try_recv().is_err());
        let _ = go_on.send(());
        assert_eq!(told.recv_timeout(PATIENCE), Ok(("ended", false)));

        set_off(runtime.handle(), {
            let tell = tell.clone();
            async move {
                tokio::task::yield_now().await;
                let _ = tell.send(("woken at once", std::thread::current().id() == here));
            }
        });
        assert_eq!(told.recv_timeout(PATIENCE), Ok(("woken at once", false)));

        set_off(runtime.handle(), async { panic!("of this task alone") });
        set_off(runtime.handle(), async move {
            let _ = tell.send(("done", std::thread::current().id() == here));
        });
        assert_eq!(told.try_recv(), Ok(("done", true)));
    }

    /// A task whose runtime has gone is dropped when it is woken, and nobody is harmed.
    #[test]
    fn it_outlives_its_runtime_in_peace() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (go_on, waits) = oneshot::channel::<()>();
        let (kept, gone) = oneshot::channel::<()>();
        set_off(runtime.handle(), async move {
            let _kept = kept;
            let _ = waits.await;
        });
        drop(runtime);
        let _ = go_on.send(());
        assert!(gone.blocking_recv().is_err());
    }
}
