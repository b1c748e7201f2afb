//! Processes, read from `/proc`. (edge)
//!
//! The format of `/proc/PID/stat` and of its neighbours is that of proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: i32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it began, in clock ticks since boot: with the pid it names a process for good.
    pub began: u64,
}

impl Stat {
    /// Whether it still runs or sleeps: a zombie has ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads the text of `/proc/PID/stat`; none if it has another form.
#[must_use]
pub fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold spaces and brackets: it ends at the last bracket.
    let (pid, rest) = text.split_once(" (")?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        state: fields.first()?.chars().next()?,
        ppid: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        began: fields.get(19)?.parse().ok()?,
    })
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&String::from_utf8_lossy(
        &fs::read(format!("/proc/{pid}/stat")).ok()?,
    ))
}

/// Whether the process still runs or sleeps.
#[must_use]
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.lives())
}

/// Whether every thread of the process is stopped.
#[must_use]
pub fn is_stopped(pid: i32) -> bool {
    thread_states(pid).is_some_and(|states| states.into_iter().all(|state| state == 'T'))
}

/// Whether no thread of the process runs or is about to: each waits for something that may never come, is stopped, or
/// has ended. One that waits for a disk, or by vfork(2) for its child to become a program, is about to go on.
#[must_use]
pub fn is_at_rest(pid: i32) -> bool {
    thread_states(pid)
        .is_none_or(|states| !states.into_iter().any(|state| matches!(state, 'R' | 'D')))
}

/// The states of the threads that were there to be looked at; none if the process is gone.
fn thread_states(pid: i32) -> Option<Vec<char>> {
    let threads = thread_ids(pid);
    let state = |thread: &i32| {
        let text = fs::read(format!("/proc/{pid}/task/{thread}/stat")).ok()?;
        Some(parse_stat(&String::from_utf8_lossy(&text))?.state)
    };
    (!threads.is_empty()).then(|| threads.iter().filter_map(state).collect())
}

/// The command line, its words separated by spaces; the name in brackets if there is none.
#[must_use]
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = bytes
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    if words.is_empty() {
        return stat(pid).map_or_else(|| "?".into(), |stat| format!("[{}]", stat.comm));
    }
    words.join(" ")
}

/// Whether a process runs a program that lies in a folder: as a program, or as the script that its
/// interpreter was given. False too if the process has ended or may not be looked at (proc(5)).
#[must_use]
pub fn runs_program_in(folder: &Path, pid: i32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    program.is_ok_and(|program| program.starts_with(folder))
        || words
            .split(|&byte| byte == 0)
            .any(|word| Path::new(OsStr::from_bytes(word)).starts_with(folder))
}

/// The process that has this number in its own PID namespace (pid_namespaces(7)) and this word in its
/// command line; none if it has ended.
#[must_use]
pub fn process_known_as(inner: i32, word: &str) -> Option<i32> {
    let is_it = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| innermost_pid(&status) == Some(inner)) && has_word(pid, word)
    };
    if is_it(inner) {
        return Some(inner);
    }
    Snapshot::take()
        .all()
        .map(|stat| stat.pid)
        .find(|pid| is_it(*pid))
}

/// The last number of `NSpid`, which is the one that the process itself knows.
fn innermost_pid(status: &str) -> Option<i32> {
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_ascii_whitespace().last()?.parse().ok()
}

fn has_word(pid: i32, word: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0)
        .any(|one| one == word.as_bytes())
}

/// All processes at about one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    processes: BTreeMap<i32, Stat>,
}

impl Snapshot {
    /// Looks at all processes.
    #[must_use]
    pub fn take() -> Self {
        let pids = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        Self::of(pids.filter_map(stat))
    }

    /// A snapshot of these processes.
    #[must_use]
    pub fn of(processes: impl IntoIterator<Item = Stat>) -> Self {
        Self {
            processes: processes.into_iter().map(|stat| (stat.pid, stat)).collect(),
        }
    }

    /// Every process, by number.
    pub fn all(&self) -> impl Iterator<Item = &Stat> {
        self.processes.values()
    }

    /// The process of this number.
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&Stat> {
        self.processes.get(&pid)
    }

    /// The descendants of a process, parents before their children, itself left out.
    #[must_use]
    pub fn descendants(&self, root: i32) -> Vec<&Stat> {
        let mut children: BTreeMap<i32, Vec<&Stat>> = BTreeMap::new();
        for stat in self.processes.values() {
            children.entry(stat.ppid).or_default().push(stat);
        }
        let mut found: Vec<&Stat> = Vec::new();
        let mut parents = vec![root];
        while let Some(parent) = parents.pop() {
            // Taken out, so that a parent counted twice can't make a circle.
            for child in children.remove(&parent).unwrap_or_default() {
                found.push(child);
                parents.push(child.pid);
            }
        }
        found
    }
}

/// What a group of processes uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Processes that still live.
    pub processes: u64,
    /// Open descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// How often their threads have gone to sleep of their own accord.
    pub wakeups: u64,
}

