//! Runs the chosen cases side by side, and those that fail again, alone. (edge)

use std::collections::VecDeque;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::expected::{self, Expectations};
use crate::outcome::{Status, Verdict};
use crate::report::{self, LikelyCause, PassesHere};
use crate::scenario::{Action, Scenario, Step, places_in};
use crate::suite::play::{PlayRequest, error_chain, play_once};
use crate::suite::{Budget, CaseResult, Choice, Keep, OutDir, Selected, Stop, Subject, settle};
use crate::tally::Tally;
use crate::task_memory::TaskMemory;

/// When the process of a case is killed that has hardly any steps, whatever it does.
const CASE_DEADLINE: Duration = Duration::from_secs(180);

/// What each step of a plan adds to that. What a step waits for has a limit of its own; but some
/// cases start a task hundreds of times, and a driver may need most of a second for each.
const STEP_DEADLINE: Duration = Duration::from_secs(1);

/// Why a case is not played that `--fail-fast` has left out.
pub const ENDED_BY_FAIL_FAST: &str = "--fail-fast ended the run";
/// Why a case was not begun that `--budget` left no time for.
pub const OUT_OF_TIME: &str = "the time budget was used up";
/// Why a case was not played that a signal came before.
pub const INTERRUPTED: &str = "the run was interrupted";
/// Why a chosen case was not played where the probes found that the run can't go on.
pub const NO_VERDICT: &str = "no verdict could be given";

/// How often a failure is played again, alone.
pub(super) const RERUNS: u32 = 2;

/// Beyond this many failures they are no accident, and the rest is not played again.
pub(super) const MAX_RERUN_CASES: usize = 20;

/// So many tasks of one logmon take about as long as a step. Cases that kill at random instants have
/// more steps than the one with a thousand tasks, and so come first: it would slow their floods down.
const TASKS_LIKE_A_STEP: u64 = 100;

/// What a run needs.
#[derive(Debug)]
pub struct SuiteRun<'a> {
    /// All cases with what is to be done with them.
    pub selected: &'a [Selected],
    /// The pair.
    pub subject: &'a Subject,
    /// Seed of everything random.
    pub seed: u64,
    /// How many cases run side by side, at least 1.
    pub jobs: usize,
    /// How often each case is played: 1, or more to find what fails seldom.
    pub stress: u32,
    /// Whether nothing new is begun after the first failure.
    pub fail_fast: bool,
    /// The failures that are known.
    pub expected: &'a Expectations,
    /// When nothing new is begun.
    pub budget: &'a Budget,
    /// Which folders are kept.
    pub keep: Keep,
    /// How to start this program again.
    pub reexec: &'a [String],
    /// Where everything is written.
    pub out: &'a OutDir,
    /// Whether the run is to end early.
    pub stop: &'a Stop,
}

/// What is told while a run goes on. Told on the thread that called [`run_suite`].
#[derive(Debug)]
pub enum Progress<'a> {
    /// An attempt at a case began.
    Began {
        /// The case.
        id: &'a str,
    },
    /// An attempt at a case ended, and another one is still to come.
    Ended {
        /// The case.
        id: &'a str,
        /// What became of the attempt.
        status: Status,
    },
    /// Everything about a case is known.
    Settled(&'a CaseResult),
}

/// An attempt, without its history: what is left when its folder is kept or gone.
pub(super) struct Ended {
    pub(super) status: Status,
    verdict: Verdict,
    seconds: f64,
    tally: Option<Tally>,
    memory: Option<TaskMemory>,
    cause: Option<LikelyCause>,
    text: String,
    bundle: Option<PathBuf>,
}

enum Message {
    Began(usize),
    Ended(usize, Box<Ended>),
}

