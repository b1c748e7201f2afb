//! `harness run`. (edge)

use std::collections::BTreeSet;
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::annotate;
use super::args::{RunArgs, SelectArgs, SubjectArgs, SweepKind};
use super::bounds::Bounds;
use super::console;
use super::live::Live;
use super::nothing::nothing_ran;
use super::refusal::{Refusal, with_troubles};
use super::target::{Taken, Target, require_distinct, require_writable, write_all};
use crate::adapter;
use crate::capability::{Capability, Declarer};
use crate::outcome::{Ending, Status};
use crate::programs;
use crate::report::{self, CaseLines, Paint, Report, ShardFacts, SubjectFacts};
use crate::runner;
use crate::scenario::Scenario;
use crate::serving::{Serving, ServingTemplates};
use crate::suite::{
    self, CaseResult, Choice, Counts, Filter, Machine, OutDir, Probe, Progress, Selected, Stop,
    Subject, SubjectError, SuiteRun,
};

/// Runs the suite and returns how it ended.
pub(super) fn run(args: &RunArgs) -> Result<Ending, Refusal> {
    require_distinct(&args.report, Taken::Out(args.out()))?;
    let subject = subject(&args.subject)?;
    let scenarios = scenarios(&args.select.scenario)?;
    let filter = filter(&args.select)?;
    let whole = filter.is_all() && args.select.scenario.is_empty();
    let shard = args.shard.map(|shard| ShardFacts { shard, whole });
    let whole = whole && shard.is_none() && args.sweep.is_none();
    let bounds = Bounds::read(args, &scenarios)?;
    let mut selected = suite::select(scenarios, &subject, &filter);
    if let Some(shard) = args.shard {
        selected = suite::of_shard(selected, shard);
    }
    let mut swept = Vec::new();
    if let Some(SweepKind::KillLogmon) = args.sweep {
        (selected, swept) = suite::sweep(selected, args.sweep_every, &subject);
    }
    if args.dry_run {
        return Ok(dry_run(&selected, whole, &filter));
    }
    let machine = Machine::prepare().map_err(|errno| {
        Refusal::new(
            Ending::Unfit,
            format!("can't prepare this process: {errno}"),
        )
    })?;
    let reexec = reexec()?;
    let out = open_out(args, &selected)?;
    // Now, so that a long run does not end in a report that can't be written.
    let targets = args
        .report
        .iter()
        .map(Target::open)
        .collect::<Result<_, _>>();
    let targets = targets.inspect_err(|_| out.finish())?;
    if args.shard.is_some() && args.seed.is_none() {
        console::complain(
            "this shard's seed is drawn; to merge it with the others, give all of them the same --seed",
        );
    }
    let mut session = Session {
        args,
        filter: &filter,
        bounds: &bounds,
        targets,
        out: &out,
        live: Live::new(console::progress(args.progress), console::paint(args.color)),
        text: String::new(),
        lines: CaseLines::default(),
        troubles: Vec::new(),
        report: Report {
            shard,
            expectations: bounds.facts(args),
            sweep: swept,
            ..first_report(args, &subject, !whole)
        },
        begun: Instant::now(),
    };
    session.write_report().inspect_err(|_| out.finish())?;
    let above = session.live.above();
    machine.when_asked(move || above(&format!("asked what goes on\n\n{}", suite::running_cases())));
    let ending = session.go(&subject, &selected, &reexec, &machine.stop());
    out.finish();
    Ok(ending)
}

/// The folder of the run. What an earlier one left there goes only if this one can begin.
fn open_out(args: &RunArgs, selected: &[Selected]) -> Result<OutDir, Refusal> {
    require_writable(&args.report, args.out())?;
    let played: Vec<&Scenario> = selected
        .iter()
        .filter(|one| one.choice == Choice::Run)
        .map(|one| &one.scenario)
        .collect();
    suite::require_programs(args.out(), &played)?;
    Ok(OutDir::open(args.out())?)
}

