//! Commands within a task of the executor that are spoken with while they run: an edge.
//!
//! Both directions block, so each has a thread: one waits for what the command says, one for room in what it hears.

use std::io;
use std::sync::Arc;

use ::executor::kept::KeptTask;
use ::executor::{
    Cancel, CancelSource, CommandEnd, ExecInput, ExecMessage, ExecOutput, ExecStream, WindowSize,
};
use plugin::failure::plain;
use plugin::proto::driver::exec_task_streaming_request::{Setup, TerminalSize};
use plugin::proto::driver::{ExecTaskStreamingRequest, ExitResult};
use plugin::{Status, Streaming};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::conversation::{Answers, of_stderr, of_stdout};
use super::exec::argv_of;
use super::executed::{CancelsCommand, blocking, result_of, words};
use super::task::Task;
use crate::reexec::Reexec;

/// Runs a command whose input and output travel while it runs.
pub(super) async fn converse(
    (task, kept): (&Task, &KeptTask),
    setup: &Setup,
    input: Streaming<ExecTaskStreamingRequest>,
    answers: &Answers,
    reexec: &Reexec,
) -> Result<ExitResult, Status> {
    task.must_run()?;
    let argv = words(argv_of(task, &setup.command, reexec))?;
    // Its size comes with the messages.
    let window = setup.tty.then(WindowSize::default);
    let begun = blocking(kept, move |kept| kept.exec_streaming(&argv, window, None));
    let ExecStream {
        input: to,
        output: from,
    } = begun.await?;
    let cancels = CancelsCommand::new()?;
    let (tell_over, over) = watch::channel(false);
    let runtime = Handle::current();
    let feeding = spawn_blocking(move || feed(&runtime, input, to, over));
    let (source, sending) = (Arc::clone(&cancels.0), answers.clone());
    let passed = spawn_blocking(move || pass(from, &source, &sending)).await;
    tell_over.send_replace(true);
    // A host that does not close its side holds nobody.
    feeding.await.ok();
    let passed = passed.map_err(|error| plain(error.to_string()))?;
    let end = passed.map_err(|error| plain(format!("cannot hear the command: {error}")))?;
    for closed in [of_stdout, of_stderr]
        .iter()
        .take(if setup.tty { 1 } else { 2 })
    {
        answers.send(Ok(closed(Vec::new(), true))).await.ok();
    }
    Ok(result_of(end.end()))
}

/// Hands on what the command says, to its end. It is killed when nobody listens any more.
fn pass(mut from: ExecOutput, cancel: &CancelSource, answers: &Answers) -> io::Result<CommandEnd> {
    loop {
        let message = match from.next(Cancel::when_readable(cancel))? {
            Some(ExecMessage::Stdout(data)) => of_stdout(data, false),
            Some(ExecMessage::Stderr(data)) => of_stderr(data, false),
            Some(ExecMessage::Ended(end)) => return Ok(end),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        if answers.blocking_send(Ok(message)).is_err() {
            return Ok(CommandEnd::Cancelled);
        }
    }
}

/// Hands on what the host says until it closes its side, or the command is over.
fn feed(
    runtime: &Handle,
    mut input: Streaming<ExecTaskStreamingRequest>,
    mut to: ExecInput,
    mut over: watch::Receiver<bool>,
) {
    loop {
        let message = runtime.block_on(async {
            tokio::select! {
                message = input.message() => message.ok().flatten(),
                // Who would tell is gone when the call is.
                _ = over.wait_for(|over| *over) => None,
            }
        });
        let Some(message) = message else { break };
        if let Some(TerminalSize { height, width, .. }) = message.tty_size {
            let size = |number: i32| u16::try_from(number).unwrap_or(0);
            // A command without a terminal has no window.
            to.resize(WindowSize {
                rows: size(height),
                columns: size(width),
            })
            .ok();
        }
        if let Some(io) = message.stdin {
            if to.write(&io.data).is_err() {
                return;
            }
            if io.close {
                // It may have ended meanwhile.
                to.close().ok();
            }
        }
    }
    to.close().ok();
}
