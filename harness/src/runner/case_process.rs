//! The case process: plays one plan and leaves nothing running. (edge)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mock_driver::record::RunId;
use mock_driver::stream::Stream;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getppid, setsid};

use super::closings::Closings;
use super::hold::STOP_AT_VARIABLE;
use super::kin::Kin;
use super::limited;
use super::load::load_case;
use super::namespace;
use super::outputs::Outputs;
use super::play::{DEFAULT_LIMIT, LIMIT_VARIABLE, PARENT_VARIABLE};
use super::point::{Point, point};
use super::prepare::{Prepared, prepare};
use super::sampling::Samples;
use super::spawn::chain;
use super::stage::{Stage, Stop};
use super::stalling::Stalling;
use super::trace_file::TraceFile;
use crate::case::CaseDir;
use crate::scenario::FolderKind;
use crate::trace::Event;

/// The status when the case could not be played at all.
const SOFTWARE: u8 = 70;

/// Plays the case of a folder and records what happens there. This is the whole of a process of its
/// own; [`play`](super::play) starts it.
///
/// The status is 0 when the trace is complete, whatever it says. SIGTERM, SIGINT and SIGHUP, and the
/// end of the parent, end the case and everything that it started.
pub fn case_main(dir: &Path) -> ExitCode {
    match run(&CaseDir::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads this file; if it can't be written the status has to do.
            writeln!(io::stderr(), "harness: {error:#}").ok();
            ExitCode::from(SOFTWARE)
        }
    }
}

fn run(dir: &CaseDir) -> Result<()> {
    let began = Instant::now();
    let parent = told(PARENT_VARIABLE).map_or_else(getppid, Pid::from_raw);
    let signals = become_a_case_process().context("cannot become a case process")?;
    if getppid() != parent {
        // The parent ended before its end could be noticed: nobody waits for this case.
        return Ok(());
    }
    let case = load_case(dir).map_err(|error| anyhow::anyhow!(chain(&error)))?;
    match case.scenario.host.log_folder {
        FolderKind::Present | FolderKind::Symlink => {}
        FolderKind::Tmpfs | FolderKind::Stalling => {
            // Now: this process has one thread and no child.
            namespace::enter().map_err(|error| anyhow::anyhow!(chain(&error)))?;
            // New credentials may have cleared it, PR_SET_PDEATHSIG(2const).
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            if getppid() != parent {
                return Ok(());
            }
        }
    }
    if case.scenario.many.is_some() {
        limited::raise_limit().context("cannot raise the limit of descriptors")?;
    }
    let run: RunId = case.run.parse().context("the case has no run id")?;
    let trace = TraceFile::open(&dir.trace()).context("cannot open the trace")?;
    let stop_at = told::<String>(STOP_AT_VARIABLE);
    let stop_at = stop_at.map(|what| point(&case.scenario.plan, &what));
    let stop_at = stop_at.transpose()?;
    let mut stage = Stage {
        case,
        dir: dir.clone(),
        run,
        trace,
        me: i32::try_from(std::process::id()).context("a pid beyond the system's range")?,
        signals,
        began,
        limit: limit(),
        stop_at,
        lives: Vec::new(),
        generations: Vec::new(),
        stdio: None,
        is_killing: false,
        kin: Kin::default(),
        pipes: [None, None],
        spare: None,
        second: None,
        frozen: Vec::new(),
        samples: Samples::new(),
        closings: None,
        many: Vec::new(),
        broken: Vec::new(),
        storage: None,
        printed: Vec::new(),
        outputs: Outputs::default(),
        ended: BTreeMap::new(),
        task_seen: began,
        rendered: BTreeMap::new(),
        gates_seen: BTreeSet::new(),
    };
    let (id, run, seed) = (
        stage.case.scenario.id.clone(),
        stage.case.run.clone(),
        stage.case.seed,
    );
    stage.trace.add(Event::Begun { id, run, seed });
    let ending = whole_case(&mut stage);
    // Whoever waits for the file system could not be killed.
    stage.storage.iter().for_each(Stalling::go_on);
    let all_gone = stage.kill_all();
    stage.bound_outputs();
    stage.remove_fifos();
    if let Err(error) = namespace::keep_log_folder(dir) {
        stage.suite_error(&format!("keep what is in the log folder: {error}"));
    }
    match ending {
        Ok(()) | Err(Stop::Unmet) if all_gone => {}
        Ok(()) | Err(Stop::Unmet) => {
            stage.suite_error("processes of the case do not end when they are killed")
        }
        Err(Stop::Interrupted) => stage.suite_error("the case was interrupted"),
        Err(Stop::Held(at)) => stage.trace.add(Event::Held { at }),
        Err(Stop::Suite(text)) => stage.suite_error(&text),
    }
    stage.trace.add(Event::Ended);
    stage.trace.close().context("cannot write the trace")
}

fn whole_case(stage: &mut Stage) -> Result<(), Stop> {
    let Prepared {
        planted,
        storage,
        behind_links,
    } = prepare(&stage.case, &stage.dir).map_err(|error| Stop::Suite(chain(&error)))?;
    stage.storage = storage;
    stage.record_fifos("before");
    if stage.case.scenario.expect.opened_once {
        let paths = Stream::BOTH.map(|stream| stage.dir.fifo(stream));
        let watch = Closings::watch(paths.each_ref().map(PathBuf::as_path));
        let watch = watch.map_err(|errno| Stop::Suite(format!("watch the FIFOs: {errno}")))?;
        stage.closings = Some(watch);
    }
    let plan = stage.case.scenario.plan.clone();
    let is_complete = match stage.play(&plan, "") {
        Ok(()) => true,
        Err(Stop::Unmet) => false,
        Err(stop @ (Stop::Interrupted | Stop::Held(_) | Stop::Suite(_))) => return Err(stop),
    };
    stage.hold_at(&Point::End)?;
    stage.grant_time_to_finish(is_complete);
    let ending = stage.finish(is_complete, &planted);
    drop(behind_links);
    ending
}

impl Stage {
    pub(super) fn suite_error(&mut self, text: &str) {
        let text = text.to_owned();
        self.trace.add(Event::SuiteError { text });
    }
}

/// A session of its own, an early end with its parent, and all orphans of its children.
fn become_a_case_process() -> nix::Result<SignalFd> {
    // Blocked before anything else, so that an early signal waits instead of ending this process
    // before it could clean up.
    let wanted = SigSet::from_iter([
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ]);
    wanted.thread_block()?;
    // Blocked for ever: it asks the suite what goes on, and may be sent to a whole session.
    SigSet::from_iter([Signal::SIGUSR1]).thread_block()?;
    let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    prctl::set_child_subreaper(true)?;
    // Fails only for the leader of a process group, which then has one of its own anyway.
    setsid().ok();
    Ok(signals)
}

fn limit() -> Duration {
    told(LIMIT_VARIABLE).map_or(DEFAULT_LIMIT, Duration::from_millis)
}

/// What the parent has put into the environment.
fn told<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}
