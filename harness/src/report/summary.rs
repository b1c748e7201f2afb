//! One line per case, and the end of a run in a few lines. (core)

use std::collections::BTreeMap;

use crate::outcome::{Ending, Status};
use crate::report::expected::{expected_lines, stale_lines, unused_lines};
use crate::report::swept::swept_lines;
use crate::report::words::grouped;
use crate::report::{Paint, Report, hanging, wrapped};
use crate::suite::{
    ANOTHER_SHARD, CANT_SWEEP, CaseResult, Counts, ENDED_BY_FAIL_FAST, INTERRUPTED, NO_VERDICT,
    OUT_OF_TIME,
};
use crate::tally::Tally;

/// The line of one case: status, id, seconds.
#[must_use]
pub fn case_line(result: &CaseResult, paint: Paint) -> String {
    let word = paint.status(result.status, &format!("{:<12}", short(result.status)));
    match &result.skipped {
        Some(skip) => format!("{word}  {:<44}  {}", result.id, skip.why),
        None => format!("{word}  {:<44}  {:>6.2} s", result.id, result.seconds),
    }
    .trim_end()
    .to_owned()
}

fn short(status: Status) -> &'static str {
    match status {
        Status::SkippedCapability | Status::SkippedFilter => "skip",
        Status::ErrorSuite | Status::ErrorEnvironment => "error",
        Status::Pass
        | Status::Fail
        | Status::Xfail
        | Status::Xpass
        | Status::Flaky
        | Status::Inconclusive => status.as_str(),
    }
}

/// The end of a run: what did not pass by name, the counts, what was not run and why, the seed
/// and the verdict.
#[must_use]
pub fn summary(report: &Report, paint: Paint) -> String {
    let counts = Counts::of(&report.cases);
    let mut out = String::new();
    for result in &report.cases {
        let matters = match result.status {
            Status::Fail
            | Status::Xfail
            | Status::Xpass
            | Status::Flaky
            | Status::Inconclusive
            | Status::ErrorSuite
            | Status::ErrorEnvironment => true,
            Status::Pass | Status::SkippedCapability | Status::SkippedFilter => false,
        };
        if matters {
            out.push_str(&case_line(result, paint));
            out.push('\n');
            out.push_str(&expected_lines(result, "              "));
        }
    }
    out.push_str(&missing(report));
    let parts: Vec<String> = counts
        .by_status
        .iter()
        .filter(|(status, _)| status.has_run())
        .map(|(status, count)| paint.status(*status, &format!("{count} {status}")))
        .collect();
    if !parts.is_empty() {
        out.push_str(&format!("{}\n", parts.join(", ")));
    }
    out.push_str(&wrapped(&ran(report, &counts), "", 80));
    out.push_str(&swept_lines(&report.sweep));
    out.push_str(&killed(report));
    out.push_str(&remembered(report));
    let probes = report.probes.iter().find(|fact| fact.contains("canary"));
    let canary = probes.map_or("no canary", |_| "canary seen");
    out.push_str(&format!(
        "{canary}, seed {}, {:.1} s\n",
        report.seed, report.seconds
    ));
    out.push_str(&hanging("subject: ", &report.subject.name, 80));
    if let Some(config) = &report.config {
        out.push_str(&hanging("configured by ", config, 80));
    }
    out.push_str(&verdict(report, paint));
    out
}

/// The end of a run in a text that stands alone: the summary, and before it why no verdict was given.
#[must_use]
pub fn plain_end(report: &Report) -> String {
    let message = report.message.as_deref();
    let message = message.map_or_else(String::new, |message| wrapped(message, "", 80));
    message + &summary(report, Paint::Plain)
}

/// What should have been there and was not: cases for entries, cases that were played before, cases
/// for which there was no time.
fn missing(report: &Report) -> String {
    let mut out = report
        .expectations
        .as_ref()
        .map_or(String::new(), stale_lines);
    out.push_str(&unused_lines(report));
    for one in &report.fewer {
        let text = format!("{}: played before, and not now: {}", one.case, one.why);
        out.push_str(&hanging("fewer         ", &text, 80));
    }
    if !report.not_begun.is_empty() {
        let text = report.not_begun.join(", ");
        out.push_str(&hanging("not begun     ", &text, 80));
    }
    out
}

