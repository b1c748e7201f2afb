//! Plays the known subjects and sums up. (edge)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use globset::GlobSet;

use super::catalogue::{Kind, Known, catalogue};
use super::matrix::{Row, matrix};
use super::passing::unplayed;
use super::plugged::configurations;
use crate::adapter::AdapterKind;
use crate::capability::{Capability, Declarer};
use crate::case::ReadySign;
use crate::diagnosis;
use crate::outcome::{Ending, Status};
use crate::runner;
use crate::scenario::Scenario;
use crate::suite::{
    self, Attempt, Choice, CollectError, Filter, OutDir, OutError, PlayRequest, Stop, Subject,
    SubjectError, play_once,
};

/// How often a surprise is played again, alone, before it counts.
const RERUNS: u32 = 2;

/// Cases per job side by side while faulty subjects are played: most of them wait for a limit.
const WAITING_PER_JOB: usize = 3;

/// The case that every faulty subject is played with, beside the one that must catch it.
const SMOKE: &str = "data/smoke";

/// The example drivers, as they are given to anyone who writes one.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "bash_driver.sh",
        include_str!("../../examples/bash_driver.sh"),
    ),
    (
        "python_driver.py",
        include_str!("../../examples/python_driver.py"),
    ),
    (
        "stdio_driver.py",
        include_str!("../../examples/stdio_driver.py"),
    ),
    (
        "stdio_driver.sh",
        include_str!("../../examples/stdio_driver.sh"),
    ),
    (
        "nomad_task.toml",
        include_str!("../../examples/nomad_task.toml"),
    ),
    (
        "nomad_forwarded_task.toml",
        include_str!("../../examples/nomad_forwarded_task.toml"),
    ),
];

/// What a self-test needs.
#[derive(Debug)]
pub struct Options<'a> {
    /// Whether every applicable case is played against every faulty subject.
    pub full: bool,
    /// Only subjects whose names match; empty means all.
    pub names: GlobSet,
    /// How many cases of good subjects run side by side, at least 1.
    pub jobs: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// How to start this program again.
    pub reexec: &'a [String],
    /// Where the folders of surprising cases are kept.
    pub out: &'a OutDir,
    /// Whether the self-test is to end early.
    pub stop: &'a Stop,
}

/// What a self-test says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The kill matrix.
    pub text: String,
    /// How it ends.
    pub ending: Ending,
}

/// A self-test that can't be done.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// A shipped case can't be used.
    #[error("read the shipped cases")]
    Cases(#[from] CollectError),
    /// A subject's template can't be used.
    #[error("start {name}")]
    Subject {
        /// Which.
        name: String,
        /// Why.
        source: SubjectError,
    },
    /// The example drivers can't be written.
    #[error("write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A case's folder can't be made or kept.
    #[error("keep a case")]
    Out(#[from] OutError),
}

/// One case to play against one subject.
struct Job<'a> {
    index: usize,
    known: &'a Known,
    subject: &'a Subject,
    scenario: &'a Scenario,
}

