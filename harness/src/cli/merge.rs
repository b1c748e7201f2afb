//! `harness report merge`. (edge)

use std::fs;
use std::path::Path;

use super::annotate;
use super::args::{MergeArgs, ReportKind};
use super::console;
use super::refusal::{Refusal, with_troubles};
use super::target::{Taken, Target, require_distinct, write_all};
use crate::outcome::Ending;
use crate::report::{self, CaseLines, NamedReport, Paint, Report};
use crate::suite;

/// Puts the shards together, tells what did not pass, and ends as the whole run would have.
pub(super) fn merge(args: &MergeArgs) -> Result<Ending, Refusal> {
    require_distinct(&args.report, Taken::Shards(&args.shards))?;
    let shards: Vec<NamedReport> = args
        .shards
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    let mut report = report::merge(&shards)
        .map_err(|error| Refusal::new(Ending::BadConfiguration, error.to_string()))?;
    if let Some(facts) = &mut report.expectations {
        facts.renew = renewing(args, &facts.file);
    }
    let targets: Vec<Target<'_>> = args
        .report
        .iter()
        .map(Target::open)
        .collect::<Result<_, _>>()?;
    let paint = console::paint(args.color);
    console::say(&printed(&report, paint));
    annotate::annotate(&report, args.annotations);
    console::say(&report::summary(&report, paint));
    let plain = printed(&report, Paint::Plain) + &report::plain_end(&report);
    let troubles = write_all(&targets, &report, &plain);
    if let Some(message) = &report.message {
        console::complain(message);
    }
    for refusal in &troubles {
        console::complain(&refusal.text);
    }
    let ending = report.ending.unwrap_or(Ending::SuiteBug);
    Ok(with_troubles(ending, &troubles))
}

/// Renews the expected failures from the merged report. Where that is written nowhere, the command that
/// writes it comes first.
fn renewing(args: &MergeArgs, file: &str) -> String {
    let written = args.report.iter().find(|one| one.kind == ReportKind::Json);
    if let Some(target) = written {
        return report::renewing(file, &target.path.display().to_string());
    }
    let shards = args.shards.iter().map(|path| path.display().to_string());
    let shards = shell_words::join(shards);
    let renewing = report::renewing(file, "merged.json");
    format!("harness report merge {shards} --report json=merged.json && {renewing}")
}

fn read(path: &Path) -> Result<NamedReport, Refusal> {
    let refused = |why: String| {
        Refusal::new(
            Ending::BadConfiguration,
            format!("can't read the shard {}: {why}", path.display()),
        )
    };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        refused(format!(
            "it is no report.json of `harness run`: {}",
            suite::error_chain(&error)
        ))
    })?;
    Ok(NamedReport {
        name: path.display().to_string(),
        report,
    })
}

/// The failures, as each shard has told them.
fn printed(report: &Report, paint: Paint) -> String {
    let mut lines = CaseLines::default();
    let played = report.cases.iter().filter(|one| one.status.has_run());
    played.map(|one| lines.of(one, paint)).collect()
}
