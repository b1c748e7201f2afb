//! The parent's side of a case: starts the case process, waits, cleans up. (edge)

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use executor::process::{self, Process, ProcessSpec};
use executor::{Enclosure, Leads};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::finish::remove_fifos;
use super::hold::{self, Hold, STOP_AT_VARIABLE};
use super::spawn::{end_of, outer_variables};
use crate::case::{Case, CaseDir};
use crate::observe::{Snapshot, Stat, command_line, now_us};
use crate::trace::{Entry, Event};

/// Tells the case process how many milliseconds its plan may take.
pub(super) const LIMIT_VARIABLE: &str = "HARNESS_CASE_LIMIT_MS";
/// Tells a case process which process it must not outlive.
pub(super) const PARENT_VARIABLE: &str = "HARNESS_CASE_PARENT";
/// The limit of a case that is told none.
pub(super) const DEFAULT_LIMIT: Duration = Duration::from_secs(180);
/// What a case process takes in itself, and must not end by before it does.
const OWN_SIGNALS: [i32; 4] = [
    Signal::SIGTERM as i32,
    Signal::SIGINT as i32,
    Signal::SIGHUP as i32,
    Signal::SIGUSR1 as i32,
];
/// How long a case may take beyond its limit, for its own orderly end.
const OVERTIME: Duration = Duration::from_secs(5);
/// How long the case process may take to clean up when it is told to end.
const GRACE: Duration = Duration::from_secs(3);

/// How playing a case went.
#[derive(Clone, Debug)]
pub struct Played {
    /// From start to end.
    pub took: Duration,
    /// Whether the case had to be killed because it did not end in time. The trace says so too.
    pub overran: bool,
}

/// A case could not be played.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The case's folder could not be made.
    #[error("create the case's folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the case could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The case process could not be started.
    #[error("start the case process `{program}`")]
    Start {
        /// This program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The case process could not be waited for.
    #[error("wait for the case process")]
    Wait {
        /// Why.
        source: io::Error,
    },
    /// The case process failed.
    #[error("the case process of {id} ended with {status}: {stderr}")]
    Failed {
        /// The case's id.
        id: String,
        /// Its status.
        status: ExitStatus,
        /// The end of what it printed.
        stderr: String,
    },
}

/// Plays a case in the folder `dir`, which is made if it is missing.
///
/// `limit` is for the plan; the whole case may take 5 s more and is then killed. A script whose
/// seed is 0 gets the case's. Blocks; call it from as many threads as cases shall be played at a
/// time, and keep that thread alive meanwhile: the case process ends when its parent thread does.
///
/// # Errors
/// If the case could not be played for a reason that is neither subject's. What the subjects do
/// wrong is in the trace.
pub fn play(case: &Case, dir: &CaseDir, limit: Duration) -> Result<Played, RunnerError> {
    play_until(case, dir, limit, None)
}

