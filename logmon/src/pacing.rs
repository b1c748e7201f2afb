//! Core: when to look for bytes again, so that many tiny writes do not cost a wake-up each.
//!
//! A byte after a time of silence is moved at once, always. If the next ones come right behind, in small
//! amounts, the stream *rests*: writes wake nobody, and after a moment it looks by itself and moves all
//! that has come meanwhile. So a line is late by at most [`LONGEST_REST`] and the slack of the timer, and
//! a flood of 100-byte lines is moved by some hundreds of kilobytes. A look that finds nothing ends it:
//! the next write wakes the stream, and an idle stream is never woken.
//!
//! The rest must not be so long that the FIFO is full and the task waits. Its length therefore follows
//! from what the last one found: shorter when the FIFO was full or not far from it, longer when it was
//! nearly empty. One rest follows the other as long as each finds something. Where the FIFO is full after
//! [`SHORTEST_REST`] even, as with a small pipe and a fast task, the stream does without, and tries again
//! once in a while.

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
const SMALL_PART: u32 = 16;
/// A find of more than so many sixteenths of the capacity is one that made the task wait, or soon would: a
/// pipe has no room when each of its slots is more than half full, if no write fits into what is left
/// (`pipe_write` in fs/pipe.c).
const FULL_SIXTEENTHS: u32 = 7;
/// How many small finds pass until a rest is tried again after one that was too long, at first and at
/// most.
const SKIPPED: (u32, u32) = (16, 4096);
/// So many late looks at a full FIFO, one after the other, are not by chance: the rests are too long here.
const MOST_LATE: u8 = 4;

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
    fifo_bytes: u32,
    state: State,
    rest: Duration,
    last_find: Option<Duration>,
    /// What was found in part since the last whole find.
    in_part: u32,
    to_skip: u32,
    skipped: u32,
    /// Late looks in a row that found the FIFO full after the shortest rest.
    late: u8,
}

impl Pacing {
    /// Makes the pace for a FIFO with this capacity in bytes.
    #[must_use]
    pub fn new(fifo_bytes: usize) -> Pacing {
        Pacing {
            // fcntl(2) gives it as an int.
            fifo_bytes: u32::try_from(fifo_bytes).unwrap_or(u32::MAX),
            state: State::Awake,
            rest: LONGEST_REST,
            last_find: None,
            in_part: 0,
            to_skip: 0,
            skipped: 0,
            late: 0,
        }
    }

    /// Takes note that so many bytes were found, and that more may be there.
    pub fn found_part(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.in_part = self.in_part.saturating_add(bytes);
    }

