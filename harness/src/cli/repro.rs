//! `harness repro`. (edge)

use std::collections::BTreeSet;
use std::path::Path;

use mock_driver::stream::Stream;

use super::args::SubjectArgs;
use super::bundle_args::ReproArgs;
use super::configuration::subject_args;
use super::console;
use super::recheck::{ending_of, summary};
use super::refusal::Refusal;
use super::run::{draw_seed, reexec, require_program, scenarios, subject};
use super::stop_at;
use crate::capability::Declarer;
use crate::case::CaseDir;
use crate::finding::Shape;
use crate::outcome::{Ending, Status, Verdict};
use crate::report::{self, Paint};
use crate::runner;
use crate::scenario::Scenario;
use crate::suite::{self, Attempt, Bundle, Choice, Filter, Machine, OutDir, PlayRequest, Subject};

/// What is played again.
struct Wanted {
    scenario: Scenario,
    subject: Subject,
    seed: u64,
    attempt: u32,
    leave_out: Option<(Stream, u64)>,
    /// What today's judge says of the bundle.
    before: Option<Verdict>,
}

/// Plays one case again and returns how it ended, as a run would.
pub(super) fn repro(args: &ReproArgs) -> Result<Ending, Refusal> {
    if args.strace {
        require_program("--strace", &["strace".to_owned()])?;
    }
    let mut wanted = wanted(args)?;
    if let Some(what) = &args.stop_at {
        stop_at::check(&wanted.scenario, what)?;
    }
    let machine = Machine::prepare().map_err(|errno| {
        Refusal::new(
            Ending::Unfit,
            format!("can't prepare this process: {errno}"),
        )
    })?;
    let stop = machine.stop();
    let reexec = reexec()?;
    suite::require_programs(&args.out, &[&wanted.scenario])?;
    let out = OutDir::open(&args.out)?;
    match suite::probe(&wanted.subject, &reexec, &out, wanted.seed, &stop) {
        Ok(probe) => wanted.subject.ready_sign = probe.ready_sign,
        Err(failure) => {
            out.finish();
            return Err(Refusal::new(failure.ending, failure.text));
        }
    }
    let request = PlayRequest {
        scenario: &wanted.scenario,
        subject: &wanted.subject,
        seed: wanted.seed,
        attempt: wanted.attempt,
        reexec: &reexec,
        leave_out: wanted.leave_out,
        strace: args.strace,
        deadline: suite::case_deadline(&wanted.scenario),
        hold: None,
    };
    let mut played: Vec<Verdict> = Vec::new();
    let mut shown: Option<(Attempt, CaseDir)> = None;
    while played.len() < args.times as usize && !stop.is_asked() {
        let dir = out.case_dir()?;
        let attempt = if let Some(what) = &args.stop_at {
            let Some(attempt) = stop_at::play(&request, what, &dir, &stop) else {
                let ending = stop_at::conclude(&out, &dir, &wanted.scenario.id);
                out.finish();
                return ending;
            };
            attempt
        } else {
            suite::play_once(&request, &dir)
        };
        if stop.is_asked() {
            break; // It was cut short and proves nothing.
        }
        if args.times > 1 {
            tell(&attempt, played.len() + 1, args.times, &wanted);
        }
        played.push(attempt.verdict.clone());
        let is_told = shown
            .as_ref()
            .is_some_and(|(told, _)| told.status != Status::Pass);
        let discarded = if is_told {
            Some(dir)
        } else {
            shown.replace((attempt, dir)).map(|(_, dir)| dir)
        };
        discarded.iter().for_each(|dir| out.discard(dir));
    }
    let ended = show(args, &wanted, &out, shown, &played);
    out.finish();
    ended?;
    if stop.is_asked() {
        return Ok(Ending::Interrupted);
    }
    args.stop_at.iter().for_each(|what| stop_at::missed(what));
    let statuses: Vec<Status> = played.iter().map(Verdict::status).collect();
    Ok(ending_of(suite::settle(&statuses, true)))
}

/// One line for one of several attempts.
fn tell(attempt: &Attempt, number: usize, times: u32, wanted: &Wanted) {
    let likeness = wanted.before.as_ref().map_or(String::new(), |before| {
        format!("  {}", likeness(before, &attempt.verdict))
    });
    let line = format!(
        "{number}/{times}  {:.2} s  {}{likeness}",
        attempt.seconds,
        summary(&attempt.verdict)
    );
    console::say(&format!("{}\n", report::cut(&line, 80)));
}

