//! The driver that is spoken to (edge): requests from stdin, answers to stdout, one JSON object a line.
//!
//! Each call has a thread of its own, so none waits for another. Whoever starts this process may end it at any
//! time: the tasks live on, unless its stdin has ended before.

use std::fs;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::answer::{Answer, greeting, line, unsupported};
use super::reexec::Reexec;
use super::request::{BadRequest, Order, Request, Start, read};
use super::tasks::{TakingOver, Tasks};
use crate::cgroup::CgroupParent;
use crate::containment::remove_left;
use crate::descriptors::keep_from_programs;
use crate::diagnostics::say;
use crate::exit::Exit;
use crate::incoming::expect_children;
use crate::task::lock;
use crate::waiting::{Deadline, poll_until};
use crate::warden::Origin;

/// How long a request may be, in bytes, with its newline.
const LONGEST: u64 = (1 << 20) + 1;

/// How much a pipe takes at once if it takes anything, in bytes.
const PIPE_BUF: usize = 4096;

/// How long an answer may wait for a reader when nobody can ask any more.
const UNHEARD_LIMIT: Duration = Duration::from_millis(500);

/// Answers requests until stdin ends or a detach comes. The FIFOs of all tasks must lie below the trusted root, if one is
/// named.
pub(crate) fn serve(reexec: &Reexec, trusted_root: Option<String>) -> ExitCode {
    let prepared = expect_children()
        .map_err(io::Error::from)
        // A warden outlives this process, and whoever waits for the end of a pipe would wait for the warden.
        .and_then(|()| keep_from_programs())
        .and_then(|()| trusted_root.as_deref().map_or(Ok(()), require_folder))
        .and_then(|()| Origin::own());
    let origin = match prepared {
        Ok(origin) => origin,
        Err(error) => {
            say(format_args!("can't serve: {error}"));
            return Exit::Failed.into();
        }
    };
    remove_left(&CgroupParent::Own);
    let driver = Driver {
        tasks: Arc::new(Tasks::new(reexec.clone(), origin)),
        out: Arc::new(Out::default()),
        trusted_root,
    };
    match driver.play() {
        Ok(Close::Detached) => ExitCode::SUCCESS,
        Ok(Close::StdinEnded) => driver.end_all(),
        Err(error) => {
            // Nobody has asked for their end, and who started them has their handles.
            say(format_args!(
                "can't read a request: {error}; the tasks live on"
            ));
            drop(driver.tasks.detach());
            Exit::Failed.into()
        }
    }
}

/// Sees that a trusted root is there. Each start looks at it again.
fn require_folder(root: &str) -> io::Result<()> {
    let failed = |why: String| io::Error::other(format!("--trusted-root {root}: {why}"));
    let found = fs::symlink_metadata(root).map_err(|error| failed(error.to_string()))?;
    if found.is_dir() {
        Ok(())
    } else {
        Err(failed("it is no folder; name the folder itself".into()))
    }
}

/// What is done with the tasks for one request.
type Act = Box<dyn FnOnce(&Tasks) -> Answer + Send>;

/// Why no more requests are read.
enum Close {
    Detached,
    StdinEnded,
}

struct Driver {
    tasks: Arc<Tasks>,
    out: Arc<Out>,
    trusted_root: Option<String>,
}

impl Driver {
    fn play(&self) -> io::Result<Close> {
        let mut stdin = io::stdin().lock();
        let mut text = Vec::new();
        loop {
            let await_more = || await_ready(io::stdin().as_fd(), PollFlags::IN);
            match next_line(&mut stdin, &mut text, await_more)? {
                Line::None => return Ok(Close::StdinEnded),
                Line::TooLong => say("can't answer a request: it is longer than 1 MiB"),
                Line::Whole => match read(&text) {
                    Ok(Request {
                        seq,
                        order: Order::Detach,
                    }) => {
                        self.out.say_last(seq, self.tasks.detach());
                        return Ok(Close::Detached);
                    }
                    Ok(Request { seq, order }) => self.take(seq, order),
                    Err(BadRequest {
                        seq: Some(seq),
                        why,
                    }) => self.out.say(seq, Err(why)),
                    Err(BadRequest { seq: None, why }) => {
                        say(format_args!("can't answer a request: {why}"));
                    }
                },
            }
        }
    }