/// "ran a of b applicable; c not applicable because …; d not begun; e filtered".
fn ran(report: &Report, counts: &Counts) -> String {
    let mut text = format!("ran {} of {} applicable", counts.ran(), counts.applicable());
    let kept = report.cases.iter().filter(|one| one.played_kept).count();
    if kept > 0 {
        text.push_str(&format!(", {kept} of them with a keeper beside logmon"));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for result in &report.cases {
        if let (Status::SkippedCapability, Some(skip)) = (result.status, &result.skipped) {
            *reasons.entry(skip.why.as_str()).or_default() += 1;
        }
    }
    if !reasons.is_empty() {
        text.push_str(&format!(
            "; {} not applicable because {}",
            counts.get(Status::SkippedCapability),
            in_groups(reasons)
        ));
    }
    text.push_str(&left_out(report));
    text
}

/// `it judges only the logmon (36); the driver does not declare contains (2), recover (9), recover and forwards (1)`.
fn in_groups(reasons: BTreeMap<&str, usize>) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (why, count) in reasons {
        let verb = [" declare ", " allow "].into_iter().find_map(|verb| {
            // Two that lack something each are a reason of its own.
            let (who, what) = why.split_once(verb)?;
            (!what.contains(" and ")).then_some((who.len() + verb.len(), what))
        });
        let (who, what) = verb.map_or((why, ""), |(end, what)| (&why[..end], what));
        let names = what.replace(", ", " and ");
        let text = format!("{who}{names} ({count})");
        match groups.last_mut() {
            Some((last, texts)) if *last == who && !what.is_empty() => {
                texts.push(format!("{names} ({count})"));
            }
            Some(_) | None => groups.push((who, vec![text])),
        }
    }
    let groups: Vec<String> = groups.iter().map(|(_, texts)| texts.join(", ")).collect();
    groups.join("; ")
}

/// What applied and was not played, counted by the reason.
fn left_out(report: &Report) -> String {
    const WORDS: [&str; 6] = [
        "not begun",
        "not begun after the first failure",
        "not played",
        "in other shards",
        "not swept",
        "filtered",
    ];
    let word = |result: &CaseResult| {
        let why = result.skipped.as_ref().map_or("", |skip| skip.why.as_str());
        let [late, failed, not_played, elsewhere, unswept, filtered] = WORDS;
        match why {
            OUT_OF_TIME => late,
            ENDED_BY_FAIL_FAST => failed,
            NO_VERDICT | INTERRUPTED => not_played,
            ANOTHER_SHARD => elsewhere,
            why if why.starts_with(CANT_SWEEP) => unswept,
            _ => filtered,
        }
    };
    let left_out = report.cases.iter();
    let left_out = left_out.filter(|one| one.status == Status::SkippedFilter);
    let words: Vec<&str> = left_out.map(word).collect();
    let counted = WORDS.iter().filter_map(|word| {
        let count = words.iter().filter(|one| *one == word).count();
        (count > 0).then(|| format!("; {count} {word}"))
    });
    counted.collect()
}

/// How often something was killed in a flood, and how much was written meanwhile.
fn killed(report: &Report) -> String {
    let tallied = || {
        let cases = report.cases.iter();
        cases.filter_map(|one| Some((one.status, one.tally?)))
    };
    let mut all = Tally::default();
    tallied().for_each(|(_, tally)| all += tally);
    if all.kills == 0 {
        return String::new();
    }
    let outcome = if tallied().all(|(status, _)| status == Status::Pass) {
        ", nothing lost or repeated"
    } else {
        ""
    };
    let text = format!(
        "{} kills, {} of them while the task wrote, in floods of {} bytes{outcome}",
        grouped(all.kills),
        grouped(all.in_flood),
        grouped(all.bytes)
    );
    wrapped(&text, "", 80)
}