/// Keeps the folder of the attempt that tells most, and shows it.
fn show(
    args: &ReproArgs,
    wanted: &Wanted,
    out: &OutDir,
    shown: Option<(Attempt, CaseDir)>,
    played: &[Verdict],
) -> Result<(), Refusal> {
    let Some((attempt, dir)) = shown else {
        return Ok(());
    };
    let bundle = suite::from_here(&out.keep(&dir, &wanted.scenario.id)?);
    let paint = console::paint(args.color);
    let mut text = text_of(&attempt, &wanted.scenario, &bundle, paint);
    text.push('\n');
    if attempt.status == Status::Pass {
        text.push_str(&report::hanging(
            "  Kept           ",
            &bundle.display().to_string(),
            80,
        ));
    }
    if args.strace {
        let files = format!("{}/strace.*", bundle.display());
        text.push_str(&report::hanging("  System calls   ", &files, 80));
    }
    let mut seed = format!("seed {}, attempt {}", wanted.seed, wanted.attempt);
    if wanted.before.is_none() {
        seed.push_str(&format!(", {}", wanted.subject.describe()));
    }
    text.push_str(&report::hanging("  Played with    ", &seed, 80));
    if let Some(before) = &wanted.before {
        let compared = compared(before, played, &args.target);
        text.push_str(&report::hanging("  Compared       ", &compared, 80));
    }
    console::say(&text);
    Ok(())
}

fn text_of(attempt: &Attempt, scenario: &Scenario, bundle: &Path, paint: Paint) -> String {
    let history = attempt.history.as_ref();
    let mut text = history.map_or_else(
        || format!("{}  {}\n", attempt.status, scenario.id),
        |history| report::attempt_head(history, &attempt.verdict, paint),
    );
    if attempt.status != Status::Pass {
        text.push_str(&report::failure_text(
            scenario,
            &attempt.verdict,
            history,
            Some(bundle),
        ));
    }
    text
}

/// How the attempts compare with the bundle.
fn compared(before: &Verdict, played: &[Verdict], bundle: &str) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for verdict in played {
        let kind = likeness(before, verdict).to_owned();
        let kind = match kind.as_str() {
            OTHER | FAILS => format!("{kind}, {}", summary(verdict)),
            _ => kind,
        };
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, times)) => *times += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let kinds: Vec<String> = match kinds.as_slice() {
        [(kind, 1)] => vec![kind.clone()],
        many => {
            let all = played.len();
            let many = many.iter();
            many.map(|(kind, times)| format!("{kind} ({times} of {all})"))
                .collect()
        }
    };
    format!(
        "{}; in {bundle} it is: {}",
        kinds.join("; "),
        summary(before)
    )
}

const SAME: &str = "reproduced";
const OTHER: &str = "other damage";
const PASSES: &str = "passes now";
const FAILS: &str = "does not pass any more";

/// How one attempt compares with the bundle.
fn likeness(before: &Verdict, now: &Verdict) -> &'static str {
    let shapes = |verdict: &Verdict| -> BTreeSet<Shape> {
        verdict.findings.iter().map(|one| one.shape).collect()
    };
    if before.status() == now.status() && shapes(before) == shapes(now) {
        SAME
    } else if now.status() == Status::Pass {
        PASSES
    } else if before.status() == Status::Pass {
        FAILS
    } else {
        OTHER
    }
}

fn wanted(args: &ReproArgs) -> Result<Wanted, Refusal> {
    let path = Path::new(&args.target);
    if path.exists() || args.target.ends_with(".bundle") {
        of_bundle(args, path)
    } else {
        of_case(args)
    }
}

fn usage(text: String) -> Refusal {
    Refusal::new(Ending::Usage, text)
}

/// The case of a bundle, with its own subject on this machine.
fn of_bundle(args: &ReproArgs, path: &Path) -> Result<Wanted, Refusal> {
    let has_subject = args.subject != SubjectArgs::default() || args.config.is_some();
    if has_subject || args.seed.is_some() || !args.scenario.is_empty() {
        return Err(usage(format!(
            "{} brings its own subject, scenario and seed; to change them give the case's id instead of \
             the folder",
            path.display()
        )));
    }
    let bundle = Bundle::open(path)?;
    refuse_out_around(path, &args.out)?;
    let case = bundle.history.case;
    let allowed = runner::machine_capabilities(&reexec()?);
    let needs = case.scenario.needs().into_iter();
    let missing: Vec<String> = needs
        .filter(|need| need.declarer() == Declarer::Machine && !allowed.contains(need))
        .map(|need| need.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(Refusal::new(
            Ending::NothingRan,
            format!(
                "{} needs {}, which this machine lacks; `harness doctor` says why",
                case.scenario.id,
                missing.join(", ")
            ),
        ));
    }
    Ok(Wanted {
        subject: Subject::of_case(&case).on(&allowed),
        scenario: case.scenario,
        seed: case.seed,
        attempt: case.attempt,
        leave_out: case.leave_out,
        // A plan that was stopped has nothing to compare with.
        before: Some(bundle.verdict).filter(|before| before.held.is_none()),
    })
}