    fn take(&self, seq: u64, order: Order) {
        let taking_over = matches!(order, Order::Recover(_)).then(|| self.tasks.take_over());
        let act: Act = match order {
            Order::Hello => return self.out.say(seq, Ok(greeting(geteuid().is_root()))),
            Order::Unknown => return self.out.say(seq, Ok(unsupported())),
            Order::Start(start) => return self.start(seq, start),
            Order::Wait { id } => Box::new(move |tasks| tasks.wait(&id)),
            Order::Stop {
                id,
                signal,
                timeout,
            } => Box::new(move |tasks| tasks.stop(&id, &signal, timeout)),
            Order::Signal { id, signal } => Box::new(move |tasks| tasks.signal(&id, &signal)),
            Order::Destroy { id } => Box::new(move |tasks| tasks.destroy(&id)),
            Order::Stats { id } => Box::new(move |tasks| tasks.stats(&id)),
            Order::Recover(claims) => Box::new(move |tasks| tasks.recover(claims)),
            Order::Detach => unreachable!("it was taken before"),
        };
        if let Err(why) = self.call(seq, act, taking_over) {
            self.out.say(seq, Err(why));
        }
    }

    fn start(&self, seq: u64, mut start: Start) {
        start.task.trusted_root.clone_from(&self.trusted_root);
        let id = start.id.clone();
        let called = self.tasks.admit(&id).and_then(|()| {
            let act = Box::new(move |tasks: &Tasks| tasks.start(&start));
            let called = self.call(seq, act, None);
            called.inspect_err(|_| self.tasks.withdraw(&id))
        });
        if let Err(why) = called {
            self.out.say(seq, Err(why));
        }
    }

    /// Does this in a thread of its own, and answers. It is taking tasks over until that was said: behind the answer to
    /// a detach nothing is.
    fn call(&self, seq: u64, act: Act, taking_over: Option<TakingOver>) -> Result<(), String> {
        let (tasks, out) = (Arc::clone(&self.tasks), Arc::clone(&self.out));
        let spawned = std::thread::Builder::new().spawn(move || {
            out.say(seq, act(&tasks));
            drop(taking_over);
        });
        spawned
            .map(drop)
            .map_err(|error| format!("can't make a thread: {error}"))
    }

    fn end_all(&self) -> ExitCode {
        let left = self.tasks.destroy_all();
        for why in &left {
            say(why);
        }
        if left.is_empty() {
            ExitCode::SUCCESS
        } else {
            Exit::Failed.into()
        }
    }
}

/// Where answers go. It is true once the last one was given.
#[derive(Default)]
struct Out(Mutex<bool>);

impl Out {
    fn say(&self, seq: u64, answer: Answer) {
        let mut is_closed = lock(&self.0);
        if !*is_closed {
            *is_closed = !tell(&line(seq, answer));
        }
    }

    /// Says this, and nothing any more.
    fn say_last(&self, seq: u64, answer: Answer) {
        let mut is_closed = lock(&self.0);
        if !*is_closed {
            tell(&line(seq, answer));
        }
        *is_closed = true;
    }
}

fn tell(line: &str) -> bool {
    write(io::stdout().lock(), io::stdin().as_fd(), line)
}