/// What these processes use, those left out that have ended.
#[must_use]
pub fn resources(pids: &[i32]) -> Resources {
    let mut sum = Resources::default();
    for &pid in pids {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let number = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        if !lives(pid) {
            continue;
        }
        sum.processes += 1;
        sum.threads += number("Threads:");
        sum.rss_kib += number("VmRSS:");
        sum.wakeups += wakeups(pid);
        sum.fds +=
            fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
    }
    sum
}

/// How often the threads of a process have gone to sleep of their own accord.
fn wakeups(pid: i32) -> u64 {
    let of_thread = |thread: i32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
        let key = "voluntary_ctxt_switches:";
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    };
    thread_ids(pid).into_iter().filter_map(of_thread).sum()
}

/// Milliseconds of the processor that these processes have used, user and system time together.
#[must_use]
pub fn cpu_ms(pids: &[i32]) -> u64 {
    /// Times in /proc are told in hundredths of a second on every Linux (USER_HZ, time(7)).
    const TICK_MS: u64 = 10;
    let of_process = |pid: &i32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some((user + system) * TICK_MS)
    };
    pids.iter().filter_map(of_process).sum()
}

/// The lowest number that is free for a new descriptor of a process: with RLIMIT_NOFILE set to it,
/// the process can open nothing, and everything that it has open still works.
#[must_use]
pub fn lowest_free_fd(pid: i32) -> u64 {
    let used: BTreeSet<u64> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    (0..).find(|fd| !used.contains(fd)).unwrap_or(0)
}

/// The hard limit of a resource of a process, named as the table of `/proc/PID/limits` does; without one
/// it is unlimited.
///
/// # Errors
/// There is no such process, or its table does not say.
pub fn hard_limit(pid: i32, name: &str) -> io::Result<Option<u64>> {
    let table = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    parse_hard_limit(&table, name).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_hard_limit(table: &str, name: &str) -> Option<Option<u64>> {
    let row = table.lines().find_map(|line| line.strip_prefix(name))?;
    match row.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(None),
        number => Some(Some(number.parse().ok()?)),
    }
}

/// A system call that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number on this machine.
    pub number: i64,
    /// Its first argument, for most calls a descriptor.
    pub first: u64,
}

impl SystemCall {
    /// Reads the text of `/proc/PID/task/TID/syscall`; none for a thread that runs.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok().filter(|&number| number >= 0)?;
        let first = words.next()?.strip_prefix("0x")?;
        Some(Self {
            number,
            first: u64::from_str_radix(first, 16).ok()?,
        })
    }

    /// The descriptor that it writes to, if it is a call that writes into a pipe.
    #[must_use]
    pub fn writes_to(&self) -> Option<i32> {
        let writes = [libc::SYS_write, libc::SYS_writev, libc::SYS_vmsplice];
        // splice(2) names the descriptor that it reads from first; whoever splices into a FIFO is
        // seen by wchan instead.
        writes
            .contains(&self.number)
            .then(|| i32::try_from(self.first).ok())
            .flatten()
    }

    /// The call in words, with the descriptor where it has one.
    #[must_use]
    pub fn text(&self) -> String {
        let with_fd = [
            (libc::SYS_read, "read"),
            (libc::SYS_readv, "readv"),
            (libc::SYS_write, "write"),
            (libc::SYS_writev, "writev"),
            (libc::SYS_splice, "splice"),
            (libc::SYS_vmsplice, "vmsplice"),
            (libc::SYS_close, "close"),
            (libc::SYS_fsync, "fsync"),
            (libc::SYS_fdatasync, "fdatasync"),
            (libc::SYS_flock, "flock"),
            (libc::SYS_fcntl, "fcntl"),
            (libc::SYS_epoll_pwait, "epoll_pwait"),
        ];
        let plain = [
            (libc::SYS_openat, "openat(…)"),
            (libc::SYS_ppoll, "ppoll"),
            (libc::SYS_pselect6, "pselect6"),
            (libc::SYS_futex, "futex"),
            (libc::SYS_nanosleep, "nanosleep"),
            (libc::SYS_clock_nanosleep, "clock_nanosleep"),
            (libc::SYS_wait4, "wait4"),
            (libc::SYS_waitid, "waitid"),
            (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
            (libc::SYS_rt_sigsuspend, "rt_sigsuspend"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_open, "open(…)"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_poll, "poll"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_select, "select"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_epoll_wait, "epoll_wait"),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_pause, "pause"),
        ];
        let named = |table: &[(i64, &'static str)]| {
            table
                .iter()
                .find(|(number, _)| *number == self.number)
                .map(|(_, name)| *name)
        };
        if let Some(name) = named(&with_fd) {
            return format!("{name}({})", self.first);
        }
        named(&plain).map_or_else(|| format!("system call {}", self.number), str::to_owned)
    }
}

/// What one thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// The thread.
    pub thread: i32,
    /// Its state, as in [`Stat`].
    pub state: char,
    /// The system call that it is in; none if it runs or if that can't be seen.
    pub call: Option<SystemCall>,
    /// The kernel's function that it sleeps in; empty if that can't be seen.
    pub sleeps_in: String,
}

/// A process with what its threads do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// The process.
    pub stat: Stat,
    /// Its threads.
    pub threads: Vec<ThreadFacts>,
}

