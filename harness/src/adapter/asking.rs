//! Asks an adapter, hears its answers and tells of them: what every step of a check is made of.
//! (edge)

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::check::Place;
use super::client::{Asked, Heard, Trouble};
use super::process::{ANSWER, Process};
use super::told::{Told, wanted};
use super::wire::{Line, Reply, Request, Started};
use crate::trace::Exit;

/// How long a start may take.
pub(super) const START: Duration = Duration::from_secs(10);
/// How long a task that is to end may take, and the answer that tells so.
pub(super) const TASK_ENDS: Duration = Duration::from_secs(5);
/// Waits until a file is there, and exits 7. Its number is in another file.
const UNTIL_OPEN: &str = "echo $$ >\"$1\"; until [ -e \"$2\" ]; do sleep 0.02; done; exit 7";
/// Runs until it is killed.
const FOR_EVER: &str = "echo $$ >\"$1\"; exec sleep 1000";

/// The files of a task's script. The folder is the driver's too, which may name its own after the task's id.
fn pid_file(id: &str) -> String {
    format!("script-of-{id}.pid")
}

fn gate_file(id: &str) -> String {
    format!("script-of-{id}.open")
}

/// Nothing more can be asked; what is wrong has been told.
pub(super) struct Broken;

pub(super) type Go<T> = Result<T, Broken>;
type Answer = (Asked, String, Line);

/// A check that is being made.
pub(super) struct Check<'a, 'b> {
    pub(super) process: Process,
    pub(super) words: &'a [String],
    pub(super) place: Place,
    pub(super) told: Told<'b>,
    /// Answers that came before they were asked after.
    pub(super) arrived: BTreeMap<u64, Answer>,
    pub(super) began: u32,
}

impl Check<'_, '_> {
    /// The id of the task that was started last.
    pub(super) fn id(&self) -> String {
        format!("check-{}", self.began)
    }

    pub(super) fn next_start(&mut self, argv: &[&str]) -> Request {
        self.began += 1;
        self.place.start(&self.id(), argv)
    }

    pub(super) fn start(&mut self, what: &str, argv: &[&str]) -> Go<Option<Started>> {
        let request = self.next_start(argv);
        let what = format!("start {what}");
        let reply = self.say(&what, &request, START, Reply::to_start, |reply| {
            wanted(reply, |_| Ok("started".into()))
        })?;
        Ok(match reply {
            Some(Reply::Done(started)) => Some(started),
            Some(Reply::Unsupported | Reply::Failed(_)) | None => None,
        })
    }

    /// Starts a script that tells its number first, and waits until it has.
    pub(super) fn start_script(&mut self, what: &str, script: &str) -> Go<Option<()>> {
        let id = format!("check-{}", self.began + 1);
        let [pid, gate] = [pid_file(&id), gate_file(&id)].map(|name| self.place.file(&name));
        let (pid, gate) = (pid.to_string_lossy(), gate.to_string_lossy());
        let Some(started) = self.start(what, &["sh", "-c", script, "sh", &pid, &gate])? else {
            return Ok(None);
        };
        let until = Instant::now() + START;
        let runs = loop {
            let runs = self.task_pid();
            if runs.is_some() || Instant::now() >= until {
                break runs;
            }
            pause();
        };
        let said = match (runs, started.pid) {
            (None, _) => Err("the command of `argv` to be run"),
            (Some(own), Some(told)) if own != told => {
                Err("`pid` to be the number of the task itself, or null")
            }
            (Some(_), _) => Ok("it does"),
        };
        self.told.fact(&format!("{what} runs"), said);
        Ok(runs.map(|_| ()))
    }

    pub(super) fn start_running(&mut self, what: &str) -> Go<Option<()>> {
        self.start_script(what, FOR_EVER)
    }

    pub(super) fn start_gated(&mut self, what: &str) -> Go<Option<()>> {
        self.start_script(what, UNTIL_OPEN)
    }

    pub(super) fn open(&mut self, id: &str) {
        // Without the file the wait is late, which is told.
        File::create(self.place.file(&gate_file(id))).ok();
    }

