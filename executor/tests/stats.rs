//! Tests of the statistics of real processes and real cgroups, against counters of the kernel (edge).
//!
//! None of them compares with a fixed percentage: how much CPU time a process gets is not theirs to know. What
//! needs a cgroup is left out where none can be made, and says so on standard error.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use executor::stats::{
    Cancel, Cgroup, CpuSource, Interval, Machine, PidSource, Quantity, Sample, Sampler, StatsError,
    SwapDetail, Tree,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

/// For what takes milliseconds on a machine with nothing else to do.
const LIMIT: Duration = Duration::from_secs(60);
/// A tick of proc(5).
const TICK: Duration = Duration::from_millis(10);
/// So much may be missing of a time that is told in ticks for user and system each, and is brought up to date by
/// the scheduler's tick.
const SLACK: Duration = Duration::from_millis(40);

/// Never satisfied with an old sample.
fn now() -> Interval {
    Interval::new(Duration::from_nanos(1))
}

fn machine() -> Machine {
    Machine::this().unwrap()
}

fn sampler(source: impl PidSource + 'static) -> Arc<Sampler> {
    let sampler = Sampler::new(Box::new(source), machine(), SwapDetail::Measured);
    Arc::new(sampler)
}

fn tree(root: u32) -> Arc<Sampler> {
    sampler(Tree::below(root, machine()).unwrap())
}

fn used(sample: &Sample) -> Duration {
    sample.total.cpu_time.unwrap().total
}

fn used_by(sample: &Sample, pid: u32) -> Duration {
    sample.processes[&pid].cpu_time.unwrap().total
}