/// Plays the known subjects. `tell` is called with one line for each case that was played.
///
/// # Errors
/// What keeps the self-test from being done at all; everything else stands in the outcome.
pub fn run(options: &Options<'_>, mut tell: impl FnMut(&str)) -> Result<Outcome, SelfTestError> {
    let scenarios = suite::shipped_scenarios()?;
    let examples = write_examples(options.out.path())?;
    let known = catalogue();
    let machine = runner::machine_capabilities(options.reexec);
    let mut left_out = Vec::new();
    let mut subjects = Vec::new();
    for (index, one) in known.iter().enumerate() {
        if !options.names.is_empty() && !options.names.is_match(&one.name) {
            continue;
        }
        if options.names.is_empty()
            && let Some((names, why)) = one.left_out()
        {
            let line = (names.to_owned(), why.to_owned());
            if !left_out.contains(&line) {
                left_out.push(line);
            }
            continue;
        }
        if let Kind::Good {
            program: Some(program),
        } = one.kind
            && !is_installed(program)
        {
            left_out.push((one.name.clone(), format!("this machine has no {program}")));
            continue;
        }
        let subject = subject_of(one, &examples)?.on(&machine);
        if let Some(why) = not_here(one, &subject, &scenarios) {
            left_out.push((one.name.clone(), why));
            continue;
        }
        subjects.push((index, subject));
    }

    let is_due =
        |one: &Known, scenario: &Scenario| !options.names.is_empty() || is_played(one, scenario);
    let mut good = Vec::new();
    let mut faulty = Vec::new();
    for (index, subject) in &subjects {
        let Some(one) = known.get(*index) else {
            continue;
        };
        for selected in suite::select(scenarios.clone(), subject, &Filter::default()) {
            let id = &selected.scenario.id;
            let Some(scenario) = scenarios.iter().find(|scenario| scenario.id == *id) else {
                continue;
            };
            let job = Job {
                index: *index,
                known: one,
                subject,
                scenario,
            };
            match one.kind {
                _ if selected.choice != Choice::Run => {}
                Kind::Good { .. } if !is_due(one, scenario) => {}
                Kind::Good { .. } => good.push(job),
                Kind::Faulty(catch) => {
                    if options.full || id == SMOKE || id == catch.case {
                        faulty.push(job);
                    }
                }
            }
        }
    }
    let mut rows = side_by_side(options, &faulty, options.jobs * WAITING_PER_JOB, &mut tell)?;
    rows.extend(side_by_side(options, &good, options.jobs, &mut tell)?);
    for row in &mut rows {
        again_if_surprising(options, faulty.iter().chain(&good), row, &mut tell)?;
    }
    if !options.stop.is_asked() {
        let played = subjects.iter().map(|(index, _)| *index).collect();
        rows.extend(unplayed(
            &known, &played, &rows, &scenarios, &machine, is_due,
        ));
    }
    rows.sort_by(|one, other| (one.subject, &one.case).cmp(&(other.subject, &other.case)));

    let rules: BTreeMap<String, Vec<String>> = scenarios
        .iter()
        .map(|case| {
            (
                case.id.clone(),
                case.rules.iter().map(ToString::to_string).collect(),
            )
        })
        .collect();
    let (text, score) = matrix(&known, &rows, &left_out, &rules, options.full);
    let ending = if options.stop.is_asked() {
        Ending::Interrupted
    } else {
        score.ending()
    };
    Ok(Outcome { text, ending })
}

/// Whether a good subject plays a case although it was not named. What a driver that is spoken to does
/// otherwise, one does as well that is a command: only the cases are left that no command can play, or plays
/// by a process of its own for each task.
fn is_played(known: &Known, scenario: &Scenario) -> bool {
    known.adapter == AdapterKind::Command
        || scenario.id == SMOKE
        || scenario.needs().contains(&Capability::Recover)
        || scenario.has_second_task()
}

/// Why this machine can't play the case that must catch a faulty subject; none if it can.
fn not_here(known: &Known, subject: &Subject, scenarios: &[Scenario]) -> Option<String> {
    let Kind::Faulty(catch) = known.kind else {
        return None;
    };
    let case = scenarios.iter().find(|case| case.id == catch.case)?;
    let missing: Vec<&str> = case
        .needs()
        .into_iter()
        .filter(|need| need.declarer() == Declarer::Machine)
        .filter(|need| !subject.capabilities.contains(need))
        .map(Capability::as_str)
        .collect();
    (!missing.is_empty()).then(|| format!("this machine does not allow {}", missing.join(", ")))
}

fn subject_of(known: &Known, examples: &Path) -> Result<Subject, SelfTestError> {
    let folder = shell_words::quote(&examples.to_string_lossy()).into_owned();
    let template = known.template.replace("{examples}", &folder);
    let subject = known.subject(&template);
    let mut subject = subject.map_err(|source| SelfTestError::Subject {
        name: known.name.clone(),
        source,
    })?;
    // All of these say so; no probe has to find it out.
    subject.ready_sign = ReadySign::Line;
    Ok(subject)
}

fn write_examples(out: &Path) -> Result<PathBuf, SelfTestError> {
    let folder = out.join("examples");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SelfTestError::Write { path, source }
    };
    let given = EXAMPLES.iter();
    let given = given.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    for (name, text) in given.chain(configurations()) {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(folder)
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|folder| {
            fs::metadata(folder.join(program))
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    })
}

