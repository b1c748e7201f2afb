//! An adapter's process outside of a case: for its greeting, and for `adapter check`. (edge)

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::ExitStatus;
use std::time::Duration;

use executor::process::{self, ProcessSpec};
use executor::{Enclosure, Leads};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::client::{Client, Heard, Trouble};
use super::wire::{Greeting, Reply, Request};
use crate::printable::printable;

/// How long a greeting may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long the process may take to end when its stdin is closed.
pub(super) const ENDS: Duration = Duration::from_secs(2);
/// Bytes of its stderr that are looked at.
const SAID_BYTES: u64 = 64 << 10;

/// A running adapter. When this is dropped its stdin is closed, and it is killed with its process
/// group if it does not end.
#[derive(Debug)]
pub(super) struct Process {
    child: process::Process,
    pub(super) client: Client,
    stderr: File,
}

/// An adapter that can't be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// There is no such program, or it can't be run.
    #[error(
        "the driver can't be started: start `{program}`; check the first word of --driver-stdio, and that it is an executable in PATH or a path"
    )]
    Start {
        /// The template's first word.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It broke the protocol.
    #[error("the driver broke the protocol: {text}")]
    Broke {
        /// What is wrong, with the lines that it is about.
        text: String,
    },
}

impl Process {
    /// Starts an adapter. What it leaves behind on purpose is found in the enclosure.
    pub(super) fn start(
        words: &[String],
        enclosure: Option<&Enclosure>,
    ) -> Result<Self, AdapterError> {
        let program = words.first().cloned().unwrap_or_default();
        let failed = |source| AdapterError::Start {
            program: program.clone(),
            source,
        };
        // A file, because nobody reads a pipe while the answers are waited for.
        let stderr = tempfile::tempfile().map_err(failed)?;
        let said = stderr.try_clone().map_err(failed)?;
        let (stdin, requests) = io::pipe().map_err(failed)?;
        let (answers, stdout) = io::pipe().map_err(failed)?;
        let args: Vec<OsString> = words.iter().skip(1).map(OsString::from).collect();
        let variables: Vec<(OsString, OsString)> = env::vars_os().collect();
        let start_in = |enclosure| {
            let spec = ProcessSpec {
                program: OsStr::new(&program),
                args: &args,
                env: &variables,
                leads: Leads::ProcessGroup,
                blocked: &[],
                enclosure,
            };
            let (stdin, stdout) = (stdin.try_clone(), stdout.try_clone());
            let ends = [stdin?.into(), stdout?.into(), said.try_clone()?.into()];
            Ok(process::start(&spec, ends))
        };
        let started = match start_in(enclosure).map_err(failed)? {
            Err(error) if error.is_of_enclosure() => start_in(None).map_err(failed)?,
            started => started,
        };
        // The last copies of these ends here: the adapter alone has them now.
        drop((stdin, stdout));
        let child = started.map_err(|error| failed(io::Error::other(error)))?;
        let client = Client::over(requests.into(), answers.into()).map_err(failed)?;
        Ok(Self {
            child,
            client,
            stderr,
        })
    }

    /// Closes its stdin and waits for its end; none if it does not end in time.
    pub(super) fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.client.close();
        self.ended(limit)
    }

    /// Waits for its end; none if it does not end in time.
    pub(super) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.child.wait(limit).ok().flatten()
    }

    /// How it ended and what it said last on stderr, as the end of a sentence.
    pub(super) fn last_words(&mut self) -> String {
        let how = match self.ended(Duration::from_millis(200)) {
            Some(status) => format!("it ended with {status}"),
            None => "it still runs".to_owned(),
        };
        let mut said = Vec::new();
        let read = self
            .stderr
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.stderr).take(SAID_BYTES).read_to_end(&mut said));
        let said = printable(&String::from_utf8_lossy(&said));
        match said.trim_end().lines().last() {
            Some(line) if read.is_ok() => format!("{how}; on stderr it said last `{line}`"),
            Some(_) | None => format!("{how}; it said nothing on stderr"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is asked first: only it knows what it has started.
        self.end(ENDS);
        // Fails if nobody of the group is left.
        killpg(Pid::from_raw(self.child.pid()), Signal::SIGKILL).ok();
        self.ended(ENDS);
    }
}

/// Starts an adapter, greets it, and ends it again: what it says of itself, before anything is run.
///
/// # Errors
/// It can't be started, or its answer is not that of the protocol; the text has both lines.
pub fn greet(words: &[String]) -> Result<Greeting, AdapterError> {
    let mut process = Process::start(words, None)?;
    let broke = |text: String| AdapterError::Broke { text };
    let whole = |trouble: Trouble| {
        let lines = trouble.lines();
        broke(
            lines
                .iter()
                .fold(trouble.text, |all, line| all + "\n  " + line),
        )
    };
    let asked = process.client.ask(&Request::hello(), Some(ANSWER));
    asked.map_err(|trouble| {
        let mut told = trouble.clone();
        told.text = format!("{}: {}", trouble.text, process.last_words());
        whole(told)
    })?;
    let heard = process.client.wait(ANSWER * 2).into_iter().next();
    let greeting = match heard {
        Some(Heard::Answer { asked, text, line }) => {
            let wrong = |problems: Vec<String>| {
                let what = format!("wrong answer to `hello`: {}", problems.join("; "));
                whole(Trouble::with_answer(&asked, &text, what))
            };
            match Reply::to_hello(&line.fields).map_err(wrong)? {
                Reply::Done(greeting) => greeting,
                Reply::Unsupported => {
                    return Err(wrong(vec!["every driver must support it".into()]));
                }
                Reply::Failed(why) => return Err(wrong(vec![format!("it failed: {why}")])),
            }
        }
        Some(Heard::Trouble(trouble)) => return Err(whole(trouble)),
        Some(Heard::End) | None => {
            let words = process.last_words();
            return Err(broke(format!("`hello` was not answered: {words}")));
        }
    };
    if process.end(ENDS).is_none() {
        return Err(broke(format!(
            "it did not end within {} ms after its stdin was closed",
            ENDS.as_millis()
        )));
    }
    Ok(greeting)
}
