//! What is said to the process that keeps a task, and what it answers: one JSON object a line (core).
//!
//! ```text
//! start   driver  {"task":{"argv":["sleep"],…}}                                     an Order
//!         warden  {"held":{"main":{"pid":9,"birth":77},"kind":"cgroup2",…}}         a Report
//!         driver  {"go":true}                                                       a Go
//! later   driver  {"stop":{"signal":"SIGTERM","grace_ms":5000}}                     an Ask
//!         warden  "taken"                                                           a Reply
//! end     warden  {"exit":3,"signal":null,…}                                        an EndNote
//! ```
//!
//! The first three go over a socket that both have from the beginning. Where it ends without a [`Go`], the task is
//! ended and the folder removed: nobody knows of them. Each [`Ask`] comes over a connection of its own. How the task ended
//! is told over that socket, and over each connection that asks for it; once more when everything else has ended.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exec_ends::WindowSize;
use crate::status::CommandEnd;

/// How long a line may be, in bytes: a request of 1 MiB fits, escaped.
const LONGEST: u64 = 8 << 20;

/// A task that is to outlive whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSpec {
    /// The program and its arguments. It is looked for as
    /// [`LaunchSpec::program`](crate::LaunchSpec::program) says.
    pub argv: Vec<String>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// True if the environment of whoever starts it is handed on beneath its own variables; who that is
    /// (`USER`, `LOGNAME`, `HOME`) is not handed on to another user.
    pub inherits_env: bool,
    /// The user by name or number, as [`LaunchSpec::user`](crate::LaunchSpec::user) says; none: the one of
    /// whoever starts it.
    pub user: Option<String>,
    /// The FIFO of its stdout, or [`NULL_DEVICE`](crate::NULL_DEVICE).
    pub stdout: String,
    /// The FIFO of its stderr, or [`NULL_DEVICE`](crate::NULL_DEVICE).
    pub stderr: String,
    /// The task's own folder. What the task is found by lies there as well, in a folder `.executor-PID-NUMBER`.
    pub task_dir: String,
    /// Where it starts; none: in its own folder.
    pub cwd: Option<String>,
    /// How long the start waits for the readers of both FIFOs, in milliseconds.
    pub open_ms: u64,
    /// An absolute path, as [`LaunchSpec::trusted_root`](crate::LaunchSpec::trusted_root) says; none: links in the
    /// folders above a FIFO are followed.
    pub trusted_root: Option<String>,
}

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) task: KeptSpec,
}

/// A process that can't be taken for another one while the machine runs: a number alone is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) pid: i32,
    /// When it began, in ticks since the machine did, `proc_pid_stat(5)`.
    pub(crate) birth: u64,
}

/// A folder that can't be taken for another one of the same path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inode {
    pub(crate) path: String,
    pub(crate) inode: u64,
}

/// A task that runs, and what holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    /// Its main process.
    pub(crate) main: Named,
    /// Its cgroup of version 2.
    pub(crate) cgroup2: Option<Inode>,
    /// Its freezer of version 1.
    pub(crate) freezer: Option<Inode>,
    /// A cgroup that only counts.
    pub(crate) counter: Option<Inode>,
}

/// What came of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// It runs.
    Held(Held),
    /// It was not started; why.
    Failed(String),
}

/// From now on the task lives whatever becomes of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) go: bool,
}

/// What a warden is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Stop the task: this signal, so much time, and then the kill of all that is left. It ends itself after that.
    Stop { signal: String, grace_ms: u64 },
    /// Send a signal to the main process.
    Signal { signal: String },
    /// Say where the task is in its life.
    Status,
    /// Run a command in the task, for so long, or for as long as it takes. Whoever asks ends it by closing the
    /// connection for writing.
    Exec {
        argv: Vec<String>,
        limit_ms: Option<u64>,
    },
    /// The same, and hand over what it is spoken with by: a terminal with this window, or three pipes.
    Speak {
        argv: Vec<String>,
        limit_ms: Option<u64>,
        terminal: Option<WindowSize>,
    },
    /// Say how the task ends, when it does.
    End,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It is about to be done.
    Taken,
    /// It was done.
    Done,
    /// It can't be done; why.
    Failed(String),
    /// Where the task is in its life, in words.
    Status(String),
    /// A command runs, and this side of what it is spoken with by comes with this.
    Speaks,
    /// How a command ended, and the end of what it said.
    Executed { end: CommandEnd, output: Vec<u8> },
}

/// Writes a message and its newline.
pub(crate) fn write_line<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads a message and its newline; none if the other side has closed before it began one.
pub(crate) fn read_line<T: DeserializeOwned>(from: impl Read) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    // A side writes nothing behind a message before it has got the answer.
    BufReader::new(from.take(LONGEST)).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line_and_comes_back() {
        let stop = Ask::Stop {
            signal: "SIGTERM".into(),
            grace_ms: 7,
        };
        let mut line = Vec::new();
        write_line(&mut line, &stop).unwrap();
        let text = String::from_utf8(line.clone()).unwrap();
        assert_eq!(text, "{\"stop\":{\"signal\":\"SIGTERM\",\"grace_ms\":7}}\n");
        assert_eq!(read_line(&line[..]).unwrap(), Some(stop));
    }

    #[test]
    fn a_message_that_was_cut_is_none() {
        assert_eq!(read_line::<Ask>(&b""[..]).unwrap(), None);
        for cut in [&b"\"status\""[..], b"{\"stop\":", b"\"taken\"\n"] {
            assert!(read_line::<Ask>(cut).is_err(), "{cut:?}");
        }
    }
}
