//! What the tests of one process share: the pair, the probes, the folder and the turns. (edge)

use std::env;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Completion, Failed, Trial};
use tempfile::TempDir;

use crate::expected::Expectations;
use crate::outcome::{Ending, Status};
use crate::report::{self, Paint};
use crate::runner;
use crate::scenario::Scenario;
use crate::suite::{
    self, Budget, CaseResult, Choice, Filter, Keep, OutDir, Stop, Subject, SuiteRun, Turns,
};

/// The variable that gives the seed, for a failure that is to be seen again.
pub(super) const SEED_VARIABLE: &str = "HARNESS_SEED";

/// What is told to whoever gets a text that speaks of options.
const OPTIONS: &str = "(Options such as --driver, --capability and --out are methods of harness::testing::Conformance.)";

/// What is to be tested.
#[derive(Debug)]
pub(super) struct Plan {
    /// The pair, on a machine of which nothing is known yet.
    pub(super) subject: Subject,
    pub(super) filter: Filter,
    pub(super) scenarios: Vec<Scenario>,
    pub(super) seed: u64,
    /// The words that start this program again.
    pub(super) reexec: Vec<String>,
    /// Where cases are played; a new folder if there is none.
    pub(super) out: Option<PathBuf>,
}

/// The tests of one process. Nothing is started before the first one needs it.
#[derive(Debug)]
pub(super) struct Session {
    plan: Plan,
    stop: Stop,
    /// The pair on this machine.
    subject: OnceLock<Subject>,
    /// What the first case that is played finds: a place to play in, or why no verdict is worth
    /// anything.
    ground: OnceLock<Result<Ground, String>>,
    turns: Turns,
}

impl Session {
    pub(super) fn new(plan: Plan, stop: Stop) -> Self {
        Self {
            plan,
            stop,
            subject: OnceLock::new(),
            ground: OnceLock::new(),
            turns: Turns::default(),
        }
    }

    /// Whether a signal asked this process to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.is_asked()
    }

    /// A test per case. With `flags` those that will be ignored are marked already, for whoever
    /// only lists.
    pub(super) fn trials(self: &Arc<Self>, flags: bool) -> Vec<Trial> {
        let trial = |scenario: &Scenario| {
            let is_ignored = flags && self.choice(scenario) != Choice::Run;
            let (session, scenario) = (Arc::clone(self), scenario.clone());
            Trial::ignorable_test(scenario.id.clone(), move || session.test(&scenario))
                .with_ignored_flag(is_ignored)
        };
        self.plan.scenarios.iter().map(trial).collect()
    }

    fn test(&self, scenario: &Scenario) -> Result<Completion, Failed> {
        if self.stop.is_asked() {
            return Err("interrupted".into());
        }
        match self.choice(scenario) {
            Choice::Run => {}
            Choice::NotApplicable { why } | Choice::Filtered { why } => {
                return Ok(Completion::ignored_with(why));
            }
        }
        let ground = self.ground.get_or_init(|| self.prove_the_ground());
        let ground = ground.as_ref().map_err(|why| Failed::from(why.as_str()))?;
        let run = SuiteRun {
            selected: &[],
            subject: self.subject(),
            seed: self.plan.seed,
            jobs: 1,
            stress: 1,
            fail_fast: false,
            expected: &Expectations::default(),
            budget: &Budget::default(),
            keep: Keep::Fail,
            reexec: &self.plan.reexec,
            out: &ground.out,
            stop: &self.stop,
        };
        let result = suite::play_single(&run, scenario, &self.turns);
        if self.stop.is_asked() {
            return Err("interrupted".into());
        }
        ground.keep_if_needed(&result);
        self.completion(&result)
    }

    fn completion(&self, result: &CaseResult) -> Result<Completion, Failed> {
        match result.status {
            Status::Pass | Status::Xfail => Ok(Completion::Completed),
            Status::Fail
            | Status::Xpass
            | Status::Flaky
            | Status::Inconclusive
            | Status::ErrorSuite
            | Status::ErrorEnvironment => Err(self.failure(result).into()),
            // It was played, so this can't be; if it were, nothing would be shown.
            Status::SkippedCapability | Status::SkippedFilter => {
                Err("the case was not played".into())
            }
        }
    }

    /// The failure as the suite shows it, and how to see it again as a test.
    fn failure(&self, result: &CaseResult) -> String {
        let package = env::var("CARGO_PKG_NAME");
        let package = package.map_or_else(|_| String::new(), |name| format!(" -p {name}"));
        format!(
            "\n{}{}  {:<15}{}={} cargo test{package} -- --exact {}\n",
            report::failure_head(result, Paint::Plain),
            result.text,
            "As a test",
            SEED_VARIABLE,
            self.plan.seed,
            result.id
        )
    }

    fn choice(&self, scenario: &Scenario) -> Choice {
        suite::choose(scenario, self.subject(), &self.plan.filter)
    }

    fn subject(&self) -> &Subject {
        self.subject.get_or_init(|| {
            let machine = runner::machine_capabilities(&self.plan.reexec);
            self.plan.subject.clone().on(&machine)
        })
    }

    /// Plays the probes; all tests wait for it.
    fn prove_the_ground(&self) -> Result<Ground, String> {
        let told = |text: &str| format!("{text}\n{OPTIONS}");
        let (folder, temporary) = match &self.plan.out {
            Some(folder) => (folder.clone(), None),
            None => {
                let made = tempfile::Builder::new().prefix("conformance.").tempdir();
                let made = made.map_err(|error| {
                    let place = env::temp_dir();
                    told(&format!(
                        "can't make a folder in {}: {error}; give one with --out",
                        place.display()
                    ))
                })?;
                (made.path().to_owned(), Some(made))
            }
        };
        let out = OutDir::open(&folder).map_err(|error| told(&suite::error_chain(&error)))?;
        let ground = Ground {
            out,
            is_kept: AtomicBool::new(false),
            temporary,
        };
        let (reexec, seed) = (&self.plan.reexec, self.plan.seed);
        match suite::probe(self.subject(), reexec, &ground.out, seed, &self.stop) {
            Ok(_facts) => Ok(ground),
            Err(failure) => {
                if failure.ending == Ending::Interrupted {
                    return Err(failure.text);
                }
                ground.is_kept.store(true, Ordering::SeqCst);
                Err(told(&failure.text))
            }
        }
    }
}

/// Where cases are played, once the probes have shown that a verdict is worth something.
#[derive(Debug)]
struct Ground {
    out: OutDir,
    is_kept: AtomicBool,
    /// The folder, if nobody gave one. It goes with the tests, unless something in it is to be
    /// looked at.
    temporary: Option<TempDir>,
}

impl Ground {
    fn keep_if_needed(&self, result: &CaseResult) {
        if result.bundle.is_some() {
            self.is_kept.store(true, Ordering::SeqCst);
        }
        if let Ok(line) = serde_json::to_string(result) {
            // The test itself tells what became of the case.
            drop(self.out.add_result(&line));
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.out.finish();
        if self.is_kept.load(Ordering::SeqCst)
            && let Some(folder) = self.temporary.take()
        {
            drop(folder.keep());
        }
    }
}