/// What each of many tasks costs.
fn remembered(report: &Report) -> String {
    let measured = report.cases.iter().filter_map(|one| one.memory);
    measured
        .map(|memory| {
            format!(
                "{} tasks in one logmon, {} B of memory for each\n",
                grouped(memory.tasks),
                grouped(memory.bytes_per_task())
            )
        })
        .collect()
}

fn verdict(report: &Report, paint: Paint) -> String {
    let Some(ending) = report.ending else {
        return "the run has not ended\n".to_owned();
    };
    let (status, text) = ending_words(ending, report);
    let mut out = format!("{} (exit {})\n", paint.status(status, &text), ending.code());
    if ending == Ending::ExpectationsStale && report.shard.is_some() {
        let text = "the merged report of all shards; see `harness report merge`";
        out.push_str(&hanging("mend it with  ", text, 80));
    } else if let (Ending::ExpectationsStale, Some(facts)) = (ending, &report.expectations) {
        if report.filtered {
            let text = "a run that leaves nothing out, and then";
            out.push_str(&hanging("mend it with  ", text, 80));
            out.push_str(&hanging("              ", &facts.renew, 80));
        } else {
            out.push_str(&hanging("mend it with  ", &facts.renew, 80));
        }
    }
    if ending == Ending::Conformant && report.shard.is_some() {
        out.push_str("a shard says nothing about the whole; see `harness report merge`\n");
    } else if ending == Ending::Conformant && report.filtered {
        out.push_str("a filtered run says nothing about conformance\n");
    }
    out
}

/// How a run ended, in a few words, and the status in whose colour they are shown.
pub(super) fn ending_words(ending: Ending, report: &Report) -> (Status, String) {
    let excused = match Counts::of(&report.cases).get(Status::Xfail) {
        0 => String::new(),
        1 => " but for 1 expected failure".to_owned(),
        many => format!(" but for {many} expected failures"),
    };
    let (status, text) = match ending {
        Ending::Conformant if report.filtered => {
            return (Status::Pass, format!("everything that ran passed{excused}"));
        }
        Ending::Conformant => return (Status::Pass, format!("conformant{excused}")),
        Ending::Flaky => (
            Status::Flaky,
            "flaky: it passed only when it was played again",
        ),
        Ending::ExpectationsStale => (Status::Xpass, "expectations are out of date"),
        Ending::Failures => (Status::Fail, "not conformant"),
        Ending::NothingRan => (Status::Fail, "nothing ran, so nothing is shown"),
        Ending::OutOfBudget => (Status::Fail, "the time budget was used up"),
        Ending::Stopped => (Status::Inconclusive, "stopped where it was to"),
        Ending::Blind => (Status::Fail, "the suite can't see failures here"),
        Ending::Unfit => (Status::ErrorEnvironment, "this machine is unfit"),
        Ending::BadSubject => (Status::Fail, "the subject can't be judged"),
        Ending::SuiteBug => (Status::ErrorSuite, "a bug in the suite"),
        Ending::Interrupted => (Status::Inconclusive, "interrupted"),
        Ending::BadConfiguration => (Status::ErrorSuite, "wrong configuration"),
        Ending::Usage => (Status::ErrorSuite, "wrong command line"),
    };
    (status, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_lacks_is_named_after_it_once() {
        let reasons = [
            "it judges only the logmon",
            "the driver does not declare contains",
            "the driver does not declare recover",
            "the driver does not declare recover, forwards",
            "logmon does not declare keeps-descriptors and this machine does not allow storage-faults",
            "this machine does not allow storage-faults",
        ];
        let counted = reasons.into_iter().zip(1..).collect();
        assert_eq!(
            in_groups(counted),
            "it judges only the logmon (1); logmon does not declare keeps-descriptors and this machine does not \
             allow storage-faults (5); the driver does not declare contains (2), recover (3), recover and forwards \
             (4); this machine does not allow storage-faults (6)"
        );
    }
}
