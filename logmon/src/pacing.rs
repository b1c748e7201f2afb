//! Core: when to look for bytes again, so that many tiny writes do not cost a wake-up each.
//!
//! A byte after a time of silence is moved at once, always. If the next ones come right behind, in small
//! amounts, the stream *rests*: writes wake nobody, and after a moment it looks by itself and moves all
//! that has come meanwhile. So a line is late by at most [`LONGEST_REST`] and the slack of the timer, and
//! a flood of 100-byte lines is moved by some hundreds of kilobytes. A look that finds nothing ends it:
//! the next write wakes the stream, and an idle stream is never woken.
//!
//! The rest must not be so long that the FIFO is full and the task waits. Its length therefore follows
//! from what the last one found: shorter when the FIFO was more than half full, longer when it was nearly
//! empty. Where it is nearly full after [`SHORTEST_REST`] even, as with a small pipe and a fast task, the
//! stream does without, and tries again once in a while.

use std::time::Duration;

/// The longest time for which writes wake nobody: with the slack of a timer of whole milliseconds well
/// under the 6 ms that a line may take under load.
pub const LONGEST_REST: Duration = Duration::from_millis(3);
/// The shortest one: in it a task that writes 100 bytes at a time fills about a quarter of a FIFO of
/// 1 MiB, if nothing else is in its way.
pub const SHORTEST_REST: Duration = Duration::from_micros(250);
/// By so much may a look be late and still be one after a rest.
const SLACK: Duration = Duration::from_millis(1);
/// A find of less than this part of the FIFO's capacity is small.
const SMALL_PART: usize = 16;
/// How many small finds pass until a rest is tried again after one that was too long, at first and at
/// most.
const SKIPPED: (u32, u32) = (16, 4096);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Writes wake the stream.
    Awake,
    /// They do not, until then.
    Resting(Duration),
    /// They do again; it was to end then.
    Rested(Duration),
}

/// The pace of one stream. Times are since the stream's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacing {
    fifo_bytes: usize,
    state: State,
    rest: Duration,
    last_find: Option<Duration>,
    to_skip: u32,
    skipped: u32,
}

impl Pacing {
    /// Makes the pace for a FIFO with this capacity in bytes.
    #[must_use]
    pub fn new(fifo_bytes: usize) -> Pacing {
        Pacing {
            fifo_bytes,
            state: State::Awake,
            rest: LONGEST_REST,
            last_find: None,
            to_skip: 0,
            skipped: 0,
        }
    }

    /// Takes note that so many bytes were found.
    pub fn found(&mut self, bytes: usize, now: Duration) {
        let is_after_rest = match self.state {
            State::Resting(until) | State::Rested(until) => now <= until + SLACK,
            State::Awake => false,
        };
        let is_dense = is_after_rest
            || self
                .last_find
                .is_some_and(|last| now <= last + LONGEST_REST);
        self.last_find = Some(now);
        if is_after_rest {
            self.learn(bytes);
        }
        let rests = is_dense && bytes < self.fifo_bytes / SMALL_PART && self.may_try();
        self.state = if rests {
            State::Resting(now + self.rest)
        } else {
            State::Awake
        };
    }

    fn learn(&mut self, bytes: usize) {
        let is_too_fast = self.rest == SHORTEST_REST && bytes > self.fifo_bytes / 4 * 3;
        if bytes > self.fifo_bytes / 2 {
            self.rest = (self.rest / 2).max(SHORTEST_REST);
        } else if bytes < self.fifo_bytes / 8 {
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
        self.to_skip = if is_too_fast {
            (self.to_skip * 2).clamp(SKIPPED.0, SKIPPED.1)
        } else {
            0
        };
    }

    /// True when enough small finds have passed since a rest that was too long.
    fn may_try(&mut self) -> bool {
        let may = self.skipped >= self.to_skip;
        self.skipped = if may { 0 } else { self.skipped + 1 };
        may
    }

    /// Says until when the stream rests, if it does.
    #[must_use]
    pub fn rests_until(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Resting(until) if now < until => Some(until),
            State::Resting(_) | State::Rested(_) | State::Awake => None,
        }
    }

    /// Ends a rest that is over; true if one was.
    pub fn ends_rest(&mut self, now: Duration) -> bool {
        match self.state {
            State::Resting(until) if now >= until => {
                self.state = State::Rested(until);
                true
            }
            State::Resting(_) | State::Rested(_) | State::Awake => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// Plays a task that writes so many bytes a millisecond, and gives the longest time that a byte lay in
    /// the FIFO, the looks in one second, and the bytes that the task could write meanwhile.
    fn play(fifo_bytes: usize, bytes_per_ms: usize) -> (Duration, u32, usize) {
        let mut pacing = Pacing::new(fifo_bytes);
        let (mut level, mut oldest, mut longest) = (0, Duration::ZERO, Duration::ZERO);
        let (mut looks, mut written) = (0, 0);
        for micros in (0..1_000_000).step_by(10) {
            let now = us(micros);
            let more = (bytes_per_ms / 100).min(fifo_bytes - level);
            if level == 0 && more > 0 {
                oldest = now;
            }
            level += more;
            written += more;
            pacing.ends_rest(now);
            if level > 0 && pacing.rests_until(now).is_none() {
                longest = longest.max(now - oldest);
                looks += 1;
                pacing.found(level, now);
                level = 0;
            }
        }
        (longest, looks, written)
    }

    #[test]
    fn a_flood_costs_few_looks_and_does_not_make_the_task_wait() {
        let (longest, looks, written) = play(MIB, 300_000);
        assert!(longest <= LONGEST_REST, "{longest:?}");
        assert!(looks < 2_500, "{looks} looks");
        assert!(written > 290_000_000, "{written} bytes");
    }

    #[test]
    fn a_task_that_fills_the_pipe_in_a_millisecond_is_rested_for_too() {
        let (_, looks, written) = play(MIB, 900_000);
        assert!(looks < 10_000, "{looks} looks");
        assert!(written > 890_000_000, "{written} bytes");
    }

    #[test]
    fn a_trickle_costs_few_looks_and_is_seen_in_time() {
        let (longest, looks, written) = play(MIB, 1000);
        assert!(longest <= LONGEST_REST, "{longest:?}");
        assert!(looks < 400, "{looks} looks");
        assert_eq!(written, 1_000_000);
    }

    #[test]
    fn a_fast_task_with_a_small_pipe_is_not_kept_waiting() {
        let (_, _, written) = play(64 * 1024, 300_000);
        assert!(written > 270_000_000, "{written} bytes");
    }

    #[test]
    fn what_comes_after_a_silence_never_waits_and_is_not_followed_by_a_rest() {
        let mut pacing = Pacing::new(MIB);
        for second in 0..10 {
            let now = us(second * 100_000);
            pacing.found(100, now);
            assert_eq!(pacing.rests_until(now), None);
        }
    }

    #[test]
    fn a_look_that_finds_nothing_ends_it() {
        let mut pacing = Pacing::new(MIB);
        pacing.found(100, us(0));
        pacing.found(100, us(10));
        let until = pacing.rests_until(us(10)).unwrap();
        assert!(!pacing.ends_rest(until - us(1)));
        assert!(pacing.ends_rest(until));
        assert!(!pacing.ends_rest(until));
        pacing.found(100, until + us(50_000));
        assert_eq!(pacing.rests_until(until + us(50_000)), None);
    }
}
