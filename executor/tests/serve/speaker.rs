//! Speaks to a driver (edge): writes requests, and finds the answer to each.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::place::{LONG, has_ended_within};

/// A driver, which is killed when a test is surprised.
pub(crate) struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<Value>,
    early: Vec<Value>,
    last: u64,
}

impl Driver {
    /// Starts one in a folder.
    pub(crate) fn start(folder: &Path) -> Driver {
        Driver::start_with(folder, |_| {})
    }

    /// The same with something more than its command line.
    pub(crate) fn start_with(folder: &Path, change: impl FnOnce(&mut Command)) -> Driver {
        let mut command = Command::new(env!("CARGO_BIN_EXE_executor"));
        command
            .arg("serve")
            .current_dir(folder)
            .env("INHERITED", "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        change(&mut command);
        let child = command.spawn();
        // It holds what the driver got.
        drop(command);
        let mut child = child.unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, answers) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                said.send(serde_json::from_str(&line).unwrap()).ok();
            }
        });
        Driver {
            stdin: child.stdin.take(),
            child,
            answers,
            early: Vec::new(),
            last: 0,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Writes a line as it is.
    pub(crate) fn write(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The same for what is no text.
    pub(crate) fn write_bytes(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Writes a request; gives its number.
    pub(crate) fn ask(&mut self, op: &str, mut fields: Value) -> u64 {
        self.last += 1;
        fields["seq"] = self.last.into();
        fields["op"] = op.into();
        self.write(&fields.to_string());
        self.last
    }

    /// The answer to a request, without its number; none if it does not come in time.
    pub(crate) fn answer_within(&mut self, seq: u64, limit: Duration) -> Option<Value> {
        let is_it = |answer: &Value| answer["seq"] == json!(seq);
        let mut answer = loop {
            if let Some(at) = self.early.iter().position(is_it) {
                break self.early.remove(at);
            }
            self.early.push(self.answers.recv_timeout(limit).ok()?);
        };
        answer.as_object_mut().unwrap().remove("seq");
        Some(answer)
    }

    pub(crate) fn answer(&mut self, seq: u64) -> Value {
        let answer = self.answer_within(seq, LONG);
        answer.unwrap_or_else(|| panic!("no answer to {seq}, but {:?}", self.early))
    }

    /// Asks, and waits for the answer.
    pub(crate) fn say(&mut self, op: &str, fields: Value) -> Value {
        let seq = self.ask(op, fields);
        self.answer(seq)
    }

    /// The same where the answer must be that it was done.
    pub(crate) fn order(&mut self, op: &str, fields: Value) {
        assert_eq!(self.say(op, fields.clone()), json!({}), "{op} {fields}");
    }

    pub(crate) fn destroy(&mut self, id: &str) {
        self.order("destroy", json!({ "id": id }));
    }

    pub(crate) fn stop(&mut self, id: &str, timeout_ms: u64) {
        let fields = json!({ "id": id, "signal": "SIGTERM", "timeout_ms": timeout_ms });
        self.order("stop", fields);
    }

    /// The reason why something was not done.
    pub(crate) fn refusal(&mut self, op: &str, fields: Value) -> String {
        let answer = self.say(op, fields);
        let why = answer["error"].as_str();
        why.unwrap_or_else(|| panic!("{op} gave {answer}"))
            .to_owned()
    }

    /// Has it leave its tasks alone; gives their handles.
    pub(crate) fn detach(mut self) -> Value {
        let answer = self.say("detach", json!({}));
        assert!(self.child.wait().unwrap().success());
        self.hear_the_end();
        answer["handles"].clone()
    }

    /// Nobody holds the stdout of a driver that is gone.
    fn hear_the_end(&mut self) {
        let last = self.answers.recv_timeout(LONG);
        assert_eq!(last, Err(RecvTimeoutError::Disconnected));
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.hear_the_end();
    }

    /// Closes its stdin; gives how it ended.
    pub(crate) fn close(mut self) -> ExitStatus {
        drop(self.stdin.take());
        if !has_ended_within(self.pid(), LONG) {
            self.child.kill().unwrap();
            panic!("it does not end");
        }
        self.child.wait().unwrap()
    }

    /// Recovers; gives what is lost.
    pub(crate) fn recover(&mut self, handles: &Value) -> Value {
        let answer = self.say("recover", json!({ "handles": handles }));
        assert!(answer["ok"].is_array(), "{answer}");
        answer["lost"].clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its tasks end with its stdin.
        drop(self.stdin.take());
        if !has_ended_within(self.pid(), LONG) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