/// Plays the chosen cases and returns a result for every case, in the given order.
///
/// Cases that are not played are settled first. A case that failed or proved nothing is played
/// again, alone, after all others.
pub fn run_suite(run: &SuiteRun<'_>, mut tell: impl FnMut(Progress<'_>)) -> Vec<CaseResult> {
    let mut results: Vec<Option<CaseResult>> = vec![None; run.selected.len()];
    let mut settle_as = |index: usize, result: CaseResult, tell: &mut dyn FnMut(Progress<'_>)| {
        tell(Progress::Settled(&result));
        results[index] = Some(result);
    };

    let mut queue = VecDeque::new();
    for (index, Selected { scenario, choice }) in run.selected.iter().enumerate() {
        let (status, why) = match choice {
            Choice::Run => {
                queue.extend((1..=run.stress.max(1)).map(|attempt| (index, attempt)));
                continue;
            }
            Choice::NotApplicable { why } => (Status::SkippedCapability, why),
            Choice::Filtered { why } => (Status::SkippedFilter, why),
        };
        settle_as(index, CaseResult::skipped(scenario, status, why), &mut tell);
    }

    // Long cases first, so that none of them is left alone at the end.
    let played = |&(index, _): &(usize, u32)| -> u64 {
        let scenario = &run.selected[index].scenario;
        let tasks = scenario.many.map_or(0, |many| u64::from(many.tasks));
        steps(&scenario.plan).saturating_add(tasks / TASKS_LIKE_A_STEP)
    };
    queue
        .make_contiguous()
        .sort_by_key(|job| std::cmp::Reverse(played(job)));

    let mut ended: Vec<Vec<Ended>> = run.selected.iter().map(|_| Vec::new()).collect();
    let wanted = run.stress.max(1) as usize;
    side_by_side(run, queue, |message| match message {
        Message::Began(index) => tell(Progress::Began {
            id: &run.selected[index].scenario.id,
        }),
        Message::Ended(index, attempt) => {
            let scenario = &run.selected[index].scenario;
            let again = run.stress <= 1 && is_doubtful(attempt.status);
            let status = attempt.status;
            ended[index].push(*attempt);
            if again || ended[index].len() < wanted {
                tell(Progress::Ended {
                    id: &scenario.id,
                    status,
                });
            } else {
                let result = sum_up(run, scenario, &mut ended[index]);
                settle_as(index, result, &mut tell);
            }
        }
    });

    let mut rerun_cases = 0;
    for (index, attempts) in ended.iter_mut().enumerate() {
        if attempts.is_empty() {
            continue;
        }
        let scenario = &run.selected[index].scenario;
        rerun_cases += 1;
        let mut attempt = 2;
        while rerun_cases <= MAX_RERUN_CASES
            && attempt <= 1 + RERUNS
            && is_played_again(run, attempts)
        {
            tell(Progress::Began { id: &scenario.id });
            let one = play(run, scenario, attempt);
            if run.stop.is_asked() {
                break;
            }
            tell(Progress::Ended {
                id: &scenario.id,
                status: one.status,
            });
            attempts.push(one);
            attempt += 1;
        }
        let result = sum_up(run, scenario, attempts);
        settle_as(index, result, &mut tell);
    }

    let why = if run.stop.is_asked() {
        INTERRUPTED
    } else if run.budget.was_used_up() {
        OUT_OF_TIME
    } else {
        ENDED_BY_FAIL_FAST
    };
    for (result, Selected { scenario, .. }) in results.iter_mut().zip(run.selected) {
        if result.is_none() {
            let skipped = CaseResult::skipped(scenario, Status::SkippedFilter, why);
            tell(Progress::Settled(&skipped));
            *result = Some(skipped);
        }
    }
    results.into_iter().flatten().collect()
}

/// Whether a case is played again, alone. A failure is one without that too, so the budget is not used up
/// when there is no time for it.
fn is_played_again(run: &SuiteRun<'_>, attempts: &[Ended]) -> bool {
    run.stress <= 1
        && !run.stop.is_asked()
        && attempts.last().is_some_and(|last| is_doubtful(last.status))
        && !run.budget.is_over()
}

/// How many steps a plan plays, repetitions included.
fn steps(plan: &[Step]) -> u64 {
    plan.iter()
        .map(|step| {
            if let Action::Repeat { times, plan } = &step.action {
                u64::from(*times).saturating_mul(steps(plan))
            } else if let Action::KillOften { count, .. } = &step.action {
                u64::from(*count)
            } else {
                1
            }
        })
        .fold(0, u64::saturating_add)
}

