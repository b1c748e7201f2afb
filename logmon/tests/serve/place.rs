//! Edge: a server under test in a folder of its own, and its clients.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fifo::Writer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{LIMIT, Place, wait_until, writer_of};

/// The control socket and the FIFOs lie in `run`.
impl Place {
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/control")
    }

    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        self.path("run").join(name)
    }

    /// `logmon serve`, not started.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
        command.arg("serve").arg("--control").arg(self.socket());
        command
    }

    pub(crate) fn serve(&self) -> Server {
        self.serve_command(self.command())
    }

    /// Starts it and waits for the ready line. Diagnostics go to a file.
    #[track_caller]
    pub(crate) fn serve_command(&self, command: Command) -> Server {
        let child = self.start_until_ready(command);
        Server { child }
    }

    pub(crate) fn client(&self) -> Client {
        Client::at(&self.socket())
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Value) -> Value {
        self.client().ask(request)
    }

    /// A request to start a task with both streams: FIFOs `run/TASK.out` and `run/TASK.err`.
    pub(crate) fn start_request(&self, task: &str, max_files: u64, max_file_size: u64) -> Value {
        let stream = |end: &str, name: &str| {
            json!({
                "fifo": self.fifo(&format!("{task}.{end}")),
                "name": format!("{task}.{name}"),
            })
        };
        json!({
            "v": 1, "op": "start", "task": task, "log_dir": self.path("logs"),
            "stdout": stream("out", "stdout"), "stderr": stream("err", "stderr"),
            "max_files": max_files, "max_file_size": max_file_size,
        })
    }

    #[track_caller]
    pub(crate) fn start(&self, task: &str) {
        let answer = self.ask(&self.start_request(task, 10, 1 << 20));
        assert_eq!(
            answer["started"],
            json!({"stdout": "now", "stderr": "now"}),
            "{answer}"
        );
    }

    /// The streams of one task in a status.
    #[track_caller]
    pub(crate) fn status(&self, task: &str) -> Value {
        let answer = self.ask(&json!({"v": 1, "op": "status", "task": task}));
        assert_eq!(answer["ok"], true, "{answer}");
        answer["tasks"][0]["streams"].clone()
    }

    pub(crate) fn writer(&self, fifo: &str) -> Writer {
        writer_of(&self.fifo(fifo))
    }

    /// The log files of a stream, in the order of their indices.
    pub(crate) fn files(&self, name: &str) -> Vec<Vec<u8>> {
        let files = self.files_of(name).into_iter();
        files.map(|(_, bytes)| bytes).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, name: &str, expected: &[u8]) {
        wait_until(&format!("{name} is what was written"), || {
            self.files(name).concat() == expected
        });
    }

    /// Runs `logmon` with these words after `--control SOCKET` of the subcommand.
    pub(crate) fn logmon(&self, subcommand: &str, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_logmon"))
            .arg(subcommand)
            .arg("--control")
            .arg(self.socket())
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, and gives the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// What its descriptors name, such as `/logs/web.stdout.0`.
    pub(crate) fn descriptors(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        folder
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .collect()
    }

    pub(crate) fn descriptor_count(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection to the control socket.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn at(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(3 * LIMIT)).unwrap();
        stream.set_write_timeout(Some(3 * LIMIT)).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.stream.get_mut().write_all(bytes) {
            // The server has closed it already; what it said before can still be read.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            other => other.unwrap(),
        }
    }

    /// Reads one answer; null when the server has closed the connection.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Value::Null,
            // The server closed it with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Value::Null,
            other => {
                other.unwrap();
                serde_json::from_str(&line).unwrap()
            }
        }
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.answer()
    }
}
