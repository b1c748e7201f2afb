//! A folder of its own, the program, and waiting for conditions.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and a test may unwrap"
)]

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fifo::{ReadOutcome, Reader, Writer};
use mock_driver::journal::{Line, parse_line};
use mock_driver::record::{Item, RecordId, RunId, scan};
use mock_driver::script::{Expected, Script};
use mock_driver::stream::Stream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a condition may take on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A folder that is gone with the value.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the script to `script.toml` and gives it parsed.
    pub(crate) fn script(&self, text: &str) -> Script {
        let path = self.path("script.toml");
        std::fs::write(&path, text).unwrap();
        Script::parse(text, &path).unwrap()
    }

    /// The whole lines of `journal`; none if it is missing.
    pub(crate) fn journal(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.path("journal")).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| parse_line(line).unwrap())
            .collect()
    }
}

/// The program under test.
pub(crate) fn mock_driver() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mock_driver"))
}

/// Waits for the condition and fails by its name when it takes too long.
#[expect(clippy::disallowed_methods, reason = "a poller with a deadline")]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process runs or sleeps: a zombie has ended.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let state = |stat: String| Some(stat.rsplit_once(") ")?.1.chars().next()? != 'Z');
    stat.ok().and_then(state).unwrap_or(false)
}

/// The run that [`Fifos::play`] names.
pub(crate) const RUN: RunId = RunId(0x00c0_ffee);

/// Two FIFOs in a folder of their own.
pub(crate) struct Fifos {
    pub(crate) folder: Folder,
}

impl Fifos {
    pub(crate) fn new() -> Self {
        Self::in_folder(Folder::new())
    }

    pub(crate) fn in_folder(folder: Folder) -> Self {
        let fifos = Self { folder };
        for stream in Stream::BOTH {
            fifo::create(&fifos.path(stream), 0o600).unwrap();
        }
        fifos
    }

    pub(crate) fn path(&self, stream: Stream) -> PathBuf {
        self.folder.path(&format!("fifo-{stream}"))
    }

    /// A reader on each FIFO, stdout's first. They read nothing by themselves.
    pub(crate) fn readers(&self) -> [Reader; 2] {
        Stream::BOTH.map(|stream| Reader::open(self.path(stream)).unwrap())
    }

    /// A thread on each FIFO that reads all, stdout's first.
    pub(crate) fn drains(&self) -> [Drain; 2] {
        self.readers().map(Drain::of)
    }

    fn driver(&self, part: &str) -> Command {
        let mut command = mock_driver();
        command.arg(part);
        command.arg("--stdout").arg(self.path(Stream::Stdout));
        command.arg("--stderr").arg(self.path(Stream::Stderr));
        command.arg("--journal").arg(self.folder.path("journal"));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, task: &[&str]) -> Command {
        let mut command = self.driver("run");
        command.arg("--").args(task);
        command
    }

    pub(crate) fn play(&self, more: &[&str]) -> Command {
        let mut command = self.driver("play");
        command.args(["--run", "00c0ffee"]).args(more);
        command.arg("--script").arg(self.folder.path("script.toml"));
        command.arg("--gates").arg(self.folder.path(""));
        command
    }

    /// `run` with a fault.
    pub(crate) fn faulty(&self, fault: &str, task: &[&str]) -> Command {
        let mut command = self.driver("run");
        command.args(["--fault", fault, "--"]).args(task);
        command
    }
}

/// A thread that reads a FIFO.
pub(crate) struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    finish: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drain {
    pub(crate) fn of(reader: Reader) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let finish = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (bytes, finish) = (bytes.clone(), finish.clone());
            move || drain(&reader, &bytes, &finish)
        });
        Self {
            bytes,
            finish,
            thread,
        }
    }

    /// Whether so far exactly these bytes were read.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.bytes.lock().unwrap()[..] == *bytes
    }

    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// Reads until there is nothing left and no writer, and gives all.
    pub(crate) fn until_writers_are_gone(self) -> Vec<u8> {
        self.finish.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.bytes.lock().unwrap())
    }
}

