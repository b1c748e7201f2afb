//! Edge: one client of the control socket.
//!
//! Requests are begun as they come, at most [`MAX_PENDING`] ahead of their answers, and answered in
//! their order. A start takes time, so what comes behind it is begun meanwhile, unless it is about the same
//! task, or about all. That waits for its turn: until all requests before it are answered. A line without its newline is no request, so a client that is killed half way through
//! one asks for nothing; what it had asked for is done. A client that sends nothing for [`PATIENCE`], or
//! takes no answers for that long, is left.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::answer::{Answer, Body, Failure};
use super::request::{Lines, Op, Refusal, Request, parse};
use super::tasks::{Outcome, Tasks};
use crate::name::TaskId;
use crate::storage::give_way;

/// How many requests of a connection may be under way.
const MAX_PENDING: usize = 256;
/// How long a silent client may keep its connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How many starts of a connection are under way at once. More would take each other's calls for stuck.
const MAX_STARTS: usize = 4;

/// A request that is not answered yet.
struct Asked {
    /// What it is about, if it is a start or waits for its turn.
    task_ahead: Option<TaskId>,
    answer: Pending,
}

/// An answer, or the wait for it.
enum Pending {
    Ready(String),
    Later(Pin<Box<dyn Future<Output = String> + Send>>),
}

/// Serves a client until it leaves. What it had asked for is done then, too; its place is free as soon as
/// it can't be answered.
pub(crate) async fn serve_client(client: UnixStream, place: OwnedSemaphorePermit, tasks: Tasks) {
    let mut pending = VecDeque::new();
    if let Err(error) = talk(&client, &tasks, &mut pending).await {
        debug!(%error, "left a client");
    }
    drop((client, place));
    for Asked { answer, .. } in pending {
        match answer {
            Pending::Ready(_) => {}
            Pending::Later(answer) => drop(answer.await),
        }
    }
}

/// Tells a client that it is not served, without waiting for it.
pub(crate) fn turn_away(client: &UnixStream, failure: Failure) {
    let line = Answer::failed(None, failure, Body::default()).line();
    if let Err(error) = client.try_write(line.as_bytes()) {
        debug!(%error, "a client that was turned away is not told");
    }
}

async fn talk(client: &UnixStream, tasks: &Tasks, pending: &mut VecDeque<Asked>) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_open = true;
    loop {
        let mut has_line = true;
        while has_line && pending.len() < MAX_PENDING {
            has_line = match lines.next_line() {
                Ok(Some(line)) => {
                    pending.push_back(begin(line, tasks, pending));
                    // The streams have their turns between any two requests.
                    give_way().await;
                    true
                }
                Ok(None) => false,
                Err(refusal) => {
                    pending.push_back(Asked::at_once(refused(None, &refusal)));
                    is_open = false;
                    lines = Lines::default();
                    false
                }
            };
        }
        let mut out = Vec::new();
        while let Some(Pending::Ready(answer)) = pending.front().map(|asked| &asked.answer) {
            out.extend_from_slice(answer.as_bytes());
            pending.pop_front();
        }
        if !out.is_empty() {
            timeout(PATIENCE, write_all(client, &out)).await??;
            continue;
        }
        if pending.is_empty() && !is_open {
            return Ok(());
        }
        let can_read = is_open && pending.len() < MAX_PENDING;
        let is_idle = pending.is_empty();
        tokio::select! {
            answer = first(pending) => {
                if let Some(first) = pending.front_mut() {
                    *first = Asked::at_once(Pending::Ready(answer));
                }
            }
            read = read_within(client, &mut chunk, is_idle), if can_read => {
                let bytes = read?;
                is_open = bytes > 0;
                lines.push(&chunk[..bytes]);
            }
        }
    }
}

/// Waits for the first answer that is still on its way.
async fn first(pending: &mut VecDeque<Asked>) -> String {
    match pending.front_mut().map(|asked| &mut asked.answer) {
        Some(Pending::Later(answer)) => answer.await,
        Some(Pending::Ready(_)) | None => std::future::pending().await,
    }
}

