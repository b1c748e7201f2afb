//! The driver that is spoken to (edge): requests from stdin, answers to stdout, one JSON object a line.
//!
//! Each call has a thread of its own, so none waits for another. Whoever starts this process may end it at any
//! time: the tasks live on, unless its stdin has ended before.

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use rustix::process::geteuid;

use super::answer::{Answer, greeting, line, unsupported};
use super::reexec::Reexec;
use super::request::{BadRequest, Order, Request, Start, read};
use super::tasks::Tasks;
use crate::descriptors::keep_from_programs;
use crate::diagnostics::say;
use crate::exit::Exit;
use crate::incoming::expect_children;
use crate::task::lock;
use crate::warden::boot_id;

/// How long a request may be, in bytes, with its newline.
const LONGEST: u64 = (1 << 20) + 1;

/// Answers requests until stdin ends or a detach comes.
pub(crate) fn serve(reexec: &Reexec) -> ExitCode {
    let prepared = expect_children()
        .map_err(io::Error::from)
        // A warden outlives this process, and whoever waits for the end of a pipe would wait for the warden.
        .and_then(|()| keep_from_programs())
        .and_then(|()| boot_id());
    let boot = match prepared {
        Ok(boot) => boot,
        Err(error) => {
            say(format_args!("can't serve: {error}"));
            return Exit::Failed.into();
        }
    };
    let driver = Driver {
        tasks: Arc::new(Tasks::new(reexec.clone(), boot)),
        out: Arc::new(Out::default()),
    };
    match driver.play() {
        Ok(Close::Detached) => ExitCode::SUCCESS,
        Ok(Close::StdinEnded) => driver.end_all(ExitCode::SUCCESS),
        Err(error) => {
            say(format_args!("can't read a request: {error}"));
            driver.end_all(Exit::Failed.into())
        }
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
}

impl Driver {
    fn play(&self) -> io::Result<Close> {
        let mut stdin = io::stdin().lock();
        let mut text = Vec::new();
        loop {
            text.clear();
            (&mut stdin).take(LONGEST).read_until(b'\n', &mut text)?;
            match text.last() {
                None => return Ok(Close::StdinEnded),
                Some(b'\n') => {}
                Some(_) if text.len() as u64 == LONGEST => {
                    return Err(io::Error::other("it is longer than 1 MiB"));
                }
                // Whoever was writing it has died.
                Some(_) => return Ok(Close::StdinEnded),
            }
            match read(&text) {
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
            }
        }
    }

    fn take(&self, seq: u64, order: Order) {
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
        if let Err(why) = self.call(seq, act) {
            self.out.say(seq, Err(why));
        }
    }

    fn start(&self, seq: u64, start: Start) {
        let id = start.id.clone();
        let called = self.tasks.admit(&id).and_then(|()| {
            let called = self.call(seq, Box::new(move |tasks| tasks.start(&start)));
            called.inspect_err(|_| self.tasks.withdraw(&id))
        });
        if let Err(why) = called {
            self.out.say(seq, Err(why));
        }
    }

    /// Does this in a thread of its own, and answers.
    fn call(&self, seq: u64, act: Act) -> Result<(), String> {
        let (tasks, out) = (Arc::clone(&self.tasks), Arc::clone(&self.out));
        let spawned = std::thread::Builder::new().spawn(move || out.say(seq, act(&tasks)));
        spawned
            .map(drop)
            .map_err(|error| format!("can't make a thread: {error}"))
    }

    fn end_all(&self, exit: ExitCode) -> ExitCode {
        let left = self.tasks.destroy_all();
        for why in &left {
            say(why);
        }
        if left.is_empty() {
            exit
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
        let is_closed = lock(&self.0);
        if !*is_closed {
            write(&line(seq, answer));
        }
    }

    /// Says this, and nothing any more.
    fn say_last(&self, seq: u64, answer: Answer) {
        let mut is_closed = lock(&self.0);
        write(&line(seq, answer));
        *is_closed = true;
    }
}

fn write(line: &str) {
    let mut out = io::stdout().lock();
    // Nobody listens any more if it fails; then stdin ends too.
    drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
}
