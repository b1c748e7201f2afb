//! `harness adapter check`: talks to an adapter alone, and says of each answer whether it is right.
//! (edge)

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use executor::Enclosure;
use fifo::Reader;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::asking::{Broken, Check, Go, START, order, pause};
use super::process::{ANSWER, AdapterError, ENDS, Process};
use super::told::{Told, wanted};
use super::wire::{Detached, Greeting, Recovered, Reply, Request};
use crate::capability::Capability;
use crate::trace::Exit;

/// What a stop is given until it has to kill.
const STOP_MS: u64 = 5_000;

/// A check that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The adapter can't be started.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The suite's own folder or FIFOs can't be made.
    #[error("make a folder with two FIFOs")]
    Folder {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Answers, and ends of the process, that were looked at.
    pub looked_at: usize,
    /// How many of them were wrong.
    pub wrong: usize,
    /// Whether everything was tried.
    pub is_complete: bool,
}

/// Talks to the adapter that these words start. `tell` gets one entry for each answer, as it comes.
///
/// # Errors
/// The adapter can't be started, or the suite's own folder can't be made.
pub fn check(
    words: &[String],
    random: &str,
    tell: &mut dyn FnMut(&str),
) -> Result<Checked, CheckError> {
    let place = Place::make().map_err(|source| CheckError::Folder { source })?;
    let mut check = Check {
        process: Process::start(words, place.enclosure.as_ref())?,
        words,
        place,
        told: Told::new(tell),
        arrived: BTreeMap::new(),
        began: 0,
    };
    let is_complete = check.all(random)?.is_ok();
    if !is_complete {
        check.told.note("the rest was not tried");
    }
    Ok(Checked {
        looked_at: check.told.looked_at,
        wrong: check.told.wrong,
        is_complete,
    })
}

/// A folder with two FIFOs that are read. Tasks that are left when it is dropped are killed: after a
/// `detach` that led to nothing they are nobody's.
pub(super) struct Place {
    folder: TempDir,
    fifos: [PathBuf; 2],
    _readers: [Reader; 2],
    /// What adapters are started in, where one can be made.
    enclosure: Option<Enclosure>,
}

impl Place {
    fn make() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let folder = tempfile::tempdir()?;
        let fifos = ["stdout", "stderr"].map(|name| folder.path().join(format!("{name}.fifo")));
        for path in &fifos {
            fifo::create(path, 0o600)?;
        }
        let readers = [Reader::open(&fifos[0])?, Reader::open(&fifos[1])?];
        Ok(Self {
            folder,
            fifos,
            _readers: readers,
            enclosure: Enclosure::make().ok(),
        })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn was_given_to(&self, pid: i32) -> bool {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let wanted = format!("HARNESS_TASK_DIR={}", self.folder.path().display());
        environ
            .split(|byte| *byte == 0)
            .any(|one| one == wanted.as_bytes())
    }

