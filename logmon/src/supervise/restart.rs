//! Core: when a logmon that died is started again.
//!
//! A death after a long life is followed by a new life at once, and so are the first three quick ones: a
//! logmon that was killed must not keep its task waiting. Each further quick death in a row doubles the
//! pause, up to ten seconds. One long life forgets all of it.

use std::time::Duration;

/// A shorter life is a quick death.
pub(crate) const LONG_LIFE: Duration = Duration::from_secs(10);
/// So many quick deaths in a row cost no pause.
pub(crate) const FREE_DEATHS: u32 = 3;
/// The pause after the first quick death that costs one.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The quick deaths so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restart {
    quick_deaths: u32,
}

impl Restart {
    /// Takes note of a death after a life of this length; gives the pause before the next life.
    pub(crate) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_LIFE {
            self.quick_deaths = 0;
            return Duration::ZERO;
        }
        self.quick_deaths = self.quick_deaths.saturating_add(1);
        match self.quick_deaths.checked_sub(FREE_DEATHS + 1) {
            None => Duration::ZERO,
            Some(doublings) => 2_u32
                .checked_pow(doublings)
                .and_then(|factor| FIRST_PAUSE.checked_mul(factor))
                .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_deaths_cost_nothing_and_then_the_pause_doubles() {
        let mut restart = Restart::default();
        let pauses_ms: Vec<u128> = (0..14)
            .map(|_| restart.after(Duration::from_millis(5)).as_millis())
            .collect();
        assert_eq!(
            pauses_ms,
            [
                0, 0, 0, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000
            ]
        );
        assert_eq!(restart.after(LONG_LIFE), Duration::ZERO);
        assert_eq!(restart.after(Duration::ZERO), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_pause_never_shrinks_without_a_long_life_and_never_passes_the_longest(
            lives_ms in proptest::collection::vec(0_u64..20_000, 0..200),
        ) {
            let mut restart = Restart::default();
            let mut last = Duration::ZERO;
            for lived in lives_ms.into_iter().map(Duration::from_millis) {
                let pause = restart.after(lived);
                if lived >= LONG_LIFE {
                    prop_assert_eq!(pause, Duration::ZERO);
                } else {
                    prop_assert!(pause >= last && pause <= LONGEST_PAUSE);
                }
                last = pause;
            }
        }

        #[test]
        fn in_any_minute_of_quick_deaths_the_starts_are_few(life_ms in 0_u64..50) {
            let mut restart = Restart::default();
            let (mut now, mut starts) = (Duration::ZERO, 0);
            while now < Duration::from_secs(60) {
                starts += 1;
                now += Duration::from_millis(life_ms) + restart.after(Duration::from_millis(life_ms));
            }
            prop_assert!(starts <= 18, "{} starts", starts);
        }
    }
}
