//! What is to be tested, and the main of a test that tests it. (edge)

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use nix::errno::Errno;

use super::session::{Plan, SEED_VARIABLE, Session};
use crate::capability::{Capability, Declarer};
use crate::cli;
use crate::outcome::Ending;
use crate::programs::{self, LogmonMain};
use crate::rule::Profile;
use crate::scenario::Scenario;
use crate::suite::{
    self, Choice, CollectError, Filter, FilterError, Machine, Subject, SubjectError,
};

/// The word behind which a test is told which program it is to be.
const AGAIN: &str = "__harness";

/// A driver and what is asked of it.
///
/// Each method is the option of `harness run` with the same name.
#[derive(Clone, Debug)]
#[must_use = "call `main` in the end"]
pub struct Conformance {
    driver: Vec<String>,
    reference: LogmonMain,
    capabilities: BTreeSet<Capability>,
    include: Vec<String>,
    exclude: Vec<String>,
    profiles: BTreeSet<Profile>,
    seed: Option<u64>,
    out: Option<PathBuf>,
}

/// Why there are no tests.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The driver's command or a capability can't be used.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A filter is no glob.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The cases can't be read: a bug of the suite.
    #[error(transparent)]
    Cases(#[from] CollectError),
    /// [`Conformance::filter`] and the others leave nothing that applies to the driver.
    #[error(
        "no case is left: what `filter`, `exclude` and `profile` ask for applies not once to this driver"
    )]
    NothingLeft,
    /// The seed in the environment is no number.
    #[error("{SEED_VARIABLE} is {value:?}; give a number from 0 to {max}", max = u64::MAX)]
    Seed {
        /// What stands there.
        value: OsString,
    },
    /// This program can't be found.
    #[error("{0}")]
    Program(String),
    /// The kernel refused what this process needs.
    #[error("can't prepare this process")]
    Process(#[from] Errno),
}

impl Refused {
    /// How [`Conformance::main`] ends then.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Subject(_) | Self::Filter(_) | Self::Seed { .. } => Ending::Usage,
            Self::NothingLeft => Ending::NothingRan,
            Self::Cases(_) => Ending::SuiteBug,
            Self::Program(_) | Self::Process(_) => Ending::Unfit,
        }
    }
}

impl Conformance {
    /// Tests a driver, given as the words that start it. They are those of `--driver`: program and
    /// arguments, with `{task}`, `{stdout}`, `{stderr}`, `{task_dir}`, `{log_dir}` and `{id}`. A word
    /// that is exactly `{task}` becomes the task's command, word by word.
    ///
    /// `reference` is the main of the logmon that the driver is played with, and that must pass on
    /// this machine before anything is said of the driver: `logmon::main_with_args`.
    pub fn driver<W: Into<String>>(
        words: impl IntoIterator<Item = W>,
        reference: LogmonMain,
    ) -> Self {
        Self {
            driver: words.into_iter().map(Into::into).collect(),
            reference,
            capabilities: BTreeSet::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            profiles: BTreeSet::new(),
            seed: None,
            out: None,
        }
    }

    /// Declares what the driver can do beside what every command can.
    pub fn capability(mut self, capability: Capability) -> Self {
        self.capabilities.insert(capability);
        self
    }

    /// Plays only the cases whose id, family, tag or rule matches this glob, or another one that is
    /// given in the same way. The other cases are ignored, and say so.
    pub fn filter(mut self, glob: impl Into<String>) -> Self {
        self.include.push(glob.into());
        self
    }

    /// Plays no case whose id, family, tag or rule matches this glob. Such a case is ignored, and
    /// says so.
    pub fn exclude(mut self, glob: impl Into<String>) -> Self {
        self.exclude.push(glob.into());
        self
    }