/// A run and everything that it tells.
struct Session<'a> {
    args: &'a RunArgs,
    filter: &'a Filter,
    bounds: &'a Bounds,
    targets: Vec<Target<'a>>,
    out: &'a OutDir,
    live: Live,
    /// What `--report text=` gets.
    text: String,
    lines: CaseLines,
    /// What could not be written, each once. The run goes on without, and its end tells of it.
    troubles: Vec<Refusal>,
    report: Report,
    begun: Instant,
}

impl Session<'_> {
    fn go(
        &mut self,
        subject: &Subject,
        selected: &[Selected],
        reexec: &[String],
        stop: &Stop,
    ) -> Ending {
        let chosen = selected
            .iter()
            .filter(|one| one.choice == Choice::Run)
            .count();
        if chosen == 0 {
            self.report.cases = not_played(selected, "");
            self.report.message = Some(nothing_ran(selected, self.filter));
            let cases = &self.report.cases.clone();
            self.bounds.find_fewer(&mut self.report, cases);
            return self.end(Ending::NothingRan);
        }
        let seed = self.report.seed;
        self.live.note("probing the subject");
        let mut subject = subject.clone();
        match suite::probe(&subject, reexec, self.out, seed, stop) {
            Ok(Probe { facts, ready_sign }) => {
                self.report.probes = facts;
                subject.ready_sign = ready_sign;
            }
            Err(failure) => {
                self.report.cases = not_played(selected, suite::NO_VERDICT);
                self.report.message = Some(failure.text);
                return self.end(failure.ending);
            }
        }
        self.live.begin(chosen * self.args.stress as usize);
        let bounds = self.bounds;
        let run = SuiteRun {
            selected,
            subject: &subject,
            seed,
            jobs: self.args.jobs.map_or_else(default_jobs, usize::from),
            stress: self.args.stress,
            fail_fast: self.args.fail_fast,
            expected: &bounds.expected,
            budget: &bounds.budget,
            keep: self.args.keep.into(),
            reexec,
            out: self.out,
            stop,
        };
        let cases = suite::run_suite(&run, |progress| {
            let told = self.progress(&progress);
            self.note_trouble(told);
        });
        let ending = if stop.is_asked() {
            Ending::Interrupted
        } else {
            bounds.conclude(&mut self.report, selected, &cases)
        };
        self.report.cases = cases;
        self.end(ending)
    }

    fn note_trouble(&mut self, written: Result<(), Refusal>) {
        if let Err(refusal) = written
            && !self.troubles.iter().any(|one| one.text == refusal.text)
        {
            self.troubles.push(refusal);
        }
    }

    fn progress(&mut self, progress: &Progress<'_>) -> Result<(), Refusal> {
        match progress {
            Progress::Began { id } => self.live.began(id),
            Progress::Ended { id, status } => self.live.ended(id, *status),
            Progress::Settled(result) => {
                self.live.settled(result);
                if result.status.has_run() {
                    self.text.push_str(&self.lines.of(result, Paint::Plain));
                }
                let line = serde_json::to_string(result).map_err(|error| suite_bug(&error))?;
                self.out.add_result(&line)?;
                self.report.cases.push((*result).clone());
                if result.status.has_run() {
                    self.write_report()?;
                }
            }
        }
        Ok(())
    }

    /// Completes the report, writes all of them and prints the summary. What can't be written costs neither
    /// the verdict nor another report.
    fn end(&mut self, ending: Ending) -> Ending {
        self.live.end();
        let was_cut = ending == Ending::Interrupted || self.bounds.budget.was_used_up();
        self.report.complete = !was_cut;
        self.report.ending = Some(ending);
        self.report.exit_code = Some(ending.code());
        let written = self.write_report();
        self.note_trouble(written);
        annotate::annotate(&self.report, self.args.annotations);
        console::say(&report::summary(&self.report, self.live.paint()));
        self.text.push_str(&report::plain_end(&self.report));
        for refusal in write_all(&self.targets, &self.report, &self.text) {
            self.note_trouble(Err(refusal));
        }
        if let Some(message) = &self.report.message {
            console::complain(message);
        }
        for refusal in &self.troubles {
            console::complain(&refusal.text);
        }
        with_troubles(ending, &self.troubles)
    }

    fn write_report(&mut self) -> Result<(), Refusal> {
        let mut swept = std::mem::take(&mut self.report.sweep);
        suite::note_sweep(&mut swept, &self.report.cases, |result| {
            let bundle = result.bundle.as_deref().map(suite::from_here);
            report::repro(&self.report, &result.id, bundle.as_deref())
        });
        self.report.sweep = swept;
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        self.report.counts = Counts::of(&self.report.cases);
        let json = self.report.to_json().map_err(|error| suite_bug(&error))?;
        Ok(self.out.write_report(&json)?)
    }
}

