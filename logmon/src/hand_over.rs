//! Edge: lines that one thread writes for all others, none of which ever waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may wait.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// The lines that wait to be written, and what became of the others.
#[derive(Debug)]
pub(crate) struct HandOver {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    /// Lines for which there was no room, since the last that was told of them.
    dropped_lines: u64,
    has_writer: bool,
    is_writing: bool,
}

impl HandOver {
    pub(crate) const fn new() -> HandOver {
        HandOver {
            state: Mutex::new(State {
                waiting: Vec::new(),
                dropped_lines: 0,
                has_writer: false,
                is_writing: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Takes a line if there is room, and counts it if not. True when nobody writes yet: the caller starts
    /// who does.
    #[must_use]
    pub(crate) fn put(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        if state.waiting.len() + line.len() <= MAX_WAITING_BYTES && state.dropped_lines == 0 {
            state.waiting.extend_from_slice(line);
        } else {
            state.dropped_lines += 1;
        }
        self.changed.notify_all();
        !std::mem::replace(&mut state.has_writer, true)
    }

    /// Takes note that the writer could not be started; the next line tries it again.
    pub(crate) fn has_no_writer(&self) {
        self.lock().has_writer = false;
    }

    /// Waits for lines, and gives all of them. [`HandOver::written`] is to be called when they are.
    pub(crate) fn take(&self) -> Vec<u8> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.dropped_lines == 0;
        let mut state = self
            .changed
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut lines = std::mem::take(&mut state.waiting);
        let dropped_lines = std::mem::take(&mut state.dropped_lines);
        if dropped_lines > 0 {
            let told = format!("logmon: {dropped_lines} lines of diagnostics were dropped here\n");
            lines.extend_from_slice(told.as_bytes());
        }
        state.is_writing = true;
        lines
    }

    /// Takes note that what was taken is written, or can't be.
    pub(crate) fn written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }

    /// Waits until nothing waits and nothing is being written, for so long at most; gives whether it is so.
    pub(crate) fn drained_within(&self, limit: Duration) -> bool {
        let is_busy = |state: &mut State| !state.waiting.is_empty() || state.is_writing;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_their_order_by_one_who_is_started_once() {
        let lines = HandOver::new();
        assert!(lines.put(b"first\n"));
        assert!(!lines.put(b"second\n"));
        assert_eq!(lines.take(), b"first\nsecond\n");
        lines.has_no_writer();
        assert!(lines.put(b"third\n"));
        assert_eq!(lines.take(), b"third\n");
    }

    #[test]
    fn while_a_write_hangs_nobody_waits_and_what_has_no_room_is_counted_where_it_is_missing() {
        let lines = HandOver::new();
        let line = [b'x'; 1024];
        assert!(lines.put(&line));
        assert_eq!(lines.take(), line);
        for _ in 0..MAX_WAITING_BYTES / 1024 + 3 {
            assert!(!lines.put(&line));
        }
        assert!(!lines.put(b"short\n"), "behind a line that is missing");
        lines.written();
        let told = String::from_utf8(lines.take()).unwrap();
        let (kept, dropped) = told.split_at(MAX_WAITING_BYTES);
        assert!(kept.bytes().all(|byte| byte == b'x'));
        assert_eq!(
            dropped,
            "logmon: 4 lines of diagnostics were dropped here\n"
        );
        lines.written();
        assert!(!lines.put(b"and on\n"));
        assert_eq!(lines.take(), b"and on\n");
    }

    #[test]
    fn the_end_waits_for_the_last_lines_and_not_for_ever() {
        let lines = HandOver::new();
        assert!(lines.drained_within(Duration::ZERO));
        assert!(lines.put(b"last\n"));
        assert!(!lines.drained_within(Duration::from_millis(1)));
        assert_eq!(lines.take(), b"last\n");
        assert!(!lines.drained_within(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let end = scope.spawn(|| lines.drained_within(Duration::from_secs(20)));
            lines.written();
            assert!(end.join().unwrap());
        });
    }
}