#[expect(clippy::disallowed_methods, reason = "a poller with a deadline")]
fn drain(reader: &Reader, bytes: &Mutex<Vec<u8>>, finish: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    let mut deadline = None;
    loop {
        // Looked at before the read, so that nothing slips in between.
        let last = finish.load(Ordering::SeqCst);
        match reader.try_read(&mut buffer).unwrap() {
            ReadOutcome::Bytes(taken) => {
                bytes.lock().unwrap().extend_from_slice(&buffer[..taken]);
            }
            ReadOutcome::NoWriter if last => return,
            ReadOutcome::Empty | ReadOutcome::NoWriter => {
                if last {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + LIMIT);
                    assert!(Instant::now() < deadline, "a writer holds the FIFO");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Reads exactly so many bytes.
pub(crate) fn read_bytes(reader: &Reader, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    wait_until("bytes in the FIFO", || {
        let mut buffer = vec![0; count - bytes.len()];
        if let ReadOutcome::Bytes(taken) = reader.try_read(&mut buffer).unwrap() {
            bytes.extend_from_slice(&buffer[..taken]);
        }
        bytes.len() == count
    });
    bytes
}

/// Whether somebody has the FIFO open for writing. It must be empty.
pub(crate) fn has_writer(reader: &Reader) -> bool {
    matches!(reader.try_read(&mut [0]).unwrap(), ReadOutcome::Empty)
}

/// Waits until nobody has the FIFO open for reading. A program that another test is just starting
/// holds a copy of every descriptor for a moment.
pub(crate) fn until_nobody_reads(path: &Path) {
    wait_until("the last reader's end", || {
        matches!(Writer::try_open(path), Err(fifo::Error::NoReader { .. }))
    });
}

/// A shell's words that wait for a file. They end with its folder too: a test that fails must not
/// leave a shell behind that waits for ever.
pub(crate) fn shell_gate(gate: &Path) -> String {
    let folder = gate.parent().unwrap();
    format!(
        "while [ -d {} ] && ! [ -e {} ]; do sleep 0.01; done;",
        folder.display(),
        gate.display()
    )
}

/// Tells when the last process is gone that a program has started and given its stdin to.
pub(crate) struct Descendants(std::io::PipeReader);

impl Descendants {
    /// Of a program that is started by `command`. Nothing may be read from its stdin.
    pub(crate) fn of(command: &mut Command) -> Self {
        let (ends, held) = std::io::pipe().unwrap();
        command.stdin(held);
        Self(ends)
    }

    /// Waits for the last one. The command must be dropped: it holds a copy too.
    pub(crate) fn until_gone(&self) {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(LIMIT).unwrap();
        assert_eq!(poll(&mut fds, limit), Ok(1), "a process was left behind");
    }
}

/// Waits for the end of a program within the limit.
/// How many threads a process has, if all of them are in this state of proc(5).
pub(crate) fn threads(pid: i32, state: char) -> Option<usize> {
    let all = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let is_so = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        Some(stat.rsplit(") ").next()?.starts_with(state))
    };
    let all: Vec<bool> = all.map(is_so).collect::<Option<_>>()?;
    all.iter().all(|is_so| *is_so).then_some(all.len())
}

pub(crate) fn wait_within(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    wait_until(what, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
}

/// The bytes of the script's stream in generation 0.
pub(crate) fn exact(script: &Script, stream: Stream) -> Vec<u8> {
    exact_of(script, stream, 0)
}

pub(crate) fn exact_of(script: &Script, stream: Stream, generation: u32) -> Vec<u8> {
    match script.expected(RUN, generation, stream) {
        Expected::Exact(exact) => exact.render(),
        other @ (Expected::Unordered { .. } | Expected::Unknown) => panic!("{other:?}"),
    }
}

/// The records of several writers, sorted.
pub(crate) fn unordered(script: &Script, stream: Stream) -> Vec<RecordId> {
    match script.expected(RUN, 0, stream) {
        Expected::Unordered { mut records, .. } => {
            records.sort();
            records
        }
        other @ (Expected::Exact(_) | Expected::Unknown) => panic!("{other:?}"),
    }
}

/// The whole records of a log, sorted; nothing else may be in it.
pub(crate) fn records(log: &[u8]) -> Vec<RecordId> {
    let mut records: Vec<_> = scan(log)
        .map(|item| match item {
            Item::Record { header, .. } => header.id,
            other @ (Item::Torn { .. } | Item::Foreign { .. }) => panic!("{other:?}"),
        })
        .collect();
    records.sort();
    records
}
