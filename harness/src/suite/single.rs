//! One case, played when somebody asks for it, and again alone if it did not pass. (edge)
//!
//! A run of the whole suite plays failures again when all other cases are over. Here nobody knows
//! which others are still to come, so those that run are waited for, and new ones wait.

use std::sync::{PoisonError, RwLock};

use super::run::{MAX_RERUN_CASES, RERUNS, is_doubtful, play, sum_up};
use crate::scenario::Scenario;
use crate::suite::{CaseResult, SuiteRun};

/// Who may play: many cases side by side, or one alone. It counts the cases that were played again.
#[derive(Debug, Default)]
pub struct Turns(RwLock<usize>);

/// Plays one case and returns its result. It waits while another one is played alone; if it fails or
/// proves nothing, it is played again, alone, as in a run of the whole suite.
///
/// Of `run` the seed, the pair, the folder and what is kept count. To be called from any thread.
#[must_use]
pub fn play_single(run: &SuiteRun<'_>, scenario: &Scenario, turns: &Turns) -> CaseResult {
    let first = {
        let _beside_others = turns.0.read().unwrap_or_else(PoisonError::into_inner);
        play(run, scenario, 1)
    };
    let mut attempts = vec![first];
    let is_doubted = |attempts: &[_]| last_is_doubtful(attempts) && !run.stop.is_asked();
    if is_doubted(&attempts) {
        let mut rerun_cases = turns.0.write().unwrap_or_else(PoisonError::into_inner);
        *rerun_cases += 1;
        let mut attempt = 2;
        while *rerun_cases <= MAX_RERUN_CASES && attempt <= 1 + RERUNS && is_doubted(&attempts) {
            attempts.push(play(run, scenario, attempt));
            attempt += 1;
        }
    }
    sum_up(run, scenario, &mut attempts)
}

fn last_is_doubtful(attempts: &[super::run::Ended]) -> bool {
    attempts.last().is_some_and(|last| is_doubtful(last.status))
}
