//! One program that is no task (edge).
//!
//! It begins as the main process of a task does: it ignores no signal and blocks none unasked, whatever the process that
//! starts it does, and has no descriptor but stdin, stdout and stderr. Where those lead, who waits for it and who ends it is for the caller
//! to see to. That is for a program that has many of them, and a way of its own to look after them; a
//! [`StandardExecutor`](crate::StandardExecutor) looks after a task.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::process::{Signal, WaitOptions, waitpid};

use crate::containment::ContainError;
use crate::enclosure::Enclosure;
use crate::processes::signal;
use crate::program::{self, ProgramError};
use crate::signal_state::Mask;
use crate::spawn::{Birth, ChildEnds, Leads, Newborn, SpawnError, Stage, spawn};
use crate::waiting::{Deadline, poll_until};

/// Where a program is looked for if nothing says where, execvp(3).
const FOLDERS: &str = "/bin:/usr/bin";

/// What is started.
#[derive(Debug, Clone, Copy)]
pub struct ProcessSpec<'a> {
    /// A path, relative to where this process is; or a name without a slash, which is looked for in the folders of
    /// `PATH`, a variable of this process. The program is told it as its own name.
    pub program: &'a OsStr,
    /// What stands behind the name.
    pub args: &'a [OsString],
    /// All variables that it has, by name and value.
    pub env: &'a [(OsString, OsString)],
    /// What it is the leader of.
    pub leads: Leads,
    /// The numbers of the signals that it begins with blocked, for a program that takes them in itself.
    pub blocked: &'a [i32],
    /// What it is started in; none: the control group of this process.
    pub enclosure: Option<&'a Enclosure>,
}

/// Why a program was not started. No process is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is none of that name.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The enclosure can't be entered.
    #[error(transparent)]
    Enclosure(#[from] ContainError),
    /// The new process could not become the program.
    #[error("it can't {stage}")]
    Start {
        /// The step that failed.
        stage: Stage,
        /// The error of the system call.
        source: io::Error,
    },
}

/// A process that was started, a child of this one. Dropping it neither ends it nor waits for it.
#[derive(Debug)]
pub struct Process {
    newborn: Newborn,
    status: Option<ExitStatus>,
}

/// Starts a program with these as its stdin, stdout and stderr, which are closed here by then. It costs no thread, and
/// the calling one stands still until the new process is the program.
///
/// # Errors
/// [`StartError`].
pub fn start(
    spec: &ProcessSpec<'_>,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> Result<Process, StartError> {
    let program = found(spec.program)?;
    let entrances = spec
        .enclosure
        .map(|enclosure| enclosure.entrance())
        .transpose()?;
    let birth = Birth {
        program: &program,
        name: Some(spec.program),
        args: spec.args,
        env: spec.env,
        cwd: None,
        leads: spec.leads,
        blocked: Mask::of(spec.blocked),
        credentials: None,
        oom_score_adj: None,
        entrances: entrances.into_iter().collect(),
    };
    let ends = ChildEnds {
        stdin: Some(stdin),
        ..ChildEnds::of_output(stdout, stderr)
    };
    let newborn = spawn(birth, ends)
        .map_err(|SpawnError { stage, source }| StartError::Start { stage, source })?;
    Ok(Process {
        newborn,
        status: None,
    })
}

impl StartError {
    /// True if it was the enclosure that could not be entered: that it could be made says nothing about that.
    #[must_use]
    pub fn is_of_enclosure(&self) -> bool {
        match self {
            StartError::Enclosure(_) => true,
            StartError::Start { stage, .. } => *stage == Stage::Cgroup,
            StartError::Program(_) => false,
        }
    }
}

impl Process {
    /// Its pid. It is nobody else's until somebody has waited for the process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.newborn.pid.as_raw_nonzero().get()
    }

    /// Waits until it has ended, and takes its status from the kernel; none if it still runs after `limit`. The status is
    /// kept, and given again.
    ///
    /// # Errors
    /// The error of `poll(2)` or `waitpid(2)`: somebody else has waited for this process.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        let pidfd = self.newborn.pidfd.as_fd();
        let has_ended = poll_until(&[(pidfd, PollFlags::IN)], Deadline::after(limit))?[0];
        if has_ended {
            // It has its number until this call.
            let told = waitpid(Some(self.newborn.pid), WaitOptions::NOHANG)?;
            self.status = told.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
        }
        Ok(self.status)
    }

    /// Sends it a signal, by its number; says whether it was there to get it. A zombie is.
    ///
    /// # Errors
    /// There is no such signal, or the error of `pidfd_send_signal(2)`.
    pub fn signal(&self, number: i32) -> io::Result<bool> {
        let named = Signal::from_named_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
        signal(&self.newborn.pidfd, named)
    }
}

fn found(program: &OsStr) -> Result<PathBuf, ProgramError> {
    let path = Path::new(program);
    if program.as_bytes().contains(&b'/') {
        return Ok(path.to_owned());
    }
    let folders = env::var_os("PATH").unwrap_or_else(|| FOLDERS.into());
    program::find(path, None, Some(&from_here(folders)), None)
}