    /// Takes note that so many bytes were found, and that these were all.
    pub fn found(&mut self, bytes: usize, now: Duration) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.saturating_add(std::mem::take(&mut self.in_part));
        let is_dense = self
            .last_find
            .is_some_and(|last| now <= last + LONGEST_REST);
        self.last_find = Some(now);
        let rests = match self.state {
            State::Resting(until) | State::Rested(until) if now <= until + SLACK => {
                self.learn(bytes, now <= until + SHORTEST_REST)
            }
            State::Resting(_) | State::Rested(_) | State::Awake => {
                is_dense && bytes < self.fifo_bytes / SMALL_PART && self.may_try()
            }
        };
        self.state = if rests {
            State::Resting(now + self.rest)
        } else {
            State::Awake
        };
    }

    /// Learns from what a rest found; true if another one is to follow.
    fn learn(&mut self, bytes: u32, is_in_time: bool) -> bool {
        let is_full = bytes > self.fifo_bytes / 16 * FULL_SIXTEENTHS;
        let is_blamed = is_full && self.rest == SHORTEST_REST;
        // A look that came late says little of the rest.
        self.late = match (is_blamed, is_in_time) {
            (true, false) => self.late + 1,
            (true, true) | (false, _) => 0,
        };
        let is_too_fast = is_blamed && (is_in_time || self.late >= MOST_LATE);
        if is_full {
            self.rest = (self.rest / 2).max(SHORTEST_REST);
        } else if bytes < self.fifo_bytes / 8 {
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
        if is_too_fast {
            self.late = 0;
            self.to_skip = (self.to_skip * 2).clamp(SKIPPED.0, SKIPPED.1);
        } else if !is_full {
            self.to_skip = 0;
        }
        !is_too_fast
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

    /// A FIFO, and how it is emptied.
    struct Played {
        fifo_bytes: usize,
        /// What it holds of the writes that it gets.
        room: usize,
        /// What one look takes, at most.
        look_bytes: usize,
        /// By so much each look after a rest is late.
        late: Duration,
    }

    impl Played {
        fn of(fifo_bytes: usize) -> Played {
            Played {
                fifo_bytes,
                room: fifo_bytes,
                look_bytes: fifo_bytes,
                late: Duration::ZERO,
            }
        }

        /// Plays a task that writes so many bytes a millisecond, and gives the longest time that a byte lay
        /// in the FIFO, the looks in one second, and the bytes that the task could write meanwhile.
        fn play(&self, bytes_per_ms: usize) -> (Duration, u32, usize) {
            let mut pacing = Pacing::new(self.fifo_bytes);
            let (mut level, mut oldest, mut longest) = (0, Duration::ZERO, Duration::ZERO);
            let (mut looks, mut written) = (0, 0);
            let mut not_before = Duration::ZERO;
            for micros in (0..1_000_000).step_by(10) {
                let now = us(micros);
                let more = (bytes_per_ms / 100).min(self.room - level);
                if level == 0 && more > 0 {
                    oldest = now;
                }
                level += more;
                written += more;
                if let Some(until) = pacing.rests_until(now) {
                    not_before = until + self.late;
                }
                pacing.ends_rest(now);
                if level > 0 && now >= not_before {
                    longest = longest.max(now - oldest);
                    looks += 1;
                    while level >= self.look_bytes {
                        level -= self.look_bytes;
                        pacing.found_part(self.look_bytes);
                    }
                    if level > 0 {
                        pacing.found(level, now);
                        level = 0;
                    }
                }
            }
            (longest, looks, written)
        }
    }

    fn play(fifo_bytes: usize, bytes_per_ms: usize) -> (Duration, u32, usize) {
        Played::of(fifo_bytes).play(bytes_per_ms)
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
        assert!(looks < 5_000, "{looks} looks");
        assert!(written > 890_000_000, "{written} bytes");
    }

    #[test]
    fn what_is_found_in_parts_is_not_taken_for_little() {
        let memory = Played {
            look_bytes: 64 * 1024,
            ..Played::of(MIB)
        };
        for bytes_per_ms in [20_000, 300_000, 900_000] {
            let (longest, looks, written) = memory.play(bytes_per_ms);
            assert!(longest <= LONGEST_REST, "{longest:?}");
            assert!(looks < 5_000, "{looks} looks");
            assert!(written > bytes_per_ms * 990, "{written} bytes");
        }
    }

    #[test]
    fn a_fast_task_with_a_small_pipe_is_not_kept_waiting_by_looks_that_are_late() {
        for (fifo_bytes, bytes_per_ms) in [
            (64 * 1024, 300_000),
            (64 * 1024, 100_000),
            (16 * 1024, 50_000),
        ] {
            for late in [500, 900] {
                let slow = Played {
                    late: us(late),
                    ..Played::of(fifo_bytes)
                };
                let (_, _, written) = slow.play(bytes_per_ms);
                assert!(
                    written > bytes_per_ms * 850,
                    "{late} us late: {written} bytes"
                );
            }
        }
    }

    #[test]
    fn a_pipe_is_full_when_each_slot_is_half_full() {
        let (_, _, written) = Played {
            room: MIB / 2 + 4096,
            ..Played::of(MIB)
        }
        .play(3_000_000);
        assert!(written > 2_900_000_000, "{written} bytes");
    }

    #[test]
    fn a_full_pipe_ends_the_rests_unless_the_look_was_late() {
        let mut pacing = Pacing::new(MIB);
        pacing.found(100, us(0));
        pacing.found(100, us(10));
        let look = |pacing: &mut Pacing, late: Duration| {
            let until = pacing.rests_until(Duration::ZERO).unwrap();
            assert!(pacing.ends_rest(until + late));
            pacing.found(MIB, until + late);
        };
        while pacing.rest > SHORTEST_REST {
            look(&mut pacing, us(0));
        }
        // The files took so long that the rest was over before it began.
        for _ in 1..MOST_LATE {
            look(&mut pacing, us(600));
        }
        look(&mut pacing, us(10));
        assert_eq!(pacing.rests_until(Duration::ZERO), None);
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