/// Plays a case as [`play`] does, and stands still at a point of the plan. After that the case is over;
/// the trace says where it stopped.
///
/// # Errors
/// As those of [`play`].
pub fn play_until(
    case: &Case,
    dir: &CaseDir,
    limit: Duration,
    hold: Option<&Hold<'_>>,
) -> Result<Played, RunnerError> {
    let started = Instant::now();
    let folder = |source| RunnerError::Folder {
        path: dir.path().to_owned(),
        source,
    };
    fs::create_dir_all(dir.path()).map_err(folder)?;
    let dir = CaseDir::new(dir.path().canonicalize().map_err(folder)?);
    let mut case = case.clone();
    for script in case
        .scenario
        .tasks
        .values_mut()
        .filter(|script| script.seed == 0)
    {
        script.seed = case.seed;
    }
    let text = serde_json::to_string_pretty(&case).map_err(io::Error::other);
    text.and_then(|text| fs::write(dir.case(), text))
        .map_err(|source| RunnerError::Write {
            path: dir.case(),
            source,
        })?;

    let stderr = dir.path().join("case.stderr");
    // Where none can be made, what belongs to a case is known by its session and its environment.
    let enclosure = Enclosure::make().ok();
    let (mut child, held, _ours) = start(&case, &dir, (&stderr, enclosure.as_ref()), limit, hold)?;
    let waiting = |source| RunnerError::Wait { source };
    if let (Some(hold), Some(ends)) = (hold, held) {
        hold::attend(ends, hold, limit + OVERTIME).map_err(waiting)?;
    }
    // After a stop the case only has to end, and before it no time was taken from it.
    let mut status = child.wait(limit + OVERTIME).map_err(waiting)?;
    let overran = status.is_none();
    if overran {
        // Asked first: it knows best what it has started.
        child.signal(Signal::SIGTERM as i32).map_err(waiting)?;
        status = child.wait(GRACE).map_err(waiting)?;
    }
    let unclean = status.is_none_or(|status| !status.success());
    if unclean {
        sweep(child.pid(), dir.path());
        child.signal(Signal::SIGKILL as i32).map_err(waiting)?;
        child.wait(GRACE).map_err(waiting)?;
        remove_fifos(&dir);
    }
    if let Some(text) = enclosure.as_ref().and_then(end_all_in) {
        add_to_trace(&dir, Event::SuiteError { text })?;
    }
    if overran {
        let text = format!(
            "the case did not end within {} s and was killed",
            (limit + OVERTIME).as_secs()
        );
        add_to_trace(&dir, Event::SuiteError { text })?;
    } else if let Some(status) = status.filter(|status| !status.success()) {
        return Err(RunnerError::Failed {
            id: case.scenario.id,
            status,
            stderr: end_of(&stderr),
        });
    }
    Ok(Played {
        took: started.elapsed(),
        overran,
    })
}

/// The case processes of this process that are not reaped yet.
static OURS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// One of them, until its starter has done with it.
struct Ours(i32);