fn suite_bug(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Ending::SuiteBug, suite::error_chain(error))
}

/// The subject that the arguments ask for, on this machine.
pub(super) fn subject(args: &SubjectArgs) -> Result<Subject, Refusal> {
    let mut subject = subject_of(args)?;
    if let Some(template) = &args.driver_stdio {
        subject = spoken_to(subject, template, &args.capabilities)?;
    } else if let Some(template) = args.plugin.as_driver_stdio(&args.capabilities)? {
        subject = spoken_to(subject, &template, &[])?;
    }
    let commands = subject.serving.iter().flat_map(Serving::options);
    for (flag, words) in commands {
        require_program(flag, words)?;
    }
    Ok(subject.on(&runner::machine_capabilities(&reexec()?)))
}

/// The subject that the arguments ask for. Nothing is looked for on this machine, so a driver that is spoken
/// to is not yet there.
pub(super) fn subject_of(args: &SubjectArgs) -> Result<Subject, SubjectError> {
    let declared: BTreeSet<_> = args.capabilities.iter().copied().collect();
    let hosted = args.nomad_logmon.as_deref().map(adapter::hosted_logmon);
    let logmon = hosted.as_deref().or(args.logmon.as_deref());
    let mut subject = Subject::from_templates(args.driver.as_deref(), logmon, &declared)?;
    let serving = ServingTemplates::all_or_none(
        args.logmon_serve.as_deref(),
        args.logmon_start.as_deref(),
        args.logmon_stop.as_deref(),
    );
    if let Some(templates) = serving? {
        subject = subject.serving(&templates)?;
    }
    Ok(subject)
}

/// The subject with a driver that is spoken to, which declares itself what it can.
fn spoken_to(subject: Subject, template: &str, by_hand: &[Capability]) -> Result<Subject, Refusal> {
    let of_driver = |one: &&Capability| one.declarer() == Declarer::Driver;
    if let Some(one) = by_hand.iter().find(of_driver) {
        let text = format!(
            "--capability {one} does not go with --driver-stdio: such a driver declares it in its answer to `hello`"
        );
        return Err(Refusal::new(Ending::Usage, text));
    }
    let greeting = adapter::greet(&Subject::stdio_words(template, &reexec()?)?)?;
    let (mut declared, mut ignored) = (BTreeSet::new(), Vec::new());
    for name in &greeting.capabilities {
        match name.parse::<Capability>() {
            Ok(one) if one.declarer() == Declarer::Driver => drop(declared.insert(one)),
            Ok(_) | Err(_) => ignored.push(format!("`{name}`")),
        }
    }
    if !ignored.is_empty() {
        console::complain(&format!(
            "{} {} declares what is no capability of a driver, and is ignored: {}",
            greeting.driver,
            greeting.version,
            ignored.join(", ")
        ));
    }
    Ok(subject.spoken_to(template, &declared)?)
}

/// The probes start a driver and a logmon with one task; what serves many is only looked for.
pub(super) fn require_program(flag: &str, words: &[String]) -> Result<(), Refusal> {
    let name = words.first().map_or("", String::as_str);
    let is_program = |path: &Path| {
        let facts = path.metadata();
        facts.is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    let is_found = if name.contains('{') {
        // It is filled in for each case.
        true
    } else if name.contains('/') {
        is_program(Path::new(name))
    } else {
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).any(|folder| is_program(&folder.join(name)))
    };
    if is_found {
        return Ok(());
    }
    Err(Refusal::new(
        Ending::BadSubject,
        format!("{flag}: {name} is no program; give its path, or put its folder on PATH"),
    ))
}

