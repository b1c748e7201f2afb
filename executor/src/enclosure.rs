//! A control group around processes that are no task (edge).
//!
//! Whatever a process in it starts is in it, wherever that goes: a new session, another parent, another environment. So what
//! is left of such a process can be found, and ended, when the process itself is gone. A process may make groups of its own
//! below; they are part of it.

use std::io;
use std::time::Duration;

use crate::cgroup::{CgroupParent, Entrance, Group};
use crate::containment::{ContainError, Containment, remove_left};
use crate::waiting::Deadline;

/// One group. When it is dropped nobody is killed, and it is removed if it is empty.
#[derive(Debug)]
pub struct Enclosure(Group);

impl Enclosure {
    /// Makes one in the control group of this process: of version 2, or of version 1 with the freezer.
    ///
    /// # Errors
    /// [`ContainError::NoCgroup`]: no hierarchy of control groups is mounted, or this user may make none there.
    /// [`ContainError::Read`]: what is mounted can't be found out.
    pub fn make() -> Result<Enclosure, ContainError> {
        Containment::group_alone().map(Enclosure)
    }

    /// Removes the empty ones that are left in the control group of this process by processes that were killed.
    pub fn remove_left() {
        remove_left(&CgroupParent::Own);
    }

    pub(crate) fn entrance(&self) -> Result<Entrance, ContainError> {
        Ok(self.0.entrance()?)
    }

    /// The pids of the processes in it, in no order. Zombies are none. One may have ended since.
    ///
    /// # Errors
    /// The list of the group can't be read.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        self.0.pids()
    }

    /// Kills whatever is in it, and waits until nobody is; says whether that came within `limit`.
    ///
    /// # Errors
    /// A file of the group can't be read or written.
    pub fn kill(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Deadline::after(limit);
        self.0.kill()?;
        // What is frozen by somebody dies once it thaws.
        self.0.thaw()?;
        self.0.await_empty(deadline)
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        // Who is still in it keeps it; the next one that looks for left ones removes it.
        drop(self.0.remove_if_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::process::{Process, ProcessSpec, start};
    use crate::spawn::Leads;

    const LONG: Duration = Duration::from_secs(60);

    /// None, with a word, where none can be made.
    #[expect(
        clippy::print_stderr,
        reason = "whoever runs the tests is told what was left out"
    )]
    fn enclosure(test: &str) -> Option<Enclosure> {
        match Enclosure::make() {
            Ok(enclosure) => Some(enclosure),
            Err(error) => {
                eprintln!("skipped: {test}: {}", crate::error::chain(&error));
                None
            }
        }
    }

    /// Runs a shell script in it up to its first line of output.
    fn shell(enclosure: &Enclosure, script: &str) -> Process {
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let (mut output, stdout) = io::pipe().unwrap();
        let args = ["-c", script].map(OsString::from);
        let env = [("PATH".into(), std::env::var_os("PATH").unwrap())];
        let spec = ProcessSpec {
            program: OsStr::new("sh"),
            args: &args,
            env: &env,
            leads: Leads::ProcessGroup,
            blocked: &[],
            enclosure: Some(enclosure),
        };
        let process = start(&spec, [null(), stdout.into(), null()]).unwrap();
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        process
    }

    #[test]
    fn what_left_its_session_its_parent_and_its_environment_is_found_and_killed() {
        let Some(enclosure) =
            enclosure("what_left_its_session_its_parent_and_its_environment_is_found_and_killed")
        else {
            return;
        };
        assert_eq!(enclosure.processes().unwrap(), [0; 0]);
        let script = "env -i setsid sh -c 'echo $$; exec sleep 10000' & wait";
        let mut shell = shell(&enclosure, script);
        assert!(shell.signal(9).unwrap());
        assert_eq!(shell.wait(LONG).unwrap().unwrap().signal(), Some(9));
        assert_eq!(enclosure.processes().unwrap().len(), 1);
        assert!(enclosure.kill(LONG).unwrap());
        assert_eq!(enclosure.processes().unwrap(), [0; 0]);
        let path = enclosure.0.path().to_owned();
        drop(enclosure);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_is_dropped_kills_nobody() {
        let Some(enclosure) = enclosure("one_that_is_dropped_kills_nobody") else {
            return;
        };
        let mut shell = shell(&enclosure, "echo $$; exec sleep 10000");
        let path = enclosure.0.path().to_owned();
        drop(enclosure);
        assert_eq!(shell.wait(Duration::ZERO).unwrap(), None);
        assert!(path.exists());
        assert!(shell.signal(9).unwrap());
        shell.wait(LONG).unwrap().unwrap();
        std::fs::remove_dir(path).unwrap();
    }

    #[test]
    fn groups_below_it_are_part_of_it() {
        let Some(enclosure) = enclosure("groups_below_it_are_part_of_it") else {
            return;
        };
        let below = enclosure.0.path().join("below");
        let script = format!(
            "mkdir {below} && echo 0 >{below}/cgroup.procs && echo $$; exec sleep 10000",
            below = below.display()
        );
        let mut shell = shell(&enclosure, &script);
        assert_eq!(enclosure.processes().unwrap(), [shell.pid()]);
        assert!(enclosure.kill(LONG).unwrap());
        assert_eq!(shell.wait(LONG).unwrap().unwrap().signal(), Some(9));
        let path = enclosure.0.path().to_owned();
        drop(enclosure);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_can_t_be_entered_any_more_is_told_apart_from_a_program_that_is_not_there() {
        let Some(enclosure) = enclosure(
            "one_that_can_t_be_entered_any_more_is_told_apart_from_a_program_that_is_not_there",
        ) else {
            return;
        };
        let why = |program: &str| {
            let null = || OwnedFd::from(File::open("/dev/null").unwrap());
            let spec = ProcessSpec {
                program: OsStr::new(program),
                args: &[],
                env: &[],
                leads: Leads::ProcessGroup,
                blocked: &[],
                enclosure: Some(&enclosure),
            };
            start(&spec, [null(), null(), null()]).unwrap_err()
        };
        assert!(!why("/no/such/program").is_of_enclosure());
        std::fs::remove_dir(enclosure.0.path()).unwrap();
        assert!(why("/bin/sh").is_of_enclosure());
    }
}