/// Plays the jobs with so many threads, the longest cases first.
fn side_by_side(
    options: &Options<'_>,
    jobs: &[Job<'_>],
    threads: usize,
    tell: &mut impl FnMut(&str),
) -> Result<Vec<Row>, SelfTestError> {
    let mut order: Vec<&Job<'_>> = jobs.iter().collect();
    order.sort_by_key(|job| !job.scenario.id.starts_with("life/"));
    let queue = Mutex::new(VecDeque::from(order));
    let (sender, receiver) = mpsc::channel();
    let mut rows = Vec::new();
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || {
                while !options.stop.is_asked() {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(job) = next else { return };
                    let row = play(options, job, 1);
                    if options.stop.is_asked() {
                        return; // The case was cut short and proves nothing.
                    }
                    // The receiver outlives the threads.
                    drop(sender.send(row));
                }
            });
        }
        drop(sender);
        for row in receiver {
            let row = row?;
            if let Some(known) = jobs.iter().find(|job| job.index == row.subject) {
                tell(&told(known.known, &row));
            }
            rows.push(row);
        }
        Ok(rows)
    })
}

fn told(known: &Known, row: &Row) -> String {
    let shapes: Vec<&str> = row.shapes.iter().map(|shape| shape.as_str()).collect();
    format!(
        "{:<12} {:<32} {:<30}{}",
        row.status,
        known.name,
        row.case,
        shapes.join(", ")
    )
}

fn is_surprising(known: &Known, row: &Row) -> bool {
    match known.kind {
        Kind::Good { .. } => row.status != Status::Pass,
        Kind::Faulty(catch) => {
            row.case == catch.case
                && !(row.status == Status::Fail && row.shapes.contains(&catch.shape))
        }
    }
}

/// What is not as expected is played again, alone: the machine may have been busy.
fn again_if_surprising<'a>(
    options: &Options<'_>,
    mut jobs: impl Iterator<Item = &'a Job<'a>>,
    row: &mut Row,
    tell: &mut impl FnMut(&str),
) -> Result<(), SelfTestError> {
    let job = jobs.find(|job| job.index == row.subject && job.scenario.id == row.case);
    let Some(job) = job else { return Ok(()) };
    for attempt in 2..2 + RERUNS {
        if !is_surprising(job.known, row) || options.stop.is_asked() {
            break;
        }
        let again = play(options, job, attempt)?;
        tell(&told(job.known, &again));
        if !is_surprising(job.known, &again) {
            *row = Row {
                unsteady: true,
                ..again
            };
        }
    }
    Ok(())
}

/// Plays one attempt. Its folder is kept if it was a surprise.
fn play(options: &Options<'_>, job: &Job<'_>, attempt: u32) -> Result<Row, SelfTestError> {
    let name = format!(
        "{}-{}/{}",
        job.known.part.as_str(),
        job.known.name,
        job.scenario.id
    );
    let dir = options.out.case_dir()?;
    let request = PlayRequest {
        scenario: job.scenario,
        subject: job.subject,
        seed: options.seed,
        attempt,
        reexec: options.reexec,
        leave_out: None,
        strace: false,
        deadline: suite::case_deadline(job.scenario),
        hold: None,
    };
    let played = play_once(&request, &dir);
    let row = Row {
        subject: job.index,
        case: job.scenario.id.clone(),
        status: played.status,
        shapes: played
            .verdict
            .findings
            .iter()
            .map(|one| one.shape)
            .collect::<BTreeSet<_>>(),
        headline: headline(&played),
        blamed: blamed(&played),
        unsteady: false,
    };
    if is_surprising(job.known, &row) && !options.out.bundle(&name).exists() {
        options.out.keep(&dir, &name)?;
    } else {
        options.out.discard(&dir);
    }
    Ok(row)
}

fn headline(played: &Attempt) -> String {
    let verdict = &played.verdict;
    verdict
        .suite_errors
        .first()
        .cloned()
        .or_else(|| verdict.findings.first().map(|one| one.headline.clone()))
        .or_else(|| verdict.unmet.first().cloned())
        .unwrap_or_default()
}

fn blamed(played: &Attempt) -> Option<String> {
    let history = played.history.as_ref()?;
    diagnosis::diagnose(&played.verdict.findings, history).map(|one| one.subject.to_owned())
}
