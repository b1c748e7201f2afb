//! A plan that stands still, so that a person can look. (edge)
//!
//! The case process tells the parent where it stands and who lives, as one line on its standard output.
//! It goes on when its standard input ends, which the parent holds: so a parent that is gone holds
//! nobody.

use std::fmt;
use std::io::{self, BufRead, BufReader, PipeReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use super::kin::Part;
use super::play::Held;
use super::point::Point;
use super::stage::{Stage, Stop};
use super::words;
use crate::observe::command_line;
use crate::scenario::step_at;
use crate::standing::{LivingProcess, Standing};

/// Tells a case process where its plan is to stand still.
pub(super) const STOP_AT_VARIABLE: &str = "HARNESS_CASE_STOP_AT";

/// Milliseconds between two looks at everything while a plan stands still. What a subject waits for
/// from the suite waits as long at most.
const LOOKS_MS: u16 = 10;
/// Milliseconds between two questions whether the person wants to leave.
const ASKS_MS: u16 = 50;

/// Where a plan is to stand still, and what is done meanwhile.
#[derive(Clone, Copy)]
pub struct Hold<'a> {
    /// The point, as [`check_point`](super::check_point) knows it.
    pub what: &'a str,
    /// Told once, when the plan has come to it.
    pub tell: &'a dyn Fn(&Standing),
    /// Whether the end is asked for in another way than by standard input.
    pub is_over: &'a dyn Fn() -> bool,
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// Stands still where the plan is to, before or behind a step.
    pub(super) fn hold_at(&mut self, here: &Point) -> Result<(), Stop> {
        if self.stop_at.as_ref() != Some(here) {
            return Ok(());
        }
        let at = match here {
            Point::Before(path) => format!("before step {path}, {}", self.step_words(path)),
            Point::After(path) => format!("behind step {path}, {}", self.step_words(path)),
            Point::End => "at the end of the plan".to_owned(),
        };
        self.poll()?;
        let standing = self.standing(&at);
        let line = serde_json::to_string(&standing).map_err(io::Error::other);
        let told = line.and_then(|line| {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()
        });
        told.map_err(|error| Stop::Suite(format!("tell where the plan stands: {error}")))?;
        while !self.may_go_on() {
            match self.poll() {
                Ok(()) => {}
                // The same as the end of standard input: somebody has seen enough.
                Err(Stop::Interrupted) => break,
                Err(stop) => return Err(stop),
            }
        }
        Err(Stop::Held(at))
    }

    fn step_words(&self, path: &str) -> String {
        let step = step_at(&self.case.scenario.plan, path);
        step.map_or_else(String::new, |step| words::action(&step.action))
    }

    fn standing(&mut self, at: &str) -> Standing {
        let snapshot = self.look_at_processes();
        let process = |pid: i32, part: &str| LivingProcess {
            pid,
            part: part.to_owned(),
            command: command_line(pid),
        };
        let living = snapshot.descendants(self.me);
        let living = living.into_iter().filter(|stat| stat.lives());
        let processes = living
            .map(|stat| process(stat.pid, self.kin.part(stat.pid).map_or("", Part::as_str)))
            .collect();
        Standing {
            at: at.to_owned(),
            case: self.me,
            processes,
            waits: self.who_waits(),
        }
    }

    /// Waits a moment; says whether standard input has ended.
    fn may_go_on(&self) -> bool {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::from(LOOKS_MS)) {
            Ok(_) => fds[1].any().unwrap_or(true),
            Err(errno) => errno != Errno::EINTR,
        }
    }
}

/// The parent's side: waits until the plan stands still, tells it, and waits until somebody wants to
/// go on. Nothing is told if the plan never comes to the point: the case ended, or `limit` was over,
/// before.
pub(super) fn attend((stdin, stdout): Held, hold: &Hold<'_>, limit: Duration) -> io::Result<()> {
    let mut stdout = BufReader::new(stdout);
    if let Some(standing) = standing_of(&mut stdout, limit)? {
        (hold.tell)(&standing);
        wait_for_leave(hold, stdout.get_ref());
    }
    // Now the case process goes on.
    drop(stdin);
    Ok(())
}

/// What the case process tells; none if it ends without or takes too long.
fn standing_of(
    stdout: &mut BufReader<PipeReader>,
    limit: Duration,
) -> io::Result<Option<Standing>> {
    let started = Instant::now();
    while !has_come(stdout.get_ref().as_fd()) {
        if started.elapsed() >= limit {
            return Ok(None);
        }
    }
    // It is written at once.
    let mut line = String::new();
    if stdout.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Waits until a person or the end of standard input says so, or the case process is gone.
fn wait_for_leave(hold: &Hold<'_>, case: &PipeReader) {
    let stdin = io::stdin();
    let mut is_left = false;
    while !is_left && !(hold.is_over)() {
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(case.as_fd(), PollFlags::POLLIN),
        ];
        let [of_person, of_case] = match poll(&mut fds, PollTimeout::from(ASKS_MS)) {
            Ok(_) => fds.map(|fd| fd.any().unwrap_or(true)),
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        // It says nothing more, so it has ended.
        is_left = of_case || of_person && has_left(stdin.as_fd());
    }
}

/// Reads what is there: Enter, or the end.
fn has_left(stdin: BorrowedFd<'_>) -> bool {
    let mut bytes = [0; 512];
    match read(stdin, &mut bytes) {
        Ok(0) => true,
        Ok(count) => bytes[..count].contains(&b'\n'),
        Err(errno) => !matches!(errno, Errno::EINTR | Errno::EAGAIN),
    }
}

/// Waits a moment; says whether there is something to read, or its end.
fn has_come(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(ASKS_MS)) {
        Ok(_) => fds[0].any().unwrap_or(true),
        Err(errno) => errno != Errno::EINTR,
    }
}
