//! Whoever is told how the task ends (edge): the driver that started it, and those that have taken it over.
//!
//! Each has a socket to this process, where each note is one line as in the file. It is told there, too, as that file
//! can be lost: its disk may be full, or the task may remove it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;

use super::end::EndNote;
use super::message::write_line;
use crate::task::lock;
use crate::waiting::{Deadline, poll_until};

#[derive(Debug, Default)]
struct State {
    told: Vec<EndNote>,
    streams: Vec<UnixStream>,
}

/// Who is told.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    state: Mutex<State>,
    changed: Condvar,
}

impl Subscribers {
    /// Tells this one from now on, and at once what the others were told. Those that have gone are let go.
    pub(crate) fn add(&self, stream: UnixStream) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.streams.retain(is_there);
        for note in &state.told {
            write_line(&stream, note)?;
        }
        state.streams.push(stream);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until there is one, who has been told all then; says whether that came.
    pub(crate) fn await_one(&self, limit: Duration) -> bool {
        let is_alone = |state: &mut State| state.streams.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.state), limit, is_alone);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.streams.is_empty()
    }

    /// Tells all of them; says whether anybody was there to hear it.
    pub(crate) fn tell(&self, note: &EndNote) -> bool {
        let mut state = lock(&self.state);
        state.told.push(note.clone());
        let State { streams, .. } = &mut *state;
        streams.retain(|stream| is_there(stream) && write_line(stream, note).is_ok());
        !streams.is_empty()
    }
}

/// True if the other side has not closed. It says nothing any more, so there is nothing to read.
fn is_there(stream: &UnixStream) -> bool {
    let now = Deadline::after(Duration::ZERO);
    let woken = poll_until(&[(stream.as_fd(), PollFlags::IN)], now);
    woken.is_ok_and(|woken| !woken[0])
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::status::{End, ExitStatus};

    #[test]
    fn each_is_told_all_and_who_has_gone_is_let_go() {
        let note = EndNote::of(&ExitStatus {
            end: End::Code(3),
            oom_killed: None,
            seen_at: UNIX_EPOCH,
        });
        let all = Subscribers::default();
        let (near, far) = UnixStream::pair().unwrap();
        let (gone, dead) = UnixStream::pair().unwrap();
        all.add(far).unwrap();
        all.add(dead).unwrap();
        drop(gone);
        assert!(all.tell(&note));
        assert_eq!(lock(&all.state).streams.len(), 1);
        let (late, far) = UnixStream::pair().unwrap();
        all.add(far).unwrap();
        let clean = note.clone().cleaned(None);
        assert!(all.tell(&clean));
        for stream in [near, late] {
            let mut lines = BufReader::new(stream).lines();
            for expected in [&note, &clean] {
                let told: EndNote = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
                assert_eq!(told, *expected);
            }
        }
        assert!(!all.tell(&clean), "nobody is left");
    }

    #[test]
    fn who_comes_late_is_waited_for() {
        let all = Subscribers::default();
        assert!(!all.await_one(Duration::from_millis(1)));
        let (_near, far) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| all.await_one(Duration::from_secs(60)));
            all.add(far).unwrap();
            assert!(waiter.join().unwrap());
        });
    }
}
