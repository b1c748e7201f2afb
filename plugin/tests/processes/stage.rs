//! What every test here needs: a folder of its own, a runtime, and waiting for conditions.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use plugin::host::{Deadlines, Launch, Said};
use tempfile::TempDir;

/// Long enough for a busy machine; nothing waits for it that goes well.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// One test: its folder, which is the folder of its plugins' sockets, and what they said.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) heard: Arc<Mutex<Vec<Said>>>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            heard: Arc::default(),
        }
    }

    /// The start of a plugin of this kind.
    pub(crate) fn launch(&self, kind: &str) -> Launch {
        let heard = Arc::clone(&self.heard);
        Launch::new(std::env::current_exe().unwrap())
            .arguments(["__plugin", kind])
            .variable("TMPDIR", self.folder.path())
            .deadlines(deadlines())
            .listener(move |said| heard.lock().unwrap().push(said))
    }

    /// Waits until something was heard that fits.
    #[track_caller]
    pub(crate) fn hears(&self, fits: impl Fn(&[Said]) -> bool) -> impl Future<Output = ()> {
        let heard = Arc::clone(&self.heard);
        until(move || {
            let heard = heard.lock().unwrap();
            if fits(&heard) {
                Ok(())
            } else {
                Err(format!("{heard:?}"))
            }
        })
    }

    pub(crate) fn files(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Deadlines that a busy machine keeps.
pub(crate) fn deadlines() -> Deadlines {
    Deadlines {
        handshake: LONG,
        connect: LONG,
        call: LONG,
        shutdown: LONG,
        exit: LONG,
        kill: LONG,
    }
}

/// Waits until the condition holds; it gives its last state otherwise.
pub(crate) async fn until(condition: impl Fn() -> Result<(), String>) {
    let begin = Instant::now();
    while let Err(state) = condition() {
        assert!(begin.elapsed() < LONG, "not within {LONG:?}: {state}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Gives a test of this name that runs in a runtime of its own.
pub(crate) fn trial<F>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, || {
        runtime().block_on(test());
        Ok(())
    })
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Says whether a process has ended, be it that nobody asked yet how.
pub(crate) fn is_gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_err() || stat.is_ok_and(|stat| stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

/// Gives a test for each function of these names.
macro_rules! trials {
    ($($test:ident),+ $(,)?) => {
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            vec![$($crate::stage::trial(stringify!($test), $test)),+]
        }
    };
}
pub(crate) use trials;