/// The folders of a `PATH`, each as it is found from anywhere. An empty one is where this process is, execvp(3).
fn from_here(folders: OsString) -> OsString {
    let absolute = env::split_paths(&folders).filter_map(|folder| {
        let here = folder.as_os_str().is_empty();
        let folder = if here { PathBuf::from(".") } else { folder };
        std::path::absolute(folder).ok()
    });
    // A folder whose path has a colon in it can't stand there.
    env::join_paths(absolute).unwrap_or(folders)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::getpgid;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    fn spec<'a>(program: &'a str, args: &'a [OsString]) -> ProcessSpec<'a> {
        ProcessSpec {
            program: OsStr::new(program),
            args,
            env: &[],
            leads: Leads::ProcessGroup,
            blocked: &[],
            enclosure: None,
        }
    }

    /// What it writes to stdout, and how it ends.
    fn run(spec: &ProcessSpec<'_>) -> (String, ExitStatus) {
        let (mut output, stdout) = io::pipe().unwrap();
        let mut process = start(spec, [null(), stdout.into(), null()]).unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        let status = process.wait(LONG).unwrap().unwrap();
        assert_eq!(process.wait(LONG).unwrap(), Some(status), "it is kept");
        (text, status)
    }

    fn words<const N: usize>(words: [&str; N]) -> [OsString; N] {
        words.map(OsString::from)
    }

    #[test]
    fn a_program_is_told_its_name_its_arguments_and_its_variables_and_nothing_else() {
        let script = "echo $0 $1; tr '\\0' ' ' </proc/self/environ; exit 7";
        let args = words(["-c", script, "me", "one"]);
        let env = [("A".into(), "b".into())];
        let (text, status) = run(&ProcessSpec {
            env: &env,
            ..spec("sh", &args)
        });
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("me one"));
        // The shell adds variables of its own.
        let variables: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        assert!(variables.contains(&"A=b"), "{variables:?}");
        assert!(
            !variables.iter().any(|one| one.starts_with("HOME=")),
            "{variables:?}"
        );
        assert_eq!(status.code(), Some(7));
        let args = words(["-c", "tr '\\0' ' ' </proc/$$/cmdline; exit"]);
        assert!(run(&spec("sh", &args)).0.starts_with("sh -c "));
    }

    #[test]
    fn a_process_leads_what_it_is_to_lead() {
        let args = words(["10000"]);
        let own = getpgid(None).unwrap();
        for leads in [Leads::ProcessGroup, Leads::Session] {
            let spec = ProcessSpec {
                leads,
                ..spec("sleep", &args)
            };
            let mut process = start(&spec, [null(), null(), null()]).unwrap();
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
            let fields: Vec<i32> = stat[stat.rfind(')').unwrap() + 3..]
                .split(' ')
                .skip(2)
                .take(2)
                .map(|field| field.parse().unwrap())
                .collect();
            assert_eq!(fields[0], process.pid());
            assert_ne!(fields[0], own.as_raw_nonzero().get());
            assert_eq!(fields[1] == process.pid(), leads == Leads::Session);
            assert_eq!(process.wait(Duration::ZERO).unwrap(), None);
            assert!(process.signal(9).unwrap());
            assert_eq!(process.wait(LONG).unwrap().unwrap().signal(), Some(9));
        }
    }

    #[test]
    fn a_process_begins_with_those_signals_blocked_that_it_is_to_and_no_others() {
        let args = words(["SigBlk", "/proc/self/status"]);
        let blocked = |numbers| {
            run(&ProcessSpec {
                blocked: numbers,
                ..spec("grep", &args)
            })
            .0
        };
        assert_eq!(blocked(&[]), "SigBlk:\t0000000000000000\n");
        assert_eq!(blocked(&[1, 10, 64]), "SigBlk:\t8000000000000201\n");
        assert_eq!(blocked(&[0, 65, -1]), "SigBlk:\t0000000000000000\n");
    }

    #[test]
    fn what_can_t_be_started_says_why() {
        let why = |program: &str| {
            let error = start(&spec(program, &[]), [null(), null(), null()]).unwrap_err();
            crate::error::chain(&error)
        };
        assert!(
            why("no-such-program-anywhere")
                .starts_with("there is no program no-such-program-anywhere; looked for it at /"),
        );
        assert_eq!(
            why("/no/such/program"),
            "it can't become the program: No such file or directory (os error 2)"
        );
        assert_eq!(
            why("/dev/null"),
            "it can't become the program: Permission denied (os error 13)"
        );
    }

    #[test]
    fn a_script_without_a_first_line_is_the_shell_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        // Written by another process: while a third one is made this one may hold it open for writing.
        let text = words(["-c", "printf 'echo $0 $1' >\"$0\""]);
        let written = std::process::Command::new("sh")
            .args(&text)
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let args = words(["one"]);
        let name = path.to_str().unwrap();
        assert_eq!(run(&spec(name, &args)).0, format!("{name} one\n"));
    }

    #[test]
    fn the_folders_of_a_path_are_found_from_anywhere() {
        let here = env::current_dir().unwrap();
        let here = here.display();
        assert_eq!(
            from_here("/bin::sub:/usr/bin".into()),
            OsString::from(format!("/bin:{here}:{here}/sub:/usr/bin"))
        );
    }
}
