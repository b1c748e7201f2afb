//! The driver that is spoken to: it takes its tasks over as they are, and each of its faults does its own
//! damage.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{
    Drain, Fifos, LIMIT, lives, mock_driver, threads, until_nobody_reads, wait_until, wait_within,
};

/// What a task writes between two gates: more than its pipe holds.
const GAP: usize = 200_000;

/// Longer than a driver may be silent to a watchdog of its own.
const PAUSE: Duration = Duration::from_millis(1_300);

/// A driver and the conversation with it.
struct Spoken {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<Value>,
    seq: u64,
    early: Vec<Value>,
}

impl Spoken {
    fn start(fault: Option<&str>) -> Self {
        let mut command = mock_driver();
        command.arg("stdio");
        command.args(fault.map(|fault| format!("--fault={fault}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send(serde_json::from_str(&line).unwrap()).ok();
            }
        });
        Self {
            child,
            stdin,
            answers,
            seq: 0,
            early: Vec::new(),
        }
    }

    /// Asks, and gives the number of the request.
    fn ask(&mut self, op: &str, mut fields: Value) -> u64 {
        self.seq += 1;
        fields["seq"] = self.seq.into();
        fields["op"] = op.into();
        writeln!(self.stdin.as_mut().unwrap(), "{fields}").unwrap();
        self.seq
    }

    /// The answer to a request; none if it does not come in time.
    fn within(&mut self, seq: u64, limit: Duration) -> Option<Value> {
        loop {
            if let Some(at) = self.early.iter().position(|one| one["seq"] == seq) {
                return Some(self.early.remove(at));
            }
            self.early.push(self.answers.recv_timeout(limit).ok()?);
        }
    }

    fn say(&mut self, op: &str, fields: Value) -> Value {
        let seq = self.ask(op, fields);
        self.within(seq, LIMIT).unwrap()
    }

    /// Starts a task that a shell plays.
    fn run(&mut self, fifos: &Fifos, script: &str) -> Value {
        self.run_as("t", fifos, script)
    }

    fn run_as(&mut self, id: &str, fifos: &Fifos, script: &str) -> Value {
        let path = |stream| fifos.path(stream).display().to_string();
        let folder = fifos.folder.path("").display().to_string();
        self.say(
            "start",
            json!({
                "id": id, "argv": ["sh", "-c", script], "env": {}, "user": null,
                "stdout": path(Stream::Stdout), "stderr": path(Stream::Stderr),
                "task_dir": folder, "log_dir": folder,
            }),
        )
    }

    /// Leaves the tasks alone, and gives their handles.
    fn detach(mut self) -> Value {
        let handles = self.say("detach", json!({}))["handles"].take();
        assert!(wait_within(&mut self.child, "detach").success());
        handles
    }

    fn wait(&mut self) -> Value {
        self.say("wait", json!({ "id": "t" }))
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        self.stdin = None;
        // What a test that failed has stopped would never end.
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGCONT).ok();
        self.child.wait().ok();
    }
}

/// A task that writes a line, then the gap when the first gate is open, then a last line when the second
/// is, and exits 7. It tells of its processes in a file.
fn script(fifos: &Fifos) -> String {
    let gate = |name: &str| support::shell_gate(&fifos.folder.path(name));
    format!(
        "echo $$ >>{pids}; echo one; {} yes two | head -c {GAP}; touch {done}; {} echo three; exit 7",
        gate("away"),
        gate("back"),
        pids = fifos.folder.path("pids").display(),
        done = fifos.folder.path("done").display(),
    )
}

fn open(fifos: &Fifos, gate: &str) {
    fs::write(fifos.folder.path(gate), "").unwrap();
}