    /// Plays only cases of this profile, or of another one that is given in the same way.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profiles.insert(profile);
        self
    }

    /// Sets the seed of everything random. Without it, it is drawn; the variable `HARNESS_SEED`
    /// comes before both.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the folder that the cases are played in, and where everything of a failed one is kept.
    /// It is made if it is missing, and taken from the package's root if it is relative; its path
    /// has at most 75 bytes, as sockets lie below it. One process at a time can use it, so a runner
    /// that gives each test a process of its own needs the default: a new folder for temporary
    /// files, which stays only if a case failed.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// Is the whole of a test's `main`. It must come first there, since the same program is started
    /// again as the task, as logmon and as every other process of a case.
    ///
    /// Gives 0 if no test failed and 101 if one did, as tests do; 130 if it was interrupted; 4 if
    /// nothing was played though nothing was filtered out on the command line; and the code of
    /// [`Refused::ending`] if there are no tests.
    #[must_use]
    pub fn main(self) -> ExitCode {
        if let Some(code) = started_again(self.reference) {
            return code;
        }
        let mut arguments = Arguments::from_args();
        // Most of a case is waiting.
        arguments.test_threads.get_or_insert_with(cli::default_jobs);
        // Whoever lists only what is ignored must be told then; else it is told with the reason.
        let flags = arguments.list && arguments.ignored;
        let session = match self.prepare() {
            Ok(session) => session,
            Err(refused) => {
                complain(&suite::error_chain(&refused));
                return ExitCode::from(refused.ending().code());
            }
        };
        let told = libtest_mimic::run(&arguments, session.trials(flags));
        if session.is_interrupted() {
            return ExitCode::from(Ending::Interrupted.code());
        }
        let has_played = told.num_passed + told.num_failed > 0;
        if !arguments.list && !arguments.ignored && told.num_filtered_out == 0 && !has_played {
            complain("nothing ran, so nothing is shown");
            return ExitCode::from(Ending::NothingRan.code());
        }
        told.exit_code()
    }

    /// Gives the tests, one per case, for a main that has others beside them. They don't start
    /// anything before the first of them runs.
    ///
    /// Such a main begins with [`started_again`]. It calls this before it starts a thread, because
    /// SIGINT, SIGTERM and SIGHUP are blocked and read from then on: cases end by them, everything
    /// else in this process does not. And it starts no processes in sessions of their own: after each
    /// case, whatever is left of it is killed, and a process in a session of its own counts as such.
    ///
    /// # Errors
    /// [`Refused`]: what is asked for can't be tested.
    pub fn tests(self) -> Result<Vec<Trial>, Refused> {
        Ok(self.prepare()?.trials(false))
    }

    fn prepare(self) -> Result<Arc<Session>, Refused> {
        let template = shell_words::join(&self.driver);
        let subject = Subject::from_templates(Some(&template), None, &self.capabilities)?;
        let profiles = self.profiles;
        let filter = Filter::new(&self.include, &self.exclude, None, profiles)?;
        let scenarios = suite::shipped_scenarios()?;
        if !asks_for_any(&subject, &filter, &scenarios) {
            return Err(Refused::NothingLeft);
        }
        let seed = match env::var_os(SEED_VARIABLE) {
            None => self.seed,
            Some(value) => match value.to_str().and_then(|text| text.parse().ok()) {
                Some(seed) => Some(seed),
                None => return Err(Refused::Seed { value }),
            },
        };
        let plan = Plan {
            subject,
            filter,
            scenarios,
            seed: seed.unwrap_or_else(cli::draw_seed),
            reexec: programs::reexec(&[AGAIN]).map_err(Refused::Program)?,
            out: self.out,
        };
        Ok(Arc::new(Session::new(plan, Machine::prepare()?.stop())))
    }
}

/// Whether a case is left on a machine that allows everything.
fn asks_for_any(subject: &Subject, filter: &Filter, scenarios: &[Scenario]) -> bool {
    let all = Capability::ALL.iter().copied();
    let machine = all.filter(|one| one.declarer() == Declarer::Machine);
    let subject = subject.clone().on(&machine.collect());
    suite::select(scenarios.to_vec(), &subject, filter)
        .iter()
        .any(|one| one.choice == Choice::Run)
}

/// Runs the program that this process was started as, if it is a test that started itself again; none
/// in the test itself. `reference` is what [`Conformance::driver`] gets.
///
/// [`Conformance::main`] does this. A main of one's own begins with it.
#[must_use]
pub fn started_again(reference: LogmonMain) -> Option<ExitCode> {
    let args: Vec<OsString> = env::args_os().collect();
    if args.get(1)? != AGAIN {
        return None;
    }
    let code = programs::dispatch(&args, 2, reference);
    Some(
        code.or_else(|| programs::dispatch_part(&args, 2))
            .unwrap_or_else(|| {
                complain(&format!(
                    "{AGAIN} is the word by which this test starts itself again; leave it out"
                ));
                ExitCode::from(Ending::Usage.code())
            }),
    )
}

fn complain(text: &str) {
    // Nobody is left to be told if standard error is gone.
    drop(writeln!(io::stderr(), "harness: {}", text.trim_end()));
}
