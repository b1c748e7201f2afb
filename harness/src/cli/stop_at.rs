//! `harness repro --stop-at`. (edge)

use std::cell::Cell;
use std::path::Path;

use super::console;
use super::refusal::Refusal;
use crate::case::CaseDir;
use crate::outcome::Ending;
use crate::report;
use crate::runner::{self, Hold};
use crate::scenario::Scenario;
use crate::suite::{self, Attempt, OutDir, PlayRequest, Stop};

/// Checks that the plan has such a point.
pub(super) fn check(scenario: &Scenario, what: &str) -> Result<(), Refusal> {
    runner::check_point(&scenario.plan, what).map_err(|error| {
        let line = |(at, is): &(String, String)| report::hanging(&format!("  {at:<7} "), is, 80);
        let points: String = error.steps.iter().map(line).collect();
        Refusal::new(
            Ending::Usage,
            format!(
                "--stop-at: {error}; there are\n{points}A number stops before its step, a name behind the \
                 first step that is called so."
            ),
        )
    })
}

/// Plays the case up to the point and waits there. None if it was stopped there, else the attempt,
/// which never came to it.
pub(super) fn play(
    request: &PlayRequest<'_>,
    what: &str,
    dir: &CaseDir,
    stop: &Stop,
) -> Option<Attempt> {
    let has_stood = Cell::new(false);
    let hold = Hold {
        what,
        tell: &|standing| {
            has_stood.set(true);
            console::say(&report::standing(standing, request.scenario, dir));
        },
        is_over: &|| stop.is_asked(),
    };
    let request = PlayRequest {
        hold: Some(&hold),
        ..request.clone()
    };
    let attempt = suite::play_once(&request, dir);
    (!has_stood.get()).then_some(attempt)
}

/// Keeps the folder of a case that was stopped, and tells it.
pub(super) fn conclude(out: &OutDir, dir: &CaseDir, id: &str) -> Result<Ending, Refusal> {
    let bundle = suite::from_here(&out.keep(dir, id)?);
    console::say(&concluded(&bundle));
    Ok(Ending::Stopped)
}

fn concluded(bundle: &Path) -> String {
    let name = bundle.display().to_string();
    let bundle = shell_words::quote(&name);
    format!(
        "\n  Stopped there and cleaned up, so there is no verdict.\n{}  Look           harness show {bundle}\n",
        report::hanging("  Kept           ", &name, 80),
    )
}

/// Says that the plan never came to the point.
pub(super) fn missed(what: &str) {
    console::complain(&format!(
        "the plan ended before it came to `{what}`; `--stop-at end` stops wherever it ends"
    ));
}