impl Drop for Ours {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

fn ours() -> MutexGuard<'static, BTreeSet<i32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the case processes of this process to somebody while none is started: whoever reaps a child that is
/// none of them takes nothing from its starter.
pub(crate) fn with_case_processes<T>(look: impl FnOnce(&BTreeSet<i32>) -> T) -> T {
    look(&ours())
}

/// The ends by which a case process that stands still is spoken with: its standard input and output.
pub(super) type Held = (PipeWriter, PipeReader);

fn start(
    case: &Case,
    dir: &CaseDir,
    (stderr, enclosure): (&Path, Option<&Enclosure>),
    limit: Duration,
    hold: Option<&Hold<'_>>,
) -> Result<(Process, Option<Held>, Ours), RunnerError> {
    let stderr = File::create(stderr).map_err(|source| RunnerError::Write {
        path: stderr.to_owned(),
        source,
    })?;
    let program = case.reexec.first().cloned().unwrap_or_default();
    let failed = |source| RunnerError::Start {
        program: program.clone(),
        source,
    };
    let rest = case.reexec.iter().skip(1).map(OsString::from);
    let own = [OsString::from("__case"), dir.path().into()];
    let args: Vec<OsString> = rest.chain(own).collect();
    let mut variables = outer_variables();
    let limit = limit.as_millis().to_string();
    variables.insert(LIMIT_VARIABLE.into(), limit.into());
    variables.insert(
        PARENT_VARIABLE.into(),
        std::process::id().to_string().into(),
    );
    if let Some(hold) = hold {
        variables.insert(STOP_AT_VARIABLE.into(), hold.what.into());
    }
    let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
    let start_in = |enclosure| {
        let spec = ProcessSpec {
            program: OsStr::new(&program),
            args: &args,
            env: &variables,
            // No signal to the process group of the suite, as one from a terminal, is for it.
            leads: Leads::Session,
            blocked: &OWN_SIGNALS,
            enclosure,
        };
        let (stdin, stdout, held) = outer_ends(hold.is_some()).map_err(failed)?;
        let stderr = stderr.try_clone().map_err(failed)?;
        let started = process::start(&spec, [stdin, stdout, stderr.into()]);
        Ok(started.map(|child| (child, held)))
    };
    let mut ours = ours();
    let started = match start_in(enclosure)? {
        Err(error) if error.is_of_enclosure() => start_in(None)?,
        started => started,
    };
    let (child, held) = started.map_err(|error| failed(io::Error::other(error)))?;
    let pid = child.pid();
    ours.insert(pid);
    Ok((child, held, Ours(pid)))
}

/// Standard input and output of a case process: two pipes for one that is to stand still.
fn outer_ends(is_held: bool) -> io::Result<(OwnedFd, OwnedFd, Option<Held>)> {
    if !is_held {
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        return Ok((nothing.try_clone()?.into(), nothing.into(), None));
    }
    let ((stdin, to_case), (from_case, stdout)) = (io::pipe()?, io::pipe()?);
    Ok((stdin.into(), stdout.into(), Some((to_case, from_case))))
}

/// Ends what has outlived its case process, wherever it went; says what that was.
fn end_all_in(enclosure: &Enclosure) -> Option<String> {
    let left = enclosure.processes().map(|pids| {
        let named = pids
            .into_iter()
            .map(|pid| format!("{pid} `{}`", command_line(pid)));
        named.collect::<Vec<_>>().join(", ")
    });
    // Nobody may be listed who has not gone yet.
    let outcome = match (enclosure.kill(GRACE), left) {
        (Err(error), _) | (_, Err(error)) => format!("is not known: {error}"),
        (Ok(true), Ok(left)) if left.is_empty() => return None,
        (Ok(true), Ok(left)) => format!("was killed: {left}"),
        (Ok(false), Ok(left)) => format!("is still there though it was killed: {left}"),
    };
    Some(format!(
        "what is left of the case when its process has ended {outcome}"
    ))
}

/// Kills everything that a case process left behind which could not clean up itself, and itself.
#[expect(
    clippy::disallowed_methods,
    reason = "polls until no process of the case is left"
)]
fn sweep(session: i32, dir: &Path) {
    let started = Instant::now();
    loop {
        let snapshot = Snapshot::take();
        let living: Vec<&Stat> = snapshot
            .all()
            .filter(|stat| stat.lives() && belongs(stat, session, dir))
            .collect();
        for stat in &living {
            // It may have ended since the look.
            kill(Pid::from_raw(stat.pid), Signal::SIGKILL).ok();
        }
        if living.is_empty() || started.elapsed() > GRACE {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process of the case is in its session, or has the case's folder in its environment.
fn belongs(stat: &Stat, session: i32, dir: &Path) -> bool {
    if stat.session == session || stat.pid == session {
        return true;
    }
    let wanted = [
        b"HARNESS_TASK_DIR=",
        dir.as_os_str().as_encoded_bytes(),
        b"/",
    ]
    .concat();
    fs::read(format!("/proc/{}/environ", stat.pid)).is_ok_and(|environ| {
        environ
            .split(|&byte| byte == 0)
            .any(|entry| entry.starts_with(&wanted))
    })
}

fn add_to_trace(dir: &CaseDir, event: Event) -> Result<(), RunnerError> {
    let path = dir.trace();
    let failed = |source| RunnerError::Write {
        path: path.clone(),
        source,
    };
    // On a line of its own, whatever a killed process left of the one before.
    let torn = fs::read(&path).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    if torn {
        let text = fs::read_to_string(&path).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        fs::write(&path, &text[..whole]).map_err(failed)?;
    }
    let line = serde_json::to_string(&Entry {
        at_us: now_us(),
        event,
    })
    .map_err(io::Error::other);
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(failed)?;
    line.and_then(|line| file.write_all(format!("{line}\n").as_bytes()))
        .map_err(failed)
}