/// Writes a line; says whether somebody may listen on. Whoever does not read, though the other end of `asked_by` is gone,
/// does not any more: the end of requests must be seen behind it.
fn write(out: impl AsFd, asked_by: BorrowedFd<'_>, line: &str) -> bool {
    let mut rest = line.as_bytes();
    let (mut is_watched, mut deadline) = (true, Deadline::of(None));
    while !rest.is_empty() {
        let watched = is_watched.then_some((asked_by, PollFlags::empty()));
        let mut wanted = vec![(out.as_fd(), PollFlags::OUT)];
        wanted.extend(watched);
        let Ok(ready) = poll_until(&wanted, deadline) else {
            return false;
        };
        if !ready[0] {
            if ready.get(1) != Some(&true) {
                return false;
            }
            (is_watched, deadline) = (false, Deadline::after(UNHEARD_LIMIT));
            continue;
        }
        // So much fits where something does, pipe(7).
        let most = rest.len().min(PIPE_BUF);
        match rustix::io::write(&out, &rest[..most]) {
            Ok(bytes) => rest = &rest[bytes..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody listens any more; then stdin ends too.
            Err(_) => return false,
        }
    }
    true
}

fn await_ready(fd: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<()> {
    poll_until(&[(fd, wanted)], Deadline::of(None)).map(drop)
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// A line, with its newline.
    Whole,
    /// One that is longer than a request may be. Nothing of it is kept.
    TooLong,
    /// There is none any more; or whoever was writing it has died.
    None,
}

/// Reads a line. Where nothing is there yet and the stream does not wait for it, this does.
fn next_line(
    from: &mut impl BufRead,
    text: &mut Vec<u8>,
    await_more: impl Fn() -> io::Result<()>,
) -> io::Result<Line> {
    text.clear();
    let mut is_too_long = false;
    loop {
        let left = LONGEST - text.len() as u64;
        match from.by_ref().take(left).read_until(b'\n', text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                await_more()?;
                continue;
            }
            // The other end of a socket was closed, and had not read all that it was sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Line::None),
            Err(error) => return Err(error),
        }
        match text.last() {
            Some(b'\n') if is_too_long => return Ok(Line::TooLong),
            Some(b'\n') => return Ok(Line::Whole),
            Some(_) if text.len() as u64 == LONGEST => {
                is_too_long = true;
                text.clear();
            }
            Some(_) | None => return Ok(Line::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Gives these, and has nothing to give between them.
    struct Halting(Vec<&'static [u8]>, bool);

    impl Read for Halting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0);
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    #[test]
    fn a_line_is_whole_though_it_comes_in_parts() {
        let parts: Vec<&[u8]> = vec![b"{\"a", b"\":1}\n{", b"}\n", b"{"];
        let mut from = BufReader::new(Halting(parts, false));
        let waits = std::cell::Cell::new(0);
        let mut text = Vec::new();
        let mut next = || {
            let line = next_line(&mut from, &mut text, || {
                waits.set(waits.get() + 1);
                Ok(())
            });
            (line.unwrap(), text.clone())
        };
        assert_eq!(next(), (Line::Whole, b"{\"a\":1}\n".to_vec()));
        assert_eq!(next(), (Line::Whole, b"{}\n".to_vec()));
        assert_eq!(next().0, Line::None, "a line that was cut is none");
        assert_eq!(waits.get(), 5);
    }

    #[test]
    fn an_answer_is_whole_though_the_pipe_takes_it_in_parts_and_waits_for_none() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let line = "x".repeat(4 << 20);
        let mut text = String::new();
        let nobody = std::fs::File::open("/dev/null").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(write(writer, nobody.as_fd(), &line)));
            reader.read_to_string(&mut text).unwrap();
        });
        assert_eq!(text.len(), line.len());
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!write(writer, nobody.as_fd(), "nobody reads it\n"));
    }

    #[test]
    fn an_answer_waits_for_no_reader_when_nobody_can_ask_any_more() {
        let (_reader, writer) = io::pipe().unwrap();
        let (asked_by, asks) = io::pipe().unwrap();
        drop(asks);
        assert!(!write(writer, asked_by.as_fd(), &"x".repeat(4 << 20)));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
        let largest = usize::try_from(LONGEST).unwrap();
        for (more, expected) in [
            (0, Line::Whole),
            (1, Line::TooLong),
            (3 << 20, Line::TooLong),
        ] {
            let mut all = vec![b'x'; largest - 1 + more];
            all.extend(b"\n{}\n");
            let (mut from, mut text) = (&all[..], Vec::new());
            let mut next = |text: &mut Vec<u8>| next_line(&mut from, text, || Ok(())).unwrap();
            assert_eq!(next(&mut text), expected, "{more}");
            assert_eq!((next(&mut text), &text[..]), (Line::Whole, &b"{}\n"[..]));
            assert_eq!(next(&mut text), Line::None);
        }
    }
}
