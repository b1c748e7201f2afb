//! `harness xfail`: checks a file of expected failures, or makes it agree with a report. (edge)

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use tempfile::NamedTempFile;

use super::console;
use super::expectations::{fs_text, load, read, today};
use super::previous;
use super::refusal::Refusal;
use super::run::scenarios;
use crate::expected::{self, Entry, Expectations, RenewalError};
use crate::outcome::Ending;
use crate::report;
use crate::suite::error_chain;

/// So many days before its last one, an entry is said to end soon.
const SOON_DAYS: u64 = 30;

#[derive(Debug, Subcommand)]
pub(super) enum XfailCommand {
    /// Reads the file as a run would, and tells what it holds and what ends soon.
    Check(CheckArgs),
    /// Makes the file agree with the report of a whole run: takes out what passes or does not
    /// apply, adds what fails. Comments and order stay.
    Update(UpdateArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    /// The file of expected failures.
    file: PathBuf,
    /// Cases of your own that it may name beside the shipped ones: a file or folder.
    #[arg(long, value_name = "FILE")]
    scenario: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct UpdateArgs {
    /// The file of expected failures.
    file: PathBuf,
    /// The report.json of a run without filter.
    #[arg(long, value_name = "REPORT")]
    from: PathBuf,
    /// Why the failures that are added are excused.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Says what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs one of the two.
pub(super) fn xfail(command: &XfailCommand) -> Result<Ending, Refusal> {
    match command {
        XfailCommand::Check(args) => check(args),
        XfailCommand::Update(args) => update(args),
    }
}

fn check(args: &CheckArgs) -> Result<Ending, Refusal> {
    let own = if args.scenario.is_empty() {
        Vec::new()
    } else {
        scenarios(&args.scenario)?
    };
    let expected = load(&args.file, &own)?;
    for entry in expected.entries() {
        console::say(&told(entry));
    }
    for (entry, until) in expected.ending_within(SOON_DAYS, today()) {
        let text = format!(
            "{} counts until {until}; from then on it is refused",
            entry.case
        );
        console::say(&report::hanging("ends soon     ", &text, 80));
    }
    console::say(&counted(&expected));
    Ok(Ending::Conformant)
}

fn told(entry: &Entry) -> String {
    let shapes = entry.brackets();
    let mut out = format!("{:<12}  {}\n", entry.outcome, entry.case);
    let mut add = |text: &str| out.push_str(&report::wrapped(text, "              ", 80));
    if entry.is_glob() {
        add(&format!("covers {}", entry.covers.join(", ")));
    }
    match entry.until {
        Some(until) => add(&format!("{shapes} until {until}: {}", entry.reason)),
        None => add(&format!("{shapes}: {}", entry.reason)),
    }
    if let Some(issue) = &entry.issue {
        add(issue);
    }
    out
}

fn counted(expected: &Expectations) -> String {
    let entries = expected.entries();
    let cases: usize = entries.iter().map(|entry| entry.covers.len()).sum();
    let word = if entries.len() == 1 {
        "entry"
    } else {
        "entries"
    };
    let cases_word = if cases == 1 { "case" } else { "cases" };
    format!("{} {word} for {cases} {cases_word}\n", entries.len())
}

fn update(args: &UpdateArgs) -> Result<Ending, Refusal> {
    let text = fs_text(&args.file)?;
    let report = previous::read(&args.from)?;
    // Entries on cases that no longer exist are taken out by hand: nobody knows what they meant.
    let read_now = read(&args.file, &text, &[])?;
    let renewal = expected::renew(&text, &read_now, &report, args.reason.as_deref())
        .map_err(|error| refused(args, &error))?;
    if renewal.changes.is_empty() {
        console::say(&format!(
            "{} agrees with {}\n",
            args.file.display(),
            args.from.display()
        ));
        return Ok(Ending::Conformant);
    }
    // What is written can be read again, or nothing is written.
    read(&args.file, &renewal.text, &[])
        .map_err(|refusal| Refusal::new(Ending::SuiteBug, refusal.text))?;
    if !args.dry_run {
        replace(&args.file, &renewal.text)?;
    }
    for change in &renewal.changes {
        let change = change.to_string();
        let (mark, rest) = change.split_at(2);
        console::say(&report::hanging(mark, rest, 80));
    }
    let count = renewal.changes.len();
    let word = if count == 1 { "change" } else { "changes" };
    let made = if args.dry_run {
        "not written"
    } else {
        "written"
    };
    console::say(&format!(
        "{count} {word}, {made}: {}\n",
        args.file.display()
    ));
    Ok(Ending::Conformant)
}

fn refused(args: &UpdateArgs, error: &RenewalError) -> Refusal {
    let (ending, place) = match error {
        RenewalError::Report(_) => (Ending::BadConfiguration, &args.from),
        RenewalError::Rewrite(_) => (Ending::BadConfiguration, &args.file),
        RenewalError::NoReason(_) => (Ending::Usage, &args.file),
    };
    let text = format!("{}: {}", place.display(), error_chain(error));
    Refusal::new(ending, report::wrapped(&text, "", 70).replace('\n', "\n  "))
}

/// Replaces a file as a whole: whoever reads it sees the old text or the new one.
fn replace(path: &Path, text: &str) -> Result<(), Refusal> {
    let replaced = || {
        // A link stays a link.
        let path = path.canonicalize()?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file()
            .set_permissions(fs::metadata(&path)?.permissions())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    replaced().map_err(|error: std::io::Error| {
        Refusal::new(
            Ending::BadConfiguration,
            format!("can't write {}: {error}", path.display()),
        )
    })
}