fn thread_ids(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// What the threads of a process do.
#[must_use]
pub fn threads(pid: i32) -> Vec<ThreadFacts> {
    let facts = |thread: i32| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/task/{thread}/{name}")).ok();
        let text =
            |name: &str| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let stat = parse_stat(&text("stat")?)?;
        let sleeps_in = text("wchan").filter(|text| text != "0").unwrap_or_default();
        let call = text("syscall").and_then(|text| SystemCall::parse(&text));
        Some(ThreadFacts {
            thread,
            state: stat.state,
            call,
            sleeps_in,
        })
    };
    thread_ids(pid).into_iter().filter_map(facts).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_hard_limit_is_read_from_the_table() {
        let table = "\
Limit                     Soft Limit           Hard Limit           Units     \n\
Max file size             0                    unlimited            bytes     \n\
Max open files            256                  512                  files     \n";
        assert_eq!(parse_hard_limit(table, "Max file size"), Some(None));
        assert_eq!(parse_hard_limit(table, "Max open files"), Some(Some(512)));
        assert_eq!(parse_hard_limit(table, "Max cpu time"), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(hard_limit(own, "Max open files").is_ok());
    }

    #[test]
    fn a_process_is_found_by_the_number_that_it_knows_and_a_word() {
        let status = "Name:\tx\nPid:\t812\nNSpid:\t812\t40\t2\nNSpgid:\t812\t40\t2\n";
        assert_eq!(innermost_pid(status), Some(2));
        assert_eq!(innermost_pid("Name:\tx\n"), None);
        let own = i32::try_from(std::process::id()).unwrap();
        let word = std::env::args().next().unwrap();
        assert_eq!(process_known_as(own, &word), Some(own));
        assert_eq!(
            process_known_as(own, "a word that it was not started with"),
            None
        );
    }

    #[test]
    fn a_program_is_told_from_one_that_only_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let shell = folder.path().join("shell");
        // Another process writes it: a child of another test might hold it open for writing, execve(2).
        let copied = Command::new("cp").arg("/bin/sh").arg(&shell).status();
        assert!(copied.unwrap().success());
        let runs = |words: &[&str]| {
            let mut child = Command::new(&shell)
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = [0; 2];
            child.stdout.take().unwrap().read_exact(&mut said).unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let runs = runs_program_in(folder.path(), pid);
            drop(child.stdin.take());
            child.wait().unwrap();
            (runs, runs_program_in(folder.path(), pid))
        };
        assert_eq!(runs(&["-c", "echo 1; read x"]), (true, false));
        // The shell is gone once this speaks.
        let other = "exec /bin/sh -c 'echo 1; read x'";
        assert_eq!(runs(&["-c", other]), (false, false));
        let script = folder.path().join("script");
        fs::write(&script, "echo 1\nread x\n").unwrap();
        let interpreted = format!("exec /bin/sh {}", script.display());
        assert_eq!(runs(&["-c", &interpreted]), (true, false));
    }

    fn process(pid: i32, ppid: i32) -> Stat {
        Stat {
            pid,
            comm: "x".into(),
            state: 'S',
            ppid,
            group: pid,
            session: 1,
            began: 5,
        }
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_read_whole() {
        let text = "42 (a) b (c)) S 7 8 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 991 1 2 3\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!(
            (stat.comm.as_str(), stat.state, stat.ppid),
            ("a) b (c)", 'S', 7)
        );
        assert_eq!((stat.group, stat.session, stat.began), (8, 9, 991));
        assert_eq!(parse_stat("42 (x"), None);
    }

    #[test]
    fn descendants_are_found_through_every_generation_and_in_spite_of_a_circle() {
        let snapshot = Snapshot::of([
            process(2, 1),
            process(3, 2),
            process(4, 3),
            process(5, 1),
            process(9, 9),
        ]);
        let pids = |root| -> Vec<i32> {
            snapshot
                .descendants(root)
                .iter()
                .map(|stat| stat.pid)
                .collect()
        };
        assert_eq!(pids(2), [3, 4]);
        assert_eq!(pids(1), [2, 5, 3, 4]);
        assert_eq!(pids(9), [9]);
    }

    #[test]
    fn this_process_is_seen_with_its_resources() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(Snapshot::take().get(me).is_some_and(Stat::lives));
        let before = resources(&[me]);
        assert!(
            before.processes == 1 && before.threads >= 1 && before.rss_kib > 100 && before.fds > 2
        );
        assert!(command_line(me).contains("harness"));
        assert_eq!(resources(&[-1]), Resources::default());
    }

    #[test]
    fn a_system_call_is_read_with_its_descriptor() {
        let text = format!(
            "{} 0x5 0x7f 0x10 0x0 0x0 0x0 0x7ffe 0x7f4a",
            libc::SYS_write
        );
        let call = SystemCall::parse(&text).unwrap();
        assert_eq!(
            (call.writes_to(), call.text()),
            (Some(5), "write(5)".to_owned())
        );
        assert_eq!(SystemCall::parse("running"), None);
        assert_eq!(SystemCall::parse("-1 0x0 0x0"), None);
    }
}