/// A shell that says lines and waits for lines. It is killed with the value.
struct Shell {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    /// Runs the script; `$0` is the argument.
    fn run(script: &str, argument: &Path) -> Shell {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        Shell {
            child,
            input,
            lines,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says the word, and gives the rest of that line.
    fn says(&self, word: &str) -> String {
        let line = self.lines.recv_timeout(LIMIT);
        let line = line.unwrap_or_else(|error| panic!("the shell did not say {word}: {error}"));
        let rest = line.strip_prefix(word);
        rest.unwrap_or_else(|| panic!("{word} was expected, not {line}"))
            .trim()
            .to_owned()
    }

    /// Lets it go on from where it reads a line.
    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// What the scheduler says of its CPU time; its children have their own.
    fn cpu_clock(&self) -> Duration {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        clock_gettime(clock_getcpuclockid(pid).unwrap())
            .unwrap()
            .into()
    }

    /// The CPU time of those of its children that it has waited for, fields 16 and 17 of its stat.
    fn cpu_of_children(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u32 = [fields[13], fields[14]]
            .iter()
            .map(|field| field.parse::<u32>().unwrap())
            .sum();
        TICK * ticks
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until the process has ended, and leaves it to be waited for.
fn wait_for_end(pid: u32) {
    let number = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let handle = pidfd_open(number, PidfdFlags::empty()).unwrap();
    let mut polled = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(LIMIT).unwrap();
    assert_eq!(poll(&mut polled, limit), Ok(1), "{pid} did not end");
}

/// Asks again and again, and gives the first answer that is one, or the last that was none.
fn wait_until<T>(mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = ask();
        if answer.is_ok() || Instant::now() >= deadline {
            return answer;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "what proc(5) and a cgroup say has no event; the condition is looked at, not the time"
        )]
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A cgroup of the test's own. Its processes are killed and its folders removed with the value.
struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes one below this folder.
    fn make_in(parent: &Path) -> io::Result<Group> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("executor-stats-{}-{number}", std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path)?;
        // Whether a process may be put there is shown by whether the file may be written.
        let group = Group { path };
        fs::OpenOptions::new()
            .write(true)
            .open(group.path.join("cgroup.procs"))?;
        Ok(group)
    }

    /// Makes one of version 2; gives none if that is impossible here, and says so for this test.
    fn make(test: &str) -> Option<Group> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let mount = mounts
            .into_iter()
            .find(|it| it.join("cgroup.controllers").exists());
        match mount {
            None => skip(test, "no cgroup2 is mounted"),
            Some(mount) => match Group::make_in(mount) {
                Ok(group) => return Some(group),
                Err(error) => skip(test, &format!("no cgroup in {}: {error}", mount.display())),
            },
        }
        None
    }

    fn usage(&self) -> Duration {
        let text = fs::read_to_string(self.path.join("cpu.stat")).unwrap();
        let line = text.lines().next().unwrap();
        let micros = line.strip_prefix("usage_usec ").unwrap();
        Duration::from_micros(micros.parse().unwrap())
    }

    fn source(&self) -> Cgroup {
        Cgroup::new(&self.path, machine())
    }

    /// Ends everything in it, so that its folders can be removed.
    fn remove(&self) -> Result<(), String> {
        // In version 1 there is no such file: there the shell has been killed before.
        drop(fs::write(self.path.join("cgroup.kill"), "1"));
        let removed = || {
            for entry in fs::read_dir(&self.path)?.flatten() {
                if entry.path().is_dir() {
                    fs::remove_dir(entry.path())?;
                }
            }
            fs::remove_dir(&self.path)
        };
        wait_until(|| removed().map_err(|error| error.to_string()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.path.exists()
            && let Err(error) = self.remove()
        {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}

/// Says that a test was left out. Written past the test's own output, which nobody sees of a test that passes.
fn skip(test: &str, reason: &str) {
    let line = format!("skipped {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Counts, and so is busy for a while.
const COUNT: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

#[test]
fn a_busy_process_reads_what_getrusage_says_of_it() {
    let me = std::process::id();
    let rusage = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let of = |time: nix::sys::time::TimeVal| {
            Duration::from_secs(time.tv_sec().try_into().unwrap())
                + Duration::from_micros(time.tv_usec().try_into().unwrap())
        };
        of(usage.user_time()) + of(usage.system_time())
    };
    let sampler = tree(me);
    let first = sampler.sample(now()).unwrap();
    let busy_until = rusage() + Duration::from_millis(300);
    while rusage() < busy_until {}
    let before = rusage();
    let second = sampler.sample(now()).unwrap();
    let after = rusage();
    let own = used_by(&second, me);
    assert!(own + SLACK >= before, "{own:?}, and {before:?} before");
    assert!(own <= after, "{own:?}, and {after:?} after");
    let grown = own - used_by(&first, me);
    assert!(grown + SLACK >= Duration::from_millis(300), "{grown:?}");
}

#[test]
fn a_busy_child_is_measured_as_the_scheduler_counts_it() {
    let mut shell = Shell::run(
        &format!("echo ready; read x; {COUNT}; echo counted; read x"),
        Path::new("sh"),
    );
    shell.says("ready");
    let sampler = tree(shell.pid());
    let first = sampler.sample(now()).unwrap();
    assert_eq!(first.total.cpu_percent, None);
    shell.go_on();
    shell.says("counted");
    let before = shell.cpu_clock();
    let second = sampler.sample(now()).unwrap();
    let after = shell.cpu_clock();
    let total = used(&second);
    assert_eq!(second.cpu_source, CpuSource::Processes);
    assert!(total + SLACK >= before, "{total:?}, and {before:?} before");
    assert!(total <= after + TICK, "{total:?}, and {after:?} after");
    let span = second.span.unwrap();
    let share = (total - used(&first)).as_secs_f64() / span.as_secs_f64();
    let percent = second.total.cpu_percent.unwrap().total;
    let processors = f64::from(machine().processors.get());
    let expected = (100.0 * share).min(100.0 * processors);
    assert!(
        percent > 0.0 && (percent - expected).abs() < 1e-6,
        "{percent} instead of {expected}"
    );
}

#[test]
fn a_process_that_vanished_keeps_its_cpu_in_the_total_of_a_tree() {
    let script =
        format!("sh -c '{COUNT}; echo counted $$; read x; exit 0'; echo waited; read x; exit 0");
    let mut shell = Shell::run(&script, Path::new("sh"));
    let child: u32 = shell.says("counted").parse().unwrap();
    let sampler = tree(shell.pid());
    let with = sampler.sample(now()).unwrap();
    assert_eq!(
        with.processes.keys().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([shell.pid(), child])
    );
    let of_child = used_by(&with, child);
    assert!(
        of_child > TICK * 2,
        "{of_child:?} is too little to be missed"
    );
    shell.go_on();
    shell.says("waited");
    let without = sampler.sample(now()).unwrap();
    assert!(!without.processes.contains_key(&child));
    assert!(used(&without) >= used(&with));
    let sum = of_child + used_by(&without, shell.pid());
    assert_eq!(used(&without), sum);
}

#[test]
fn the_cpu_of_a_fork_storm_is_that_of_the_cgroup_and_more_than_the_sum_over_the_processes() {
    let test =
        "the_cpu_of_a_fork_storm_is_that_of_the_cgroup_and_more_than_the_sum_over_the_processes";
    let Some(group) = Group::make(test) else {
        return;
    };
    let mut shell = Shell::run(
        "echo $$ > $0/cgroup.procs; echo ready; read x; while :; do /bin/true; done",
        &group.path,
    );
    shell.says("ready");
    let sampler = sampler(group.source());
    let first = sampler.sample(now()).unwrap();
    assert_eq!(first.cpu_source, CpuSource::Group);
    shell.go_on();
    let enough = Duration::from_millis(300);
    let of_children = wait_until(|| {
        let cpu = shell.cpu_of_children();
        let is_enough = cpu >= enough;
        is_enough.then_some(cpu).ok_or(format!("used {cpu:?}"))
    });
    let of_children = of_children.unwrap();
    let before = group.usage();
    let second = sampler.sample(now()).unwrap();
    let after = group.usage();
    let total = used(&second);
    assert!(
        before <= total && total <= after,
        "{total:?} is not from {before:?} to {after:?}"
    );
    let per_pid: Duration = second
        .processes
        .keys()
        .map(|pid| used_by(&second, *pid))
        .sum();
    assert!(
        total + SLACK >= per_pid + of_children,
        "{total:?} for {per_pid:?} and {of_children:?} of what has ended"
    );
    let percent = second.total.cpu_percent.unwrap().total;
    let shares = second.processes.values().filter_map(|it| it.cpu_percent);
    let sum: f64 = shares.map(|it| it.total).sum();
    assert!(percent > sum, "{percent} % and {sum} % of the processes");
}

#[test]
fn a_cgroup_has_what_lies_in_groups_below_it_and_what_has_left_the_tree() {
    let test = "a_cgroup_has_what_lies_in_groups_below_it_and_what_has_left_the_tree";
    let Some(group) = Group::make(test) else {
        return;
    };
    fs::create_dir(group.path.join("below")).unwrap();
    let script = "echo $$ > $0/below/cgroup.procs; \
        orphan=$(sleep 1000 > /dev/null & echo $!); echo ready $orphan; read x";
    let shell = Shell::run(script, &group.path);
    let orphan: u32 = shell.says("ready").parse().unwrap();
    let in_group = group.source().list().unwrap();
    assert_eq!(in_group.pids, BTreeSet::from([shell.pid(), orphan]));
    assert_eq!(in_group.hidden, 0);
    let in_tree = Tree::below(shell.pid(), machine()).unwrap().list().unwrap();
    assert_eq!(in_tree.pids, BTreeSet::from([shell.pid()]));
    let sample = sampler(group.source()).sample(now()).unwrap();
    let pids: BTreeSet<u32> = sample.processes.keys().copied().collect();
    assert_eq!(pids, in_group.pids);
    assert!(used(&sample) > Duration::ZERO);
}

#[test]
fn a_threaded_group_below_has_its_processes_listed_above_and_is_no_task_itself() {
    let test = "a_threaded_group_below_has_its_processes_listed_above_and_is_no_task_itself";
    let Some(group) = Group::make(test) else {
        return;
    };
    let shell = Shell::run("echo $$ > $0/cgroup.procs; echo ready; read x", &group.path);
    shell.says("ready");
    let below = group.path.join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("cgroup.type"), "threaded").unwrap();
    fs::write(below.join("cgroup.threads"), shell.pid().to_string()).unwrap();
    let listing = group.source().list().unwrap();
    assert_eq!(listing.pids, BTreeSet::from([shell.pid()]));
    let error = Cgroup::new(&below, machine()).list().unwrap_err();
    assert!(matches!(error, StatsError::ListGroup { .. }), "{error}");
    assert!(!error.is_gone());
}

#[test]
fn a_cgroup_that_was_removed_is_gone_and_one_that_is_empty_is_not() {
    let test = "a_cgroup_that_was_removed_is_gone_and_one_that_is_empty_is_not";
    let Some(group) = Group::make(test) else {
        return;
    };
    let sampler = sampler(group.source());
    let sample = sampler.sample(now()).unwrap();
    assert!(sample.processes.is_empty());
    assert_eq!(sample.total.rss_bytes, Some(0));
    group.remove().unwrap();
    let error = sampler.sample(now()).unwrap_err();
    assert!(error.is_gone(), "{error}");
    let text = format!(
        "find the cgroup {}: it is gone, or its path is wrong",
        group.path.display()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_cgroup_of_version_1_is_counted_by_cpuacct() {
    let test = "a_cgroup_of_version_1_is_counted_by_cpuacct";
    let mount = Path::new("/sys/fs/cgroup/cpuacct");
    if !mount.join("cpuacct.usage").exists() {
        return skip(test, "cpuacct of version 1 is not mounted");
    }
    let group = match Group::make_in(mount) {
        Ok(group) => group,
        Err(error) => return skip(test, &format!("no cgroup in {}: {error}", mount.display())),
    };
    let script = format!("echo $$ > $0/cgroup.procs; {COUNT}; echo counted; read x");
    let shell = Shell::run(&script, &group.path);
    shell.says("counted");
    let before = shell.cpu_clock();
    let sample = sampler(group.source()).sample(now()).unwrap();
    let after = shell.cpu_clock();
    let total = used(&sample);
    assert_eq!(sample.cpu_source, CpuSource::Group);
    assert!(sample.processes.contains_key(&shell.pid()));
    // Without what it used before it was put there.
    assert!(total + SLACK >= before, "{total:?}, and {before:?} before");
    assert!(total <= after, "{total:?}, and {after:?} after");
}

#[test]
fn a_folder_that_is_no_cgroup_is_no_group() {
    let error = Cgroup::new("/proc/self", machine()).list().unwrap_err();
    assert!(matches!(error, StatsError::NoGroup { .. }), "{error}");
}

#[test]
fn a_tree_whose_first_process_was_waited_for_is_gone() {
    let mut shell = Shell::run("read x", Path::new("sh"));
    let pid = shell.pid();
    let sampler = tree(pid);
    sampler.sample(now()).unwrap();
    shell.child.kill().unwrap();
    shell.child.wait().unwrap();
    let error = sampler.sample(now()).unwrap_err();
    assert!(error.is_gone(), "{error}");
    let text = format!("find process {pid}: it has ended, or the pid is wrong");
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_process_that_has_ended_and_was_not_waited_for_has_cpu_time_and_no_memory() {
    let script = format!("{COUNT}; echo counted; read x");
    let mut shell = Shell::run(&script, Path::new("sh"));
    shell.says("counted");
    let sampler = tree(shell.pid());
    let alive = sampler.sample(now()).unwrap();
    assert!(alive.total.rss_bytes.unwrap() > 0);
    shell.child.kill().unwrap();
    wait_for_end(shell.pid());
    let ended = sampler.sample(now()).unwrap();
    assert_eq!(ended.total.rss_bytes, Some(0));
    assert_eq!(ended.total.swap_bytes, Some(0));
    assert!(used(&ended) >= used(&alive) && used(&alive) > Duration::ZERO);
}

#[test]
fn memory_that_is_written_to_is_in_memory_or_in_swap() {
    let me = std::process::id();
    let sampler = tree(me);
    let held = |sample: &Sample| {
        let own = sample.processes[&me];
        own.rss_bytes.unwrap() + own.swap_bytes.unwrap()
    };
    let before = held(&sampler.sample(now()).unwrap());
    let bytes = 64 << 20;
    let block = std::hint::black_box(vec![1_u8; bytes]);
    let after = held(&sampler.sample(now()).unwrap());
    // The kernel counts pages in batches, and other tests give memory back meanwhile.
    let least = before + u64::try_from(bytes).unwrap() * 7 / 8;
    assert!(after >= least, "{after} bytes, {before} before");
    drop(block);
}

#[test]
fn swap_that_is_left_out_is_not_measured() {
    let me = std::process::id();
    let source = Box::new(Tree::below(me, machine()).unwrap());
    let sampler = Sampler::new(source, machine(), SwapDetail::LeftOut);
    let sample = sampler.sample(now()).unwrap();
    assert_eq!(sample.total.swap_bytes, None);
    assert_eq!(sample.measured(), [Quantity::Rss, Quantity::CpuTime]);
    assert!(sample.total.rss_bytes.unwrap() > 0);
}

#[test]
fn a_stream_gives_its_first_sample_at_once_and_waits_for_the_next_until_it_is_cancelled() {
    let shell = Shell::run("echo ready; read x", Path::new("sh"));
    shell.says("ready");
    let cancel = Cancel::new();
    let hour = Interval::new(Duration::from_secs(3600));
    let mut samples = tree(shell.pid()).samples(hour, cancel.clone());
    let before = SystemTime::now();
    let first = samples.next().unwrap().unwrap();
    let after = SystemTime::now();
    assert!(before <= first.taken.wall && first.taken.wall <= after);
    assert!(first.processes.contains_key(&shell.pid()));
    let measured = [Quantity::Rss, Quantity::Swap, Quantity::CpuTime];
    assert_eq!(first.measured(), measured);
    let (said, told) = channel();
    let waiting = std::thread::spawn(move || said.send(samples.next().is_none()).unwrap());
    cancel.cancel();
    assert_eq!(told.recv_timeout(LIMIT), Ok(true));
    waiting.join().unwrap();
}

#[test]
fn a_stream_goes_on_at_its_interval_until_its_deadline() {
    let shell = Shell::run("echo ready; read x", Path::new("sh"));
    shell.says("ready");
    let interval = Interval::new(Duration::from_millis(20));
    let deadline = Instant::now() + Duration::from_millis(300);
    let samples = tree(shell.pid()).samples(interval, Cancel::at(deadline));
    let samples: Vec<_> = samples.map(Result::unwrap).collect();
    assert!(Instant::now() >= deadline);
    for pair in samples.windows(2) {
        let apart = pair[1].taken.monotonic - pair[0].taken.monotonic;
        assert_eq!(pair[1].span, Some(apart));
        assert!(apart >= interval.length(), "{apart:?}");
    }
}