/// Whether an attempt is to be repeated before it counts.
pub(super) fn is_doubtful(status: Status) -> bool {
    match status {
        Status::Fail | Status::Inconclusive => true,
        Status::Pass
        | Status::Xfail
        | Status::Xpass
        | Status::Flaky
        | Status::SkippedCapability
        | Status::SkippedFilter
        | Status::ErrorSuite
        | Status::ErrorEnvironment => false,
    }
}

/// Plays the queue with `jobs` threads. `handle` is called on this thread.
fn side_by_side(
    run: &SuiteRun<'_>,
    queue: VecDeque<(usize, u32)>,
    mut handle: impl FnMut(Message),
) {
    let queue = Mutex::new(queue);
    let failed = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..run.jobs.max(1) {
            let sender = sender.clone();
            let (queue, failed) = (&queue, &failed);
            scope.spawn(move || {
                let is_over =
                    || run.stop.is_asked() || run.fail_fast && failed.load(Ordering::SeqCst);
                while !is_over() {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((index, attempt)) = next else { return };
                    if run.budget.refuses() {
                        return;
                    }
                    // The receiver outlives the threads.
                    drop(sender.send(Message::Began(index)));
                    let one = play(run, &run.selected[index].scenario, attempt);
                    if run.stop.is_asked() {
                        return; // The case was cut short and proves nothing.
                    }
                    if !is_no_news(run, &run.selected[index].scenario.id, &one) {
                        failed.store(true, Ordering::SeqCst);
                    }
                    drop(sender.send(Message::Ended(index, Box::new(one))));
                }
            });
        }
        drop(sender);
        for message in receiver {
            handle(message);
        }
    });
}

/// Whether an attempt passed or failed as expected.
fn is_no_news(run: &SuiteRun<'_>, case: &str, attempt: &Ended) -> bool {
    attempt.status == Status::Pass
        || run.expected.entry(case).is_some_and(|entry| {
            expected::is_excused(entry, &[attempt.verdict.shapes()])
                && attempt.status == Status::Fail
        })
}

/// When the process of a case is killed, counted from its start.
pub(crate) fn case_deadline(scenario: &Scenario) -> Duration {
    CASE_DEADLINE + STEP_DEADLINE * places_in(&scenario.plan)
}

/// Plays one attempt and keeps or removes its folder. The bundle is that of the first attempt
/// that did not pass.
pub(super) fn play(run: &SuiteRun<'_>, scenario: &Scenario, attempt: u32) -> Ended {
    let dir = match run.out.case_dir() {
        Ok(dir) => dir,
        Err(error) => return not_played(error_chain(&error)),
    };
    let request = PlayRequest {
        scenario,
        subject: run.subject,
        seed: run.seed,
        attempt,
        reexec: run.reexec,
        leave_out: None,
        strace: false,
        deadline: case_deadline(scenario),
        hold: None,
    };
    let played = play_once(&request, &dir);
    let bundle = run.out.bundle(&scenario.id);
    let keeps = run.keep.keeps(played.status) && !run.stop.is_asked() && !bundle.exists();
    let text = if played.status == Status::Pass {
        String::new()
    } else {
        let bundle = keeps.then(|| from_here(&bundle));
        let history = played.history.as_ref();
        report::failure_text(scenario, &played.verdict, history, bundle.as_deref())
    };
    let bundle = if keeps {
        match run.out.keep(&dir, &scenario.id) {
            Ok(bundle) => Some(bundle),
            Err(_) if bundle.exists() => {
                // Under --stress another attempt at the same case was faster.
                run.out.discard(&dir);
                None
            }
            Err(error) => return not_played(error_chain(&error)),
        }
    } else {
        run.out.discard(&dir);
        None
    };
    Ended {
        status: played.status,
        tally: played.history.as_ref().and_then(Tally::of),
        memory: scenario
            .judges_memory()
            .then(|| played.history.as_ref().and_then(TaskMemory::of))
            .flatten(),
        cause: played
            .history
            .as_ref()
            .and_then(|history| LikelyCause::of(&played.verdict, history)),
        verdict: played.verdict,
        seconds: played.seconds,
        text,
        bundle,
    }
}

/// A path as it is named from the folder in which the program was started, if it lies below it.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let here = env::current_dir().and_then(|here| here.canonicalize());
    let below = here.ok().and_then(|here| path.strip_prefix(&here).ok());
    below.unwrap_or(path).to_owned()
}