/// The shipped cases, or those of the user's files.
pub(super) fn scenarios(files: &[std::path::PathBuf]) -> Result<Vec<Scenario>, Refusal> {
    if files.is_empty() {
        suite::shipped_scenarios()
            .map_err(|error| Refusal::new(Ending::SuiteBug, suite::error_chain(&error)))
    } else {
        Ok(suite::user_scenarios(files)?)
    }
}

fn filter(args: &SelectArgs) -> Result<Filter, Refusal> {
    let profiles = args.profile.iter().copied().collect();
    Ok(Filter::new(
        &args.filter,
        &args.exclude,
        args.level,
        profiles,
    )?)
}

/// How to start this program again.
pub(super) fn reexec() -> Result<Vec<String>, Refusal> {
    programs::reexec(&[]).map_err(|why| Refusal::new(Ending::Unfit, why))
}

/// Twice the number of cores: most of a case is waiting.
pub(crate) fn default_jobs() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get() * 2)
}

fn first_report(args: &RunArgs, subject: &Subject, filtered: bool) -> Report {
    let began = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Report {
        version: report::REPORT_VERSION,
        suite: concat!("harness ", env!("CARGO_PKG_VERSION")).to_owned(),
        complete: false,
        ending: None,
        exit_code: None,
        message: None,
        seed: args.seed.unwrap_or_else(draw_seed),
        stress: args.stress,
        config: args.config.as_ref().map(|path| path.display().to_string()),
        expectations: None,
        not_begun: Vec::new(),
        fewer: Vec::new(),
        filtered,
        shard: None,
        merged_shards: None,
        sweep: Vec::new(),
        began_unix_ms: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
        seconds: 0.0,
        subject: SubjectFacts {
            name: subject.describe(),
            driver: subject.driver.clone(),
            adapter: subject.adapter,
            logmon: subject.logmon.clone(),
            kept_logmon: subject.kept_logmon.clone(),
            serving: subject.serving.clone(),
            under_test: subject.under_test.iter().map(ToString::to_string).collect(),
            capabilities: subject
                .capabilities
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        probes: Vec::new(),
        counts: Counts::default(),
        cases: Vec::new(),
    }
}

/// A short seed, so that it is easily typed again.
pub(crate) fn draw_seed() -> u64 {
    u64::from(rand::random::<u32>())
}

/// The results of a run that played nothing; `why` is told of the cases that would have run.
fn not_played(selected: &[Selected], why: &str) -> Vec<CaseResult> {
    let one = |Selected { scenario, choice }: &Selected| match choice {
        Choice::Run => CaseResult::skipped(scenario, Status::SkippedFilter, why),
        Choice::NotApplicable { why } => {
            CaseResult::skipped(scenario, Status::SkippedCapability, why)
        }
        Choice::Filtered { why } => CaseResult::skipped(scenario, Status::SkippedFilter, why),
    };
    selected.iter().map(one).collect()
}

/// Tells what would be played. The others are told one by one if nothing was filtered, else counted.
fn dry_run(selected: &[Selected], whole: bool, filter: &Filter) -> Ending {
    let (mut count, mut filtered, mut not_applicable) = (0, 0, 0);
    for Selected { scenario, choice } in selected {
        let why = match choice {
            Choice::Run => {
                count += 1;
                let line = format!("run   {:<44}  {}", scenario.id, scenario.title);
                console::say(&format!("{}\n", report::cut(&line, 80)));
                continue;
            }
            Choice::NotApplicable { why } => {
                not_applicable += 1;
                why
            }
            Choice::Filtered { why } => {
                filtered += 1;
                why
            }
        };
        if whole {
            let left = format!("skip  {:<44}  ", scenario.id);
            console::say(&report::hanging(&left, why, 80));
        }
    }
    console::say(&format!(
        "{count} would run, {filtered} filtered out, {not_applicable} not applicable\n"
    ));
    if count == 0 {
        console::complain(&nothing_ran(selected, filter));
        Ending::NothingRan
    } else {
        Ending::Conformant
    }
}
