//! Edge: a logmon under test in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fifo::Writer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, pause, wait_until, write_all, writer_of};

/// Asserts that the best of several attempts takes less than the limit, as the machine may be busy with
/// something else.
#[track_caller]
pub(crate) fn assert_quick(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let best = (0..3).map(|_| attempt()).find(|took| *took < limit);
    assert!(best.is_some(), "three times {limit:?} or longer");
}

/// Waits for so long. Only for tests that measure what happens in a span of time.
pub(crate) fn let_pass(span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        pause();
    }
}

/// A FIFO `out`, a FIFO `err` and the log folder `logs`.
impl Place {
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.path("logs").join(name)
    }

    /// `logmon run` for stdout with these limits, not started.
    pub(crate) fn command(&self, max_files: &str, max_file_size: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
        self.add_options(&mut command, max_files, max_file_size);
        command
    }

    pub(crate) fn add_options(&self, command: &mut Command, max_files: &str, max_file_size: &str) {
        command
            .arg("run")
            .arg("--log-dir")
            .arg(self.path("logs"))
            .arg("--stdout")
            .arg(format!("{}=demo.stdout", self.path("out").display()))
            .args(["--max-files", max_files, "--max-file-size", max_file_size]);
    }

    pub(crate) fn start(&self, max_files: &str, max_file_size: &str) -> Logmon {
        self.start_command(self.command(max_files, max_file_size))
    }

    /// Starts it and waits for the ready line. Diagnostics go to a file.
    #[track_caller]
    pub(crate) fn start_command(&self, command: Command) -> Logmon {
        let child = self.start_until_ready(command);
        Logmon { child }
    }

    /// The log files of the stream, in the order of their indices: index and content.
    pub(crate) fn files(&self) -> Vec<(u64, Vec<u8>)> {
        self.files_of("demo.stdout")
    }

    /// The log files, joined.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.files()
            .into_iter()
            .flat_map(|(_, bytes)| bytes)
            .collect()
    }

    pub(crate) fn writer(&self) -> Writer {
        writer_of(&self.path("out"))
    }

    /// One generation: opens the FIFO, writes, closes.
    pub(crate) fn write(&self, bytes: &[u8]) {
        write_all(&self.writer(), bytes);
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, expected: &[u8]) {
        wait_until("the log is what was written", || self.log() == expected);
    }
}

/// A running logmon; killed when it is dropped.
pub(crate) struct Logmon {
    child: Child,
}

impl Logmon {
    pub(crate) fn of(child: Child) -> Logmon {
        Logmon { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Sends SIGTERM, and gives the exit code and how long it took.
    pub(crate) fn stop(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        let code = self.child.wait().unwrap().code();
        (code, begun.elapsed())
    }

    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// What its descriptors name, such as `/logs/demo.stdout.0`.
    pub(crate) fn descriptors(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        folder
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .collect()
    }

    pub(crate) fn thread_count(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid()))
            .unwrap()
            .count()
    }

    /// The most memory that it has had so far, in bytes (`proc_pid_status(5)`, VmHWM).
    pub(crate) fn peak_memory_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// Processor time used so far, in clock ticks of 10 ms (`proc_pid_stat(5)`, fields 14 and 15).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Logmon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a logmon that is expected to refuse; gives the exit code and what it says.
#[track_caller]
pub(crate) fn refusal(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    if !line.is_empty() {
        // It would collect for ever.
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(line, "", "a refused start prints no ready line");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// True when the path is a symbolic link, and to what.
pub(crate) fn is_link_to(path: &Path, target: &Path) -> bool {
    fs::read_link(path).is_ok_and(|found| found == target)
}
