//! Commands within a task: its folder and its environment, and not its streams: an edge.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use plugin::failure::plain;
use plugin::proto::driver::exec_task_streaming_request::Setup;
use plugin::proto::driver::{
    ExecTaskResponse, ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult,
};
use plugin::{Status, Streaming};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::conversation::{Answers, of_stderr, of_stdout};
use super::launch::{EXEC_SCRIPT, environment};
use super::task::{Task, start_folder};
use crate::executor::process;
use crate::reexec::Reexec;

/// A command that says more than this is ended: its output travels in one message.
const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;
/// How long a stream may be silent when the command has ended: somebody may hold it who left its group.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// Bytes of one message of a stream.
const CHUNK: usize = 16 * 1024;

/// A command with its whole process group, which is killed when this is dropped.
struct Running {
    child: Child,
    group: Pid,
    /// Readable when the command has ended.
    end: Arc<OwnedFd>,
    /// Whether its status was taken: the number may be somebody else's from then on.
    is_over: bool,
}

impl Running {
    fn start(
        task: &Task,
        command: &[String],
        reexec: &Reexec,
        stdin: Stdio,
    ) -> Result<Self, Status> {
        task.must_run()?;
        let [program, ..] = command else {
            return Err(plain("command: it is empty"));
        };
        let argv = argv_of(task, command, reexec);
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs(environment(&task.config))
            .current_dir(start_folder(&task.config, &task.plan))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| plain(format!("cannot run {program}: {error}")))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let watched = pid.and_then(|pid| Some((pid, process::watch(pid)?)));
        let (pid, end) = watched.ok_or_else(|| plain(format!("cannot watch {program}")))?;
        Ok(Self {
            child,
            group: Pid::from_raw(pid),
            end: Arc::new(end),
            is_over: false,
        })
    }

    /// Waits for its end, or for that of its task. What it leaves behind in its group is killed, while nobody
    /// has taken its status and its number is still its own.
    async fn end(&mut self, task: &Task) -> io::Result<ExitStatus> {
        let end = Arc::clone(&self.end);
        let ended = tokio::task::spawn_blocking(move || process::until_readable(Some(&end), None));
        tokio::select! {
            _ = ended => {}
            () = task.progress.gone() => {}
        }
        self.kill();
        let status = self.child.wait().await;
        self.is_over = true;
        status
    }

    fn kill(&self) {
        if !self.is_over {
            // A group that is gone is as good.
            killpg(self.group, Signal::SIGKILL).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is run for a command: itself, or what the task's configuration plays in its place.
pub(super) fn argv_of(task: &Task, command: &[String], reexec: &Reexec) -> Vec<OsString> {
    if task.plan.exec_command.is_none() {
        return command.iter().map(Into::into).collect();
    }
    let script = task.folder.join(EXEC_SCRIPT);
    reexec.argv(["task".into(), "--script".into(), script.into_os_string()])
}

fn result_of(status: ExitStatus) -> ExitResult {
    let signal = status.signal().unwrap_or(0);
    ExitResult {
        exit_code: status.code().unwrap_or(128 + signal),
        signal,
        oom_killed: false,
    }
}

fn failed(error: io::Error) -> Status {
    plain(format!("cannot wait for the command: {error}"))
}

/// Runs a command to its end, or kills it when the time is over; without one it has all the time.
pub(super) async fn run(
    task: &Task,
    command: &[String],
    limit: Option<Duration>,
    reexec: &Reexec,
) -> Result<ExecTaskResponse, Status> {
    let mut running = Running::start(task, command, reexec, Stdio::null())?;
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let (tell_over, over) = watch::channel(false);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ending = async {
        let limit = limit.unwrap_or(Duration::MAX);
        let status = match timeout(limit, running.end(task)).await {
            Ok(status) => status,
            Err(_) => {
                running.kill();
                running.end(task).await
            }
        };
        tell_over.send_replace(true);
        status
    };
    let (status, (), ()) = tokio::join!(
        ending,
        read_all(stdout, &mut out, &over),
        read_all(stderr, &mut err, &over)
    );
    if out.len().max(err.len()) > MAX_OUTPUT_BYTES {
        return Err(plain(format!(
            "the output of the command has more than {MAX_OUTPUT_BYTES} bytes"
        )));
    }
    Ok(ExecTaskResponse {
        stdout: out,
        stderr: err,
        result: Some(result_of(status.map_err(failed)?)),
    })
}

/// Reads once. Nothing is the end, or a silence behind the end of the command: somebody else holds the stream.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    over: &watch::Receiver<bool>,
) -> usize {
    let mut over = over.clone();
    let silence = async {
        // Who would tell is gone when the call is.
        drop(over.wait_for(|over| *over).await);
        sleep(LAST_OUTPUT).await;
    };
    tokio::select! {
        count = from.read(buffer) => count.unwrap_or(0),
        () = silence => 0,
    }
}

/// Reads to the end, or until it is too long: then the command finds its stream closed.
async fn read_all(
    from: Option<impl AsyncRead + Unpin>,
    all: &mut Vec<u8>,
    over: &watch::Receiver<bool>,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; CHUNK];
    while let count @ 1.. = read(&mut from, &mut buffer, over).await {
        all.extend_from_slice(&buffer[..count]);
        if all.len() > MAX_OUTPUT_BYTES {
            return;
        }
    }
}

/// Runs a command whose input and output travel while it runs.
pub(super) async fn converse(
    task: &Task,
    setup: &Setup,
    input: Streaming<ExecTaskStreamingRequest>,
    answers: &Answers,
    reexec: &Reexec,
) -> Result<ExitResult, Status> {
    let mut running = Running::start(task, &setup.command, reexec, Stdio::piped())?;
    let stdin = running.child.stdin.take();
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let feeding = tokio::spawn(feed(input, stdin));
    let (tell_over, over) = watch::channel(false);
    let ending = async {
        let status = running.end(task).await;
        tell_over.send_replace(true);
        status
    };
    let (status, (), ()) = tokio::join!(
        ending,
        pass(stdout, answers, &over, of_stdout),
        pass(stderr, answers, &over, of_stderr)
    );
    feeding.abort();
    status.map(result_of).map_err(failed)
}

/// Hands input on until the host closes it, goes away, or the command does not want any more.
async fn feed(mut input: Streaming<ExecTaskStreamingRequest>, stdin: Option<ChildStdin>) {
    let Some(mut stdin) = stdin else { return };
    while let Ok(Some(message)) = input.message().await {
        let Some(io) = message.stdin else { continue };
        if stdin.write_all(&io.data).await.is_err() || io.close {
            return;
        }
    }
}

async fn pass(
    from: Option<impl AsyncRead + Unpin>,
    answers: &Answers,
    over: &watch::Receiver<bool>,
    message: fn(Vec<u8>, bool) -> ExecTaskStreamingResponse,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; CHUNK];
    while let count @ 1.. = read(&mut from, &mut buffer, over).await {
        let said = message(buffer[..count].to_vec(), false);
        if answers.send(Ok(said)).await.is_err() {
            return;
        }
    }
    answers.send(Ok(message(Vec::new(), true))).await.ok();
}