/// The bundle would be removed before it is compared with.
fn refuse_out_around(bundle: &Path, out: &Path) -> Result<(), Refusal> {
    match (bundle.canonicalize(), out.canonicalize()) {
        (Ok(bundle), Ok(whole)) if bundle.starts_with(&whole) => Err(usage(format!(
            "{} lies in {}, which is emptied first; give another folder with --out",
            bundle.display(),
            out.display()
        ))),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Ok(()),
    }
}

/// A case by its id, with the subject of the command line or of the configuration, as in a run.
fn of_case(args: &ReproArgs) -> Result<Wanted, Refusal> {
    let subject = subject(&subject_args(args.config.as_deref(), &args.subject)?)?;
    let all = Filter::new(&[], &[], None, BTreeSet::new())?;
    let mut scenarios = scenarios(&args.scenario)?;
    scenarios.extend(suite::swept_named(&args.target, &scenarios, &subject));
    let selected = suite::select(scenarios, &subject, &all);
    let alike: Vec<String> = selected
        .iter()
        .filter(|one| one.scenario.id.contains(&args.target))
        .map(|one| one.scenario.id.clone())
        .take(5)
        .collect();
    let found = selected
        .into_iter()
        .find(|one| one.scenario.id == args.target);
    let Some(found) = found else {
        let hint = match alike.as_slice() {
            [] => "`harness list` shows the cases".to_owned(),
            alike => format!("did you mean {}?", alike.join(", ")),
        };
        return Err(usage(format!(
            "{} is neither a bundle nor the id of a case; {hint}",
            args.target
        )));
    };
    match found.choice {
        Choice::Run => Ok(Wanted {
            scenario: found.scenario,
            subject,
            seed: args.seed.unwrap_or_else(draw_seed),
            attempt: 1,
            leave_out: None,
            before: None,
        }),
        Choice::NotApplicable { why } | Choice::Filtered { why } => Err(Refusal::new(
            Ending::NothingRan,
            format!("{} does not apply: {why}", args.target),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    fn verdict(shapes: &[Shape]) -> Verdict {
        let finding = |shape: &Shape| Finding {
            shape: *shape,
            rule: "DATA-1".parse().unwrap(),
            stream: None,
            headline: String::new(),
            details: Vec::new(),
        };
        Verdict {
            findings: shapes.iter().map(finding).collect(),
            ..Verdict::default()
        }
    }

    #[test]
    fn a_damage_of_the_same_shapes_is_reproduced() {
        let (lost, both, none) = (
            verdict(&[Shape::LostTail]),
            verdict(&[Shape::Torn, Shape::LostTail]),
            verdict(&[]),
        );
        let inconclusive = Verdict {
            unmet: vec!["x".into()],
            ..Verdict::default()
        };
        assert_eq!(likeness(&lost, &lost), SAME);
        assert_eq!(likeness(&none, &none), SAME);
        assert_eq!(likeness(&lost, &both), OTHER);
        assert_eq!(likeness(&lost, &none), PASSES);
        assert_eq!(likeness(&none, &lost), FAILS);
        assert_eq!(likeness(&inconclusive, &none), PASSES);
        assert_eq!(likeness(&lost, &inconclusive), OTHER);
    }

    #[test]
    fn several_attempts_are_compared_by_how_many_are_alike() {
        let (lost, none) = (verdict(&[Shape::LostTail]), verdict(&[]));
        assert_eq!(
            compared(&lost, std::slice::from_ref(&lost), "x"),
            "reproduced; in x it is: fail (lost-tail)"
        );
        assert_eq!(
            compared(&lost, &[lost.clone(), none, lost.clone()], "x"),
            "reproduced (2 of 3); passes now (1 of 3); in x it is: fail (lost-tail)"
        );
        assert_eq!(
            compared(&lost, &[verdict(&[Shape::Torn])], "x"),
            "other damage, fail (torn); in x it is: fail (lost-tail)"
        );
    }
}
