//! Edge: a supervisor and its plugin in a folder of their own, and the task that they are for.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use fifo::Writer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::handshake::Address;
use plugin::reattach::Reattach;

use crate::playing::{AGAIN, ENDED, WORD};
use crate::support::{Place, log_files, wait_until, writer_of};

/// The folder of one test. The sockets of plugins lie in `run`; everything that runs there is killed with it.
pub(crate) struct Stage {
    pub(crate) place: Place,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let place = Place::new();
        Stage { place }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// `logmon plugin`, without a keeper.
    pub(crate) fn alone(&self) -> String {
        format!("{} plugin", env!("CARGO_BIN_EXE_logmon"))
    }

    /// `logmon plugin` with a keeper.
    pub(crate) fn kept(&self) -> String {
        format!(
            "{} --keeper {}",
            self.alone(),
            self.path("keep/keeper.sock").display()
        )
    }

    /// A plugin of this test program.
    pub(crate) fn played(&self, kind: &str) -> String {
        let own = std::env::current_exe().unwrap();
        let notes = self.path("notes");
        format!("{} {WORD} {kind} {}", own.display(), notes.display())
    }

    /// The calls that a plugin of this test program got, without the Starts of what it collected already: how
    /// many of those there are is a matter of time.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.all_notes();
        notes.retain(|note| note != AGAIN && note != ENDED);
        notes
    }

    /// How many streams of a plugin of this test program have come to an end of file.
    pub(crate) fn ends_of_file(&self) -> usize {
        self.all_notes()
            .iter()
            .filter(|note| *note == ENDED)
            .count()
    }

    /// How often a plugin of this test program was told to start what it collected already.
    pub(crate) fn told_again(&self) -> usize {
        self.all_notes()
            .iter()
            .filter(|note| *note == AGAIN)
            .count()
    }

    fn all_notes(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.path("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// `logmon supervise` with these options, in front of those of `run`.
    pub(crate) fn supervise(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
        command
            .env("TMPDIR", self.path("run"))
            .args(["supervise", "--log-format", "json", "--state"])
            .arg(self.path("state"))
            .args(options)
            .args(["--", "run", "--log-dir"])
            .arg(self.path("logs"));
        for end in ["stdout", "stderr"] {
            let fifo = self.fifo(end);
            command
                .arg(format!("--{end}"))
                .arg(format!("{}=web.{end}", fifo.display()));
        }
        command.args(["--max-files", "10", "--max-file-size", "1MiB"]);
        command
    }

    #[track_caller]
    pub(crate) fn start(&self, plugin: &str) -> Supervisor {
        let child = self
            .place
            .start_until_ready(self.supervise(&["--plugin", plugin]));
        Supervisor { child }
    }

    /// Starts one that may never be ready.
    pub(crate) fn spawn(&self, mut command: Command) -> Supervisor {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Supervisor { child }
    }

    pub(crate) fn fifo(&self, end: &str) -> PathBuf {
        self.path("run").join(format!(".web.{end}.fifo"))
    }

    #[track_caller]
    pub(crate) fn writer(&self) -> Writer {
        writer_of(&self.fifo("stdout"))
    }

    /// What a task holds while it runs: stdout and stderr.
    #[track_caller]
    pub(crate) fn writers(&self) -> [Writer; 2] {
        ["stdout", "stderr"].map(|end| writer_of(&self.fifo(end)))
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        self.log_of("stdout")
    }

    pub(crate) fn log_of(&self, end: &str) -> Vec<u8> {
        let files = log_files(&self.path("logs"), &format!("web.{end}")).into_iter();
        files.flat_map(|(_, bytes)| bytes).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, expected: &[u8]) {
        wait_until(
            &format!("{} of {} bytes", self.log().len(), expected.len()),
            || self.log().len() >= expected.len(),
        );
        assert!(self.log() == expected, "the log is not what was written");
    }

    /// What the supervisor left for the next one: its lines.
    pub(crate) fn state(&self) -> String {
        fs::read_to_string(self.path("state/state")).unwrap()
    }

    /// Where the plugin is, as the state says.
    #[track_caller]
    pub(crate) fn plugin(&self) -> Reattach {
        let state = self.state();
        let json = state
            .lines()
            .find_map(|line| line.strip_prefix("reattach "));
        Reattach::parse(json.unwrap_or_else(|| panic!("{state}"))).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        match self.plugin().address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("{address}"),
        }
    }

    /// Waits until the state is about another plugin, and gives its process.
    #[track_caller]
    pub(crate) fn another_plugin(&self, than: i32) -> i32 {
        wait_until("there is another plugin", || self.plugin().pid != than);
        self.plugin().pid
    }

    /// The processes that belong here, and their names. All have the folder of their sockets in their
    /// environment.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("TMPDIR={}", self.path("run").display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // It may be gone by now.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if environment
                .split(|byte| *byte == 0)
                .any(|one| one == mark.as_bytes())
            {
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                found.push((pid, String::from_utf8_lossy(&words).replace('\0', " ")));
            }
        }
        found
    }

    /// Nothing runs, no socket is left, and no state.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        let mut left = Vec::new();
        wait_until("nothing runs", || {
            left = self.processes();
            left.is_empty()
        });
        assert_eq!(names(&self.path("state")), ["lock"]);
        assert_eq!(
            names(&self.path("run")),
            [".web.stderr.fifo", ".web.stdout.fifo"]
        );
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            // It may be gone by now.
            let _killed: nix::Result<()> = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
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

#[track_caller]
pub(crate) fn kill_9(pid: i32) {
    send(pid, Signal::SIGKILL);
    wait_until("it is dead", || is_gone(pid));
}

/// A supervisor; killed when it is dropped.
pub(crate) struct Supervisor {
    child: Child,
}

impl Supervisor {
    pub(crate) fn of(child: Child) -> Supervisor {
        Supervisor { child }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// Asks it to stop, and gives its exit code.
    #[track_caller]
    pub(crate) fn stop(self) -> Option<i32> {
        send(self.pid(), Signal::SIGTERM);
        self.code()
    }

    /// Waits for its end, and gives its exit code.
    #[track_caller]
    pub(crate) fn code(mut self) -> Option<i32> {
        let mut code = None;
        wait_until("the supervisor has ended", || {
            let status = self.child.try_wait().unwrap();
            code = status.map(|status| status.code());
            code.is_some()
        });
        code.unwrap()
    }

    /// Waits for its end, and gives its exit code and all that it said.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let stdout = told_by(self.child.stdout.take().unwrap());
        let stderr = told_by(self.child.stderr.take().unwrap());
        let code = self.code();
        (code, stdout.join().unwrap() + &stderr.join().unwrap())
    }
}

/// Reads a pipe to its end.
fn told_by(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut told = String::new();
        pipe.read_to_string(&mut told).unwrap();
        told
    })
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