fn pids(fifos: &Fifos) -> Vec<i32> {
    let text = fs::read_to_string(fifos.folder.path("pids")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a process has ended, whoever is to take its status.
fn is_gone(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    state.is_empty() || state.starts_with('Z')
}

fn whole() -> Vec<u8> {
    [b"one\n", "two\n".repeat(GAP / 4).as_bytes(), b"three\n"].concat()
}

/// How a driver goes.
#[derive(Clone, Copy)]
enum Goes {
    Detached,
    Killed,
}

/// The task is left, writes the gap, and is taken over. Gives all that arrives, and its exit.
fn across_a_gap(fault: Option<&str>, goes: Goes) -> (Vec<u8>, Value, Vec<i32>) {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = Spoken::start(fault);
    let started = driver.run(&fifos, &script(&fifos));
    wait_until("the first line", || drains[0].has(b"one\n"));
    let handles = match goes {
        Goes::Detached => driver.detach(),
        Goes::Killed => {
            driver.child.kill().unwrap();
            driver.child.wait().unwrap();
            json!([{ "id": "t", "handle": started["handle"] }])
        }
    };
    open(&fifos, "away");
    wait_until("the gap", || fifos.folder.path("done").exists());
    let mut driver = Spoken::start(fault);
    let recovered = driver.say("recover", json!({ "handles": handles }));
    assert_eq!(recovered["ok"], json!(["t"]), "{recovered}");
    open(&fifos, "back");
    let end = driver.wait();
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    (stdout, end["exit"].clone(), pids(&fifos))
}

#[test]
fn a_task_is_taken_over_as_it_is_and_nothing_of_its_output_is_missing() {
    for goes in [Goes::Detached, Goes::Killed] {
        let (stdout, exit, pids) = across_a_gap(None, goes);
        assert!(stdout == whole(), "{} bytes", stdout.len());
        assert_eq!((exit, pids.len()), (json!(7), 1));
    }
}

#[test]
fn loses_gap() {
    let (stdout, exit, _) = across_a_gap(Some("loses-gap"), Goes::Killed);
    assert!(stdout.starts_with(b"one\n") && stdout.ends_with(b"three\n"));
    assert!(stdout.len() < GAP, "{} bytes", stdout.len());
    assert_eq!(exit, 7);
}

#[test]
fn repeats_gap() {
    let (stdout, exit, _) = across_a_gap(Some("repeats-gap"), Goes::Detached);
    assert!(stdout.len() > whole().len(), "{} bytes", stdout.len());
    assert!(stdout.ends_with(b"two\nthree\n"));
    assert_eq!(exit, 7);
}

#[test]
fn restarts_on_recover() {
    let (_, exit, pids) = across_a_gap(Some("restarts-on-recover"), Goes::Detached);
    assert_eq!((exit, pids.len()), (json!(7), 2));
}

/// The task is left before anybody opens its gates, and nobody reads its FIFOs any more. Gives the driver
/// that is to recover it, and the number of that request.
fn asked_while_unread(fifos: &Fifos, fault: Option<&str>) -> (Spoken, u64) {
    let readers = fifos.readers();
    let mut driver = Spoken::start(fault);
    driver.run(fifos, &script(fifos));
    assert_eq!(support::read_bytes(&readers[0], 4), b"one\n");
    let handles = driver.detach();
    drop(readers);
    for stream in Stream::BOTH {
        until_nobody_reads(&fifos.path(stream));
    }
    let mut driver = Spoken::start(fault);
    let seq = driver.ask("recover", json!({ "handles": handles }));
    (driver, seq)
}

#[test]
fn a_task_whose_log_nobody_reads_is_taken_over_at_once_and_lives_on() {
    let fifos = Fifos::new();
    let (mut driver, seq) = asked_while_unread(&fifos, None);
    assert_eq!(driver.within(seq, LIMIT).unwrap()["ok"], json!(["t"]));
    let drains = fifos.drains();
    open(&fifos, "away");
    open(&fifos, "back");
    assert_eq!(driver.wait()["exit"], 7);
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert!(stdout == whole()[4..], "{} bytes", stdout.len());
}

#[test]
fn kills_on_recover() {
    let fifos = Fifos::new();
    let (mut driver, seq) = asked_while_unread(&fifos, Some("kills-on-recover"));
    assert_eq!(driver.within(seq, LIMIT).unwrap()["ok"], json!(["t"]));
    let _drains = fifos.drains();
    assert_eq!(driver.wait()["exit"], 137);
    // It takes the task alone, and only where nobody reads.
    let (_, exit, _) = across_a_gap(Some("kills-on-recover"), Goes::Detached);
    assert_eq!(exit, 7);
}

#[test]
fn hangs_in_recover() {
    let fifos = Fifos::new();
    let (mut driver, seq) = asked_while_unread(&fifos, Some("hangs-in-recover"));
    assert_eq!(driver.within(seq, Duration::from_secs(1)), None);
    let _drains = fifos.drains();
    assert_eq!(driver.within(seq, LIMIT).unwrap()["ok"], json!(["t"]));
}

/// What is reported of a task that exits 7 while no driver is there.
fn reported_of_an_end_without_driver(fault: Option<&str>) -> Value {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = Spoken::start(fault);
    driver.run(&fifos, &script(&fifos));
    wait_until("the first line", || drains[0].has(b"one\n"));
    let handles = driver.detach();
    open(&fifos, "away");
    open(&fifos, "back");
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert!(stdout == whole(), "{} bytes", stdout.len());
    let executor = handles[0]["handle"]["pid"].as_i64().unwrap();
    wait_until("the executor's end", || is_gone(executor));
    let mut driver = Spoken::start(fault);
    let recovered = driver.say("recover", json!({ "handles": handles }));
    assert_eq!(recovered["ok"], json!(["t"]), "{recovered}");
    driver.wait()["exit"].clone()
}

#[test]
fn guesses_success() {
    assert_eq!(reported_of_an_end_without_driver(None), 7);
    let fault = Some("guesses-success");
    assert_eq!(reported_of_an_end_without_driver(fault), 0);
}

/// What is reported of a task that exits 7 while its driver stands still.
fn reported_after_a_pause(fault: Option<&str>) -> Value {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = Spoken::start(fault);
    driver.run(&fifos, &script(&fifos));
    wait_until("the first line", || drains[0].has(b"one\n"));
    let seq = driver.ask("wait", json!({ "id": "t" }));
    let own = i32::try_from(driver.child.id()).unwrap();
    // One reads requests, one waits for the executor's status, one for the task.
    wait_until("three threads that wait", || threads(own, 'S') == Some(3));
    let process = Pid::from_raw(own);
    kill(process, Signal::SIGSTOP).unwrap();
    wait_until("a driver that stands still", || {
        threads(own, 'T') == Some(3)
    });
    let since = Instant::now();
    open(&fifos, "away");
    open(&fifos, "back");
    let task = pids(&fifos)[0].into();
    wait_until("the task's end", || is_gone(task));
    wait_until("a second and more", || since.elapsed() > PAUSE);
    kill(process, Signal::SIGCONT).unwrap();
    driver.within(seq, LIMIT).unwrap()["exit"].clone()
}

#[test]
fn takes_pause_for_death() {
    assert_eq!(reported_after_a_pause(None), 7);
    let fault = Some("takes-pause-for-death");
    assert_eq!(reported_after_a_pause(fault), 137);
    // Without a pause it sees the end.
    let (_, exit, _) = across_a_gap(fault, Goes::Detached);
    assert_eq!(exit, 7);
}

/// How many descriptors of the first task's FIFO a second task has that is started while the first one runs.
fn inherited_by_the_next_task(fault: Option<&str>) -> String {
    let (first, second) = (Fifos::new(), Fifos::new());
    let _first_drains = first.drains();
    let drains = second.drains();
    let mut driver = Spoken::start(fault);
    driver.run(&first, "exec sleep 1000");
    let path = first.path(Stream::Stdout).display().to_string();
    let script = format!("ls -l /proc/$$/fd | grep -c {path}; :");
    driver.run_as("next", &second, &script);
    let end = driver.say("wait", json!({ "id": "next" }));
    assert_eq!(end["exit"], 0, "{end}");
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    String::from_utf8(stdout).unwrap()
}

#[test]
fn leaks_fd_into_next_task() {
    let fault = Some("leaks-fd-into-next-task");
    assert_eq!(inherited_by_the_next_task(fault), "1\n");
    assert_eq!(inherited_by_the_next_task(None), "0\n");
}

#[test]
fn a_destroyed_task_leaves_nothing_that_has_left_its_process_group() {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    let path = fifos.folder.path("pid");
    let script = format!(
        "setsid sh -c 'echo $$ >{0}.tmp; mv {0}.tmp {0}; exec sleep 1000' & wait",
        path.display()
    );
    let mut driver = Spoken::start(None);
    driver.run(&fifos, &script);
    wait_until("the child", || path.exists());
    let pid = fs::read_to_string(&path).unwrap();
    driver.say("destroy", json!({ "id": "t" }));
    let pid = pid.trim().parse().unwrap();
    wait_until("its end", || !lives(pid));
}

#[test]
fn a_process_that_only_has_the_number_is_not_the_task() {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    let mut driver = Spoken::start(None);
    driver.run(&fifos, &script(&fifos));
    let mut handles = driver.detach();
    let mut again = Spoken::start(None);
    let good = handles.clone();
    handles[0]["handle"]["began"] = json!(1);
    let recovered = again.say("recover", json!({ "handles": handles }));
    assert_eq!(recovered["ok"], json!([]));
    let reason = recovered["lost"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("gone"), "{reason}");
    // The task was left alone, and ends with the driver that takes it over.
    let recovered = again.say("recover", json!({ "handles": good }));
    assert_eq!(recovered["ok"], json!(["t"]));
}

#[test]
fn a_closed_stdin_ends_the_tasks_and_what_is_not_known_is_said() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = Spoken::start(None);
    driver.run(&fifos, &script(&fifos));
    wait_until("the first line", || drains[0].has(b"one\n"));
    assert_eq!(driver.say("x-ray", json!({}))["unsupported"], true);
    let unknown = driver.say("wait", json!({ "id": "other" }));
    assert_eq!(unknown["error"], "there is no task \"other\"");
    let task = pids(&fifos)[0].into();
    driver.stdin = None;
    assert!(wait_within(&mut driver.child, "the driver").success());
    wait_until("the task's end", || is_gone(task));
    for drain in drains {
        drain.until_writers_are_gone();
    }
}