/// Reads what is there; 0 is the end. Only a client without open requests is left for its silence.
async fn read_within(client: &UnixStream, chunk: &mut [u8], is_idle: bool) -> io::Result<usize> {
    if is_idle {
        timeout(PATIENCE, client.readable()).await??;
    } else {
        client.readable().await?;
    }
    loop {
        match client.try_read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.readable().await?,
            other => return other,
        }
    }
}

async fn write_all(client: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn refused(id: Option<u64>, refusal: &Refusal) -> Pending {
    let failure = Failure::of_refusal(refusal);
    ready(&Answer::failed(id, failure, Body::default()))
}

fn ready(answer: &Answer) -> Pending {
    Pending::Ready(answer.line())
}

/// Does what can be done at once, and begins what takes time, unless it has to wait for its turn.
fn begin(line: &[u8], tasks: &Tasks, before: &VecDeque<Asked>) -> Asked {
    let Request { id, op } = match parse(line) {
        Ok(request) => request,
        Err((id, refusal)) => return Asked::at_once(refused(id, &refusal)),
    };
    let is_start = matches!(op, Op::Start(..));
    let is_starting = op.task().is_some_and(|task| tasks.is_starting(task));
    let waits = is_starting || waits_for_turn(&op, before);
    let task_ahead = op.task().filter(|_| waits || is_start).cloned();
    let answer = if waits {
        Pending::Later(Box::pin(in_turn(id, op, tasks.clone())))
    } else {
        perform(id, op, tasks)
    };
    Asked { task_ahead, answer }
}

fn waits_for_turn(op: &Op, before: &VecDeque<Asked>) -> bool {
    let mut ahead = before.iter().filter_map(|asked| asked.task_ahead.as_ref());
    match op.task() {
        None => ahead.next().is_some(),
        Some(task) => {
            let is_start = matches!(op, Op::Start(..));
            (is_start && ahead.clone().count() >= MAX_STARTS) || ahead.any(|other| other == task)
        }
    }
}

/// Its turn has come when this is polled.
async fn in_turn(id: Option<u64>, op: Op, tasks: Tasks) -> String {
    if let Some(task) = op.task() {
        tasks.settled(task).await;
    }
    match perform(id, op, &tasks) {
        Pending::Ready(line) => line,
        Pending::Later(answer) => answer.await,
    }
}

fn perform(id: Option<u64>, op: Op, tasks: &Tasks) -> Pending {
    let failed = move |error| {
        let failure = Failure::of_error(&error);
        Answer::failed(id, failure, Body::default())
    };
    match op {
        Op::Ping => ready(&Answer::done(
            id,
            Body {
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                pid: Some(std::process::id()),
                task_count: Some(tasks.count()),
                ..Body::default()
            },
        )),
        Op::Start(task, streams) => {
            let started = tasks.start(task, streams);
            Pending::Later(Box::pin(async move { outcome(id, started.await).line() }))
        }
        Op::Reconfigure(task, change) => ready(&outcome(id, tasks.reconfigure(&task, &change))),
        Op::Stop(task) => match tasks.stop(task) {
            Ok(stopped) => Pending::Later(Box::pin(async move {
                let answer = match stopped.await {
                    Ok(Ok(summaries)) => Answer::done(id, Body::of_stopped(&summaries)),
                    Ok(Err(error)) => failed(error),
                    Err(_) => Answer::failed(id, Failure::ended(), Body::default()),
                };
                answer.line()
            })),
            Err(error) => ready(&failed(error)),
        },
        Op::Status(task) => match tasks.ask(task.as_ref()) {
            Ok(questions) => Pending::Later(Box::pin(async move {
                let body = Body {
                    tasks: Some(questions.answers().await),
                    ..Body::default()
                };
                Answer::done(id, body).line()
            })),
            Err(error) => ready(&failed(error)),
        },
    }
}

fn outcome(id: Option<u64>, (started, error): Outcome) -> Answer {
    match error {
        None => Answer::done(id, Body::of_started(&started)),
        Some(error) if started.is_empty() => {
            Answer::failed(id, Failure::of_error(&error), Body::default())
        }
        Some(error) => Answer::failed(id, Failure::of_error(&error), Body::of_started(&started)),
    }
}

impl Asked {
    fn at_once(answer: Pending) -> Asked {
        Asked {
            task_ahead: None,
            answer,
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