    pub(super) fn task_pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.place.file(&pid_file(&self.id()))).ok()?;
        text.ends_with('\n')
            .then(|| text.trim().parse().ok())
            .flatten()
    }

    pub(super) fn task_lives(&self) -> bool {
        self.task_pid().is_some_and(crate::observe::lives)
    }

    pub(super) fn destroy(&mut self, what: &str) -> Go<()> {
        let id = self.id();
        self.order(what, &Request::Destroy { id }, ANSWER)
    }

    pub(super) fn order(&mut self, what: &str, request: &Request, limit: Duration) -> Go<()> {
        self.say(what, request, limit, Reply::to_order, order)
            .map(|_| ())
    }

    /// Asks, waits for the answer and tells of it; none if it is not that of the protocol.
    pub(super) fn say<T>(
        &mut self,
        what: &str,
        request: &Request,
        limit: Duration,
        read: impl Fn(&Map<String, Value>) -> Result<Reply<T>, Vec<String>>,
        judge: impl Fn(&Reply<T>) -> Result<String, String>,
    ) -> Go<Option<Reply<T>>> {
        let seq = self.ask(what, request, Some(limit))?;
        let (asked, text, line) = self.answer(what, seq)?;
        match read(&line.fields) {
            Err(problems) => {
                let trouble = Trouble::with_answer(&asked, &text, String::new());
                self.told.wrong(what, &trouble, &problems);
                Ok(None)
            }
            Ok(reply) => {
                match judge(&reply) {
                    Ok(said) => self.told.right(what, &said),
                    Err(wants) => {
                        let trouble = Trouble::with_answer(&asked, &text, String::new());
                        self.told
                            .wrong(what, &trouble, &[format!("wanted is {wants}")]);
                    }
                }
                Ok(Some(reply))
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        what: &str,
        request: &Request,
        limit: Option<Duration>,
    ) -> Go<u64> {
        match self.process.client.ask(request, limit) {
            Ok(seq) => Ok(seq),
            Err(trouble) => Err(self.broken(what, &trouble)),
        }
    }

    /// Asks for the end of the task that was started last; the answer is heard later.
    pub(super) fn wait_for(
        &mut self,
        what: &str,
        is_right: fn(Exit) -> bool,
        wants: &'static str,
    ) -> Go<OpenWait> {
        let id = self.id();
        let seq = self.ask(what, &Request::Wait { id }, None)?;
        Ok(OpenWait {
            what: what.to_owned(),
            seq,
            is_right,
            wants,
        })
    }

    pub(super) fn hear(&mut self, wait: OpenWait) -> Go<()> {
        let OpenWait {
            what,
            seq,
            is_right,
            wants,
        } = wait;
        let (asked, text, line) = self.answer(&what, seq)?;
        let problems = match Reply::to_wait(&line.fields) {
            Err(problems) => problems,
            Ok(Reply::Done(exit)) if is_right(exit) => {
                self.told.right(
                    &what,
                    &match exit {
                        Exit::Code(code) => format!("exit {code}"),
                        Exit::Signal(signal) => format!("signal {signal}"),
                    },
                );
                return Ok(());
            }
            Ok(Reply::Done(_) | Reply::Unsupported | Reply::Failed(_)) => {
                vec![format!("wanted is {wants}")]
            }
        };
        let trouble = Trouble::with_answer(&asked, &text, String::new());
        self.told.wrong(&what, &trouble, &problems);
        Ok(())
    }

    pub(super) fn answer(&mut self, what: &str, seq: u64) -> Go<Answer> {
        let until = Instant::now() + START + TASK_ENDS;
        loop {
            if let Some(answer) = self.arrived.remove(&seq) {
                return Ok(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let trouble = Trouble {
                    op: None,
                    is_late: true,
                    text: "the answer did not come in time".into(),
                    request: self.process.client.line_of(seq),
                    answer: None,
                };
                return Err(self.broken(what, &trouble));
            }
            let mut has_ended = false;
            for heard in self.process.client.wait(left.min(TASK_ENDS)) {
                match heard {
                    Heard::Answer { asked, text, line } => {
                        self.arrived.insert(line.seq, (asked, text, line));
                    }
                    Heard::Trouble(trouble) => return Err(self.broken(what, &trouble)),
                    Heard::End => has_ended = true,
                }
            }
            // The last answer may come with the end.
            if has_ended && !self.arrived.contains_key(&seq) {
                let trouble = Trouble {
                    op: None,
                    is_late: false,
                    text: format!("no answer came: {}", self.process.last_words()),
                    request: self.process.client.line_of(seq),
                    answer: None,
                };
                return Err(self.broken(what, &trouble));
            }
        }
    }

    pub(super) fn broken(&mut self, what: &str, trouble: &Trouble) -> Broken {
        self.told
            .wrong(what, trouble, std::slice::from_ref(&trouble.text));
        Broken
    }
}

/// A wait whose answer is still to come.
pub(super) struct OpenWait {
    what: String,
    seq: u64,
    is_right: fn(Exit) -> bool,
    wants: &'static str,
}

/// Judges an order: it is done, and there is nothing to say.
pub(super) fn order(reply: &Reply<()>) -> Result<String, String> {
    wanted(reply, |()| Ok("done".into()))
}

#[expect(clippy::disallowed_methods, reason = "polls for a file or a process")]
/// Lets a moment pass.
pub(super) fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