    /// The request that starts a task.
    pub(super) fn start(&self, id: &str, argv: &[&str]) -> Request {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Request::Start {
            id: id.to_owned(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::from([("HARNESS_TASK_DIR".to_owned(), text(self.folder.path()))]),
            user: None,
            stdout: text(&self.fifos[0]),
            stderr: text(&self.fifos[1]),
            task_dir: text(self.folder.path()),
            log_dir: text(self.folder.path()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(enclosure) = &self.enclosure {
            enclosure.kill(ENDS).ok();
        }
        // Without one: those that have said which they are.
        let entries = fs::read_dir(self.folder.path()).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        for path in paths.filter(|path| path.extension().is_some_and(|end| end == "pid")) {
            let text = fs::read_to_string(path).unwrap_or_default();
            // The number comes from a file: only a process that was given this folder is killed.
            if let Ok(pid) = text.trim().parse()
                && self.was_given_to(pid)
            {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
    }
}

impl Check<'_, '_> {
    fn all(&mut self, random: &str) -> Result<Go<()>, AdapterError> {
        let greeting = match self.greeting().and_then(|greeting| {
            self.unknown(random)?;
            self.exits_42()?;
            self.absent()?;
            Ok(greeting)
        }) {
            Ok(greeting) => greeting,
            Err(Broken) => return Ok(Err(Broken)),
        };
        let declares = |one: Capability| {
            greeting
                .capabilities
                .iter()
                .any(|name| name == one.as_str())
        };
        if declares(Capability::Signals) {
            if self.stop().and_then(|()| self.signal()).is_err() {
                return Ok(Err(Broken));
            }
        } else {
            self.told
                .note("stop and signal: not tried, `signals` is not declared");
        }
        if self.out_of_order().is_err() {
            return Ok(Err(Broken));
        }
        if !declares(Capability::Recover) {
            self.told
                .note("detach and recover: not tried, `recover` is not declared");
        } else if let Err(Broken) = self.detach_and_recover()? {
            return Ok(Err(Broken));
        }
        Ok(self.closes())
    }

    fn greeting(&mut self) -> Go<Greeting> {
        let said = self.say(
            "hello",
            &Request::hello(),
            ANSWER,
            Reply::to_hello,
            |reply| {
                wanted(reply, |greeting| {
                    let all = greeting.capabilities.join(", ");
                    let what = if all.is_empty() {
                        "nothing"
                    } else {
                        all.as_str()
                    };
                    Ok(format!(
                        "{} {} declares {what}",
                        greeting.driver, greeting.version
                    ))
                })
            },
        )?;
        match said {
            Some(Reply::Done(greeting)) => Ok(greeting),
            // Without a greeting nothing is known to be declared.
            Some(Reply::Unsupported | Reply::Failed(_)) | None => Err(Broken),
        }
    }

    fn unknown(&mut self, random: &str) -> Go<()> {
        let request = Request::Other {
            op: format!("x-{random}"),
        };
        let what = "an operation that nobody knows";
        self.say(
            what,
            &request,
            ANSWER,
            Reply::to_order,
            |reply| match reply {
                Reply::Unsupported => Ok("unsupported".into()),
                Reply::Done(()) | Reply::Failed(_) => {
                    Err("`unsupported` true, and nothing else".into())
                }
            },
        )?;
        Ok(())
    }

    fn exits_42(&mut self) -> Go<()> {
        if self
            .start("a task that exits 42", &["sh", "-c", "exit 42"])?
            .is_none()
        {
            return Ok(());
        }
        let wait = self.wait_for("wait of it", |exit| exit == Exit::Code(42), "`exit` 42")?;
        self.hear(wait)?;
        self.destroy("destroy it")?;
        let id = self.id();
        let what = "wait of what was destroyed";
        self.say(
            what,
            &Request::Wait { id },
            ANSWER,
            Reply::to_wait,
            |reply| match reply {
                Reply::Failed(why) => Ok(format!("error: {why}")),
                Reply::Done(_) | Reply::Unsupported => {
                    Err("`error` with the reason: there is no such task".into())
                }
            },
        )?;
        Ok(())
    }

    fn absent(&mut self) -> Go<()> {
        let request = self.next_start(&["/nonexistent/harness-check-no-such-program"]);
        let what = "start of a program that does not exist";
        let reply = self.say(
            what,
            &request,
            START,
            Reply::to_start,
            |reply| match reply {
                Reply::Failed(why) => Ok(format!("error: {why}")),
                Reply::Done(_) => Ok("started; then `wait` must tell a failure".into()),
                Reply::Unsupported => Err("`handle`, or `error` with the reason".into()),
            },
        )?;
        if let Some(Reply::Done(_)) = reply {
            let failed = |exit| exit != Exit::Code(0);
            let wait = self.wait_for(
                "wait of it",
                failed,
                "an `exit` that is not 0, 127 is usual",
            )?;
            self.hear(wait)?;
            self.destroy("destroy it")?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Go<()> {
        if self.start_running("a task for stop")?.is_none() {
            return Ok(());
        }
        let ended = |exit: Exit| [128 + 15, 128 + 9].contains(&exit.as_status());
        let wait = self.wait_for(
            "wait of what was stopped",
            ended,
            "`signal` 15, or `exit` 143",
        )?;
        let request = Request::Stop {
            id: self.id(),
            signal: "SIGTERM".into(),
            timeout_ms: STOP_MS,
        };
        let limit = Duration::from_millis(STOP_MS) + ANSWER;
        self.order("stop", &request, limit)?;
        let lives = self.task_lives();
        self.told.fact(
            "the task has ended when stop is answered",
            (!lives)
                .then_some("it has")
                .ok_or("an answer only when the task has ended, killed if need be"),
        );
        self.hear(wait)?;
        self.destroy("destroy it")
    }

    fn signal(&mut self) -> Go<()> {
        if self.start_running("a task for signal")?.is_none() {
            return Ok(());
        }
        let request = Request::Signal {
            id: self.id(),
            signal: "SIGKILL".into(),
        };
        self.order("signal SIGKILL", &request, ANSWER)?;
        let killed = |exit: Exit| exit.as_status() == 128 + 9;
        let wait = self.wait_for(
            "wait of what was killed",
            killed,
            "`signal` 9, or `exit` 137",
        )?;
        self.hear(wait)?;
        self.destroy("destroy it")
    }

    fn out_of_order(&mut self) -> Go<()> {
        let mut waits = Vec::new();
        for name in ["the first of two tasks", "the second of two tasks"] {
            if self.start_gated(name)?.is_none() {
                return Ok(());
            }
            let what = format!("wait of {name}");
            let wait = self.wait_for(&what, |exit| exit == Exit::Code(7), "`exit` 7")?;
            waits.push((self.id(), wait));
        }
        // The second ends first, while the wait of the first is still open.
        for (id, wait) in waits.into_iter().rev() {
            self.open(&id);
            self.hear(wait)?;
            self.say(
                "destroy it",
                &Request::Destroy { id },
                ANSWER,
                Reply::to_order,
                order,
            )?;
        }
        Ok(())
    }

    fn detach_and_recover(&mut self) -> Result<Go<()>, AdapterError> {
        match self.detach() {
            Ok(Some(handles)) => self.recover(handles),
            Ok(None) => Ok(Ok(())),
            Err(Broken) => Ok(Err(Broken)),
        }
    }

    fn detach(&mut self) -> Go<Option<Detached>> {
        if self.start_gated("a task for detach")?.is_none() {
            return Ok(None);
        }
        let id = self.id();
        let reply = self.say(
            "detach",
            &Request::Detach {},
            ANSWER,
            Reply::to_detach,
            |reply| {
                wanted(reply, |detached| {
                    let ids: Vec<&str> =
                        detached.handles.iter().map(|one| one.id.as_str()).collect();
                    if ids == [id.as_str()] {
                        Ok(format!("{} handle", ids.len()))
                    } else {
                        Err(format!("`handles` with one entry of `id` {id:?}"))
                    }
                })
            },
        )?;
        let status = self.process.ended(ENDS);
        self.told.fact(
            "its process ends after detach",
            match status {
                Some(status) if status.success() => Ok("it exited 0"),
                Some(_) => Err("exit code 0"),
                None => Err("an end within 2 s"),
            },
        );
        let lives = self.task_lives();
        self.told.fact(
            "the task lives on without it",
            lives
                .then_some("it does")
                .ok_or("a task that is not touched"),
        );
        match reply {
            Some(Reply::Done(detached)) if status.is_some() && lives => Ok(Some(detached)),
            Some(_) | None => Err(Broken),
        }
    }

    fn recover(&mut self, detached: Detached) -> Result<Go<()>, AdapterError> {
        self.process = Process::start(self.words, self.place.enclosure.as_ref())?;
        Ok(self.recovered(detached))
    }

    fn recovered(&mut self, detached: Detached) -> Go<()> {
        self.greeting()?;
        let id = self.id();
        let handles = detached.handles;
        let read = |fields: &_| Reply::to_recover(fields, &[id.as_str()]);
        let request = Request::Recover { handles };
        let reply = self.say("recover", &request, START, read, |reply| {
            wanted(reply, |recovered: &Recovered| {
                match recovered.lost.first() {
                    None => Ok("taken over".into()),
                    Some(lost) => Err(format!("`ok` with {:?}, for the task lives", lost.id)),
                }
            })
        })?;
        if !matches!(reply, Some(Reply::Done(Recovered { ref lost, .. })) if lost.is_empty()) {
            return Ok(());
        }
        let wait = self.wait_for(
            "wait of what was recovered",
            |exit| exit == Exit::Code(7),
            "`exit` 7",
        )?;
        self.open(&id);
        self.hear(wait)?;
        self.destroy("destroy it")
    }

    /// A closed stdin ends the adapter and its tasks.
    fn closes(&mut self) -> Go<()> {
        if self.start_running("a task when stdin is closed")?.is_none() {
            return Ok(());
        }
        let is_gone = self.process.end(ENDS).is_some();
        self.told.fact(
            "its process ends when its stdin is closed",
            match is_gone {
                true => Ok("it has"),
                false => Err("an end within 2 s"),
            },
        );
        let until = Instant::now() + ENDS;
        let mut lives = self.task_lives();
        while lives && Instant::now() < until {
            // Nothing comes any more: this only lets time pass.
            self.process.client.wait(Duration::from_millis(5));
            pause();
            lives = self.task_lives();
        }
        self.told.fact(
            "its tasks end with it",
            (!lives)
                .then_some("they do")
                .ok_or("an end of every task, for nobody detached"),
        );
        Ok(())
    }
}
