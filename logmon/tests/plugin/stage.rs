//! Edge: a plugin under test in a folder of its own, its host, and its tasks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fifo::Writer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::hclog::Record;
use plugin::host::{Attach, Deadlines, Launch, Plugin, Said, Saved};
use plugin::proto::logmon::StartRequest;
use plugin::reattach::Reattach;

use crate::support::{Place, log_files, wait_until, writer_of};

/// Long enough for a busy machine; nothing waits for it that goes well.
const LONG: Duration = Duration::from_secs(60);

/// The folder of one test. Sockets and FIFOs lie in `run`, log files in `logs`.
pub(crate) struct Stage {
    place: Place,
    heard: Arc<Mutex<Vec<Said>>>,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage {
            place: Place::new(),
            heard: Arc::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// `logmon plugin` with these options, not started.
    pub(crate) fn launch(&self, options: &[&str]) -> Launch {
        let heard = Arc::clone(&self.heard);
        Launch::new(env!("CARGO_BIN_EXE_logmon"))
            .arguments(["plugin"])
            .arguments(options.iter().copied())
            .variable("TMPDIR", self.path("run"))
            .deadlines(deadlines())
            .listener(move |said| heard.lock().unwrap().push(said))
    }

    pub(crate) async fn plugin(&self) -> Plugin {
        self.launch(&[]).start().await.unwrap()
    }

    /// The log lines that were heard so far.
    pub(crate) fn log_lines(&self) -> Vec<Record> {
        let heard = self.heard.lock().unwrap();
        let record = |said: &Said| match said {
            Said::Log(record) => Some(record.clone()),
            Said::Stray(_) | Said::Stdout(_) | Said::Stderr(_) => None,
        };
        heard.iter().filter_map(record).collect()
    }

    pub(crate) fn fifo(&self, task: &str, end: &str) -> PathBuf {
        self.path("run").join(format!(".{task}.{end}.fifo"))
    }

    /// A request for a task as Nomad makes it.
    pub(crate) fn request(&self, task: &str) -> StartRequest {
        let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
        StartRequest {
            log_dir: text(self.path("logs")),
            stdout_file_name: format!("{task}.stdout"),
            stderr_file_name: format!("{task}.stderr"),
            max_files: 10,
            max_file_size_mb: 1,
            stdout_fifo: text(self.fifo(task, "stdout")),
            stderr_fifo: text(self.fifo(task, "stderr")),
        }
    }

    #[track_caller]
    pub(crate) fn writer(&self, task: &str, end: &str) -> Writer {
        writer_of(&self.fifo(task, end))
    }

    pub(crate) fn files(&self, name: &str) -> Vec<(u64, Vec<u8>)> {
        log_files(&self.path("logs"), name)
    }

    /// What was logged of a stream, all files together.
    pub(crate) fn log(&self, name: &str) -> Vec<u8> {
        let files = self.files(name).into_iter();
        files.flat_map(|(_, bytes)| bytes).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, name: &str, expected: &[u8]) {
        wait_until(&format!("{name} has {} bytes", expected.len()), || {
            self.log(name).len() >= expected.len()
        });
        assert!(self.log(name) == expected, "{name} is not what was written");
    }

    /// The sockets of plugins that are there.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("run")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("plugin"))
            .collect()
    }
}

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

pub(crate) fn attach(saved: &Saved) -> Attach {
    let reattach = Reattach::parse(&saved.reattach).unwrap();
    Attach::new(reattach, Some(saved.birth)).deadlines(deadlines())
}

pub(crate) fn pid(plugin: &Plugin) -> i32 {
    plugin.reattach().pid
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// True when a process has ended, also when nobody has asked how.
pub(crate) fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        stat.rsplit(") ").next().unwrap().starts_with('Z')
    })
}

/// The descriptors of a process that lead to this path.
pub(crate) fn descriptors_of(pid: i32, path: &Path) -> Vec<String> {
    let all = descriptors(pid).into_iter();
    all.filter(|(_, target)| target == path)
        .map(|(number, _)| number)
        .collect()
}

/// The descriptors of a process, and what they lead to.
pub(crate) fn descriptors(pid: i32) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().into_string().unwrap(), target))
        })
        .collect()
}

/// How often a thing may take too long because the machine has much else to do.
const TRIES: usize = 5;

/// Asserts that a thing takes less than this, at least once in a few tries.
pub(crate) async fn assert_quick<F>(limit: Duration, thing: impl Fn() -> F)
where
    F: Future<Output = Duration>,
{
    let mut took = Vec::new();
    for _ in 0..TRIES {
        took.push(thing().await);
        if took.last() < Some(&limit) {
            return;
        }
    }
    panic!("never within {limit:?}: {took:?}");
}

pub(crate) async fn timed<T>(thing: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let result = thing.await;
    (result, begun.elapsed())
}