fn not_played(error: String) -> Ended {
    Ended {
        status: Status::ErrorSuite,
        text: format!("  the suite could not go on: {error}\n"),
        verdict: Verdict {
            suite_errors: vec![error],
            ..Verdict::default()
        },
        seconds: 0.0,
        tally: None,
        memory: None,
        cause: None,
        bundle: None,
    }
}

/// The result of a case from all its attempts, which are taken out.
pub(super) fn sum_up(
    run: &SuiteRun<'_>,
    scenario: &Scenario,
    attempts: &mut Vec<Ended>,
) -> CaseResult {
    let attempts = std::mem::take(attempts);
    let statuses: Vec<Status> = attempts.iter().map(|one| one.status).collect();
    let status = settle(&statuses, run.stress > 1);
    let seconds = attempts.iter().map(|one| one.seconds).fold(0.0, f64::max);
    let tally = attempts.iter().filter_map(|one| one.tally);
    let tally = tally.reduce(|mut all, one| {
        all += one;
        all
    });
    let memory = attempts.iter().filter_map(|one| one.memory);
    let memory = memory.max_by_key(TaskMemory::bytes_per_task);
    let passed = statuses
        .iter()
        .filter(|status| **status == Status::Pass)
        .count();
    let bundle = attempts.iter().find_map(|one| one.bundle.clone());
    let mut failed_as = Vec::new();
    for attempt in attempts.iter().filter(|one| is_doubtful(one.status)) {
        let shapes = attempt.verdict.shapes();
        if !failed_as.contains(&shapes) {
            failed_as.push(shapes);
        }
    }
    // The attempt that shows most: a failure before one that proves nothing before the others.
    let told = [
        Status::ErrorSuite,
        Status::Fail,
        Status::Inconclusive,
        Status::Pass,
    ]
    .into_iter()
    .find_map(|wanted| statuses.iter().position(|status| *status == wanted));
    let (verdict, cause, text) = match told.and_then(|index| attempts.into_iter().nth(index)) {
        Some(one) => (one.verdict, one.cause, one.text),
        None => (Verdict::default(), None, String::new()),
    };
    let has_failed = verdict.status() == Status::Fail;
    let mut result = CaseResult {
        id: scenario.id.clone(),
        title: scenario.title.clone(),
        level: scenario.level,
        profile: scenario.profile,
        rules: scenario.rules.clone(),
        status,
        seconds,
        passed: u32::try_from(passed).unwrap_or(u32::MAX),
        attempts: u32::try_from(statuses.len()).unwrap_or(u32::MAX),
        verdict,
        failed_as,
        expected: None,
        bundle,
        skipped: None,
        tally,
        memory,
        played_kept: run.subject.plays_kept(scenario),
        cause,
        passes_here: has_failed
            .then(|| PassesHere::beside(run.subject, scenario))
            .flatten(),
        text,
    };
    if let Some(entry) = run.expected.entry(&scenario.id) {
        let (status, told) = expected::decide(entry, result.status, &result.failed_as);
        result.status = status;
        result.expected = Some(told);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a case that failed once is played again within this budget, and whether the budget then
    /// counts as used up.
    fn again(lasts: Duration, failed: Status) -> (bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget::from_now(Some(lasts));
        let run = SuiteRun {
            selected: &[],
            subject: &Subject::from_templates(None, None, &[].into()).unwrap(),
            seed: 1,
            jobs: 1,
            stress: 1,
            fail_fast: false,
            expected: &Expectations::default(),
            budget: &budget,
            keep: Keep::None,
            reexec: &[],
            out: &OutDir::open(folder.path()).unwrap(),
            stop: &Stop::default(),
        };
        let mut first = not_played(String::new());
        first.status = failed;
        (is_played_again(&run, &[first]), budget.was_used_up())
    }

    #[test]
    fn a_failure_that_there_is_no_time_to_play_again_does_not_use_the_budget_up() {
        let hour = Duration::from_secs(3600);
        assert_eq!(again(hour, Status::Fail), (true, false));
        assert_eq!(again(hour, Status::Pass), (false, false));
        assert_eq!(again(Duration::ZERO, Status::Fail), (false, false));
    }
}
