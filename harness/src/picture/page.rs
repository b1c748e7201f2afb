//! The page: the picture with the verdict, the findings and the facts about the case. (core)
//!
//! One file, which loads nothing. It is well-formed XML too, so that a test can read it back.

use super::model::Picture;
use super::svg::svg;
use super::xml::escaped;
use crate::diagnosis;
use crate::history::History;
use crate::outcome::{Status, Verdict};
use crate::report::{Extent, PassesHere, bytes, focus, timeline, waiting};
use crate::serving::Serving;
use crate::suite::Subject;

/// The page with gaps, `@NAME@`, and everything that has to do with its looks.
const PAGE: &str = include_str!("page.html");

/// What the page says of looking at the case again.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// The bundle, as a command can name it.
    pub bundle: String,
}

/// The page of a played case.
#[must_use]
pub fn page(picture: &Picture, history: &History, verdict: &Verdict, again: &Again) -> String {
    let status = verdict.status();
    let class = match status {
        Status::Pass | Status::Xfail => "pass",
        Status::Fail => "fail",
        Status::ErrorSuite | Status::ErrorEnvironment => "error",
        Status::Xpass
        | Status::Flaky
        | Status::Inconclusive
        | Status::SkippedCapability
        | Status::SkippedFilter => "doubt",
    };
    let rest = [
        waits(history),
        facts(history),
        commands(verdict, history, again),
        as_text(history, verdict),
    ];
    filled(&[
        (
            "TITLE",
            escaped(&format!("{}: {}", verdict.word(), picture.id)),
        ),
        ("CLASS", class.to_owned()),
        ("STATUS", escaped(verdict.word())),
        ("ID", escaped(&picture.id)),
        ("PROMISE", escaped(&picture.title)),
        ("FINDINGS", findings(history, verdict)),
        ("SVG", svg(picture)),
        ("REST", rest.concat()),
    ])
}

/// The page with its gaps filled. What is filled in is not looked at again.
fn filled(values: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = PAGE;
    while let Some((before, behind)) = rest.split_once('@') {
        out.push_str(before);
        let value = behind.split_once('@').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        if let Some((value, after)) = value {
            out.push_str(value);
            rest = after;
        } else {
            // An `@` of the style sheet.
            out.push('@');
            rest = behind;
        }
    }
    out + rest
}

fn section(id: &str, heading: &str, body: &str) -> String {
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{body}</section>\n",
        escaped(heading)
    )
}

fn findings(history: &History, verdict: &Verdict) -> String {
    let mut body = String::new();
    for error in &verdict.suite_errors {
        let text = escaped(&format!("the suite could not go on: {error}"));
        body.push_str(&format!("<div class=\"finding\"><p>{text}</p></div>\n"));
    }
    if let Some(at) = &verdict.held {
        let text = escaped(&format!("the plan was stopped {at}: there is no verdict"));
        body.push_str(&format!("<div class=\"finding\"><p>{text}</p></div>\n"));
    }
    for finding in &verdict.findings {
        let details: String = finding
            .details
            .iter()
            .map(|detail| format!("<li>{}</li>\n", escaped(detail)))
            .collect();
        let details = if details.is_empty() {
            details
        } else {
            format!("<ul>\n{details}</ul>\n")
        };
        body.push_str(&format!(
            "<div class=\"finding\">\n<p>{} <span class=\"shape\">{}, {}</span></p>\n{details}</div>\n",
            escaped(&finding.headline),
            finding.shape,
            escaped(&finding.rule.to_string()),
        ));
    }
    for unmet in &verdict.unmet {
        let text = escaped(&format!("not met, so the case proves nothing: {unmet}"));
        body.push_str(&format!("<div class=\"finding\"><p>{text}</p></div>\n"));
    }
    if body.is_empty() {
        return String::new();
    }
    if verdict.status() == Status::Fail {
        body.push_str(&cause(history, verdict));
    }
    section("findings", "What is wrong", &body)
}

fn cause(history: &History, verdict: &Verdict) -> String {
    let mut rows = Vec::new();
    if let Some(diagnosis) = diagnosis::diagnose(&verdict.findings, history) {
        let cause = format!(
            "{} (shape of faulty subject `{}`: {:.2})",
            diagnosis.cause, diagnosis.subject, diagnosis.score
        );
        rows.push(("Likely cause", cause));
        if !diagnosis.ways_out.is_empty() {
            rows.push(("Ways out", diagnosis.ways_out.join("; ")));
        }
    } else {
        let text = "no match: no faulty subject that we know does this";
        rows.push(("Likely cause", text.to_owned()));
    }
    let case = &history.case;
    if let Some(passes) = PassesHere::beside(&Subject::of_case(case), &case.scenario) {
        rows.push(("Passes here", passes.told()));
    }
    list(&rows)
}

/// Names and what belongs to them.
fn list(rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, text)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(text)))
        .collect();
    format!("<dl>\n{rows}</dl>\n")
}

fn waits(history: &History) -> String {
    let waits = waiting(history);
    if waits.is_empty() {
        return String::new();
    }
    let text = |(what, lines): &(String, Vec<String>)| {
        format!("{}:\n  {}\n", escaped(what), escaped(&lines.join("\n  ")))
    };
    let text: String = waits.iter().map(text).collect();
    let body = format!("<pre>{text}</pre>\n");
    section("waits", "Who waits for whom", &body)
}

fn facts(history: &History) -> String {
    let case = &history.case;
    let limits = &case.scenario.limits;
    let capabilities: Vec<String> = case
        .driver_capabilities
        .iter()
        .map(ToString::to_string)
        .collect();
    let rules = case.scenario.rules.iter();
    let rules: Vec<String> = rules.map(ToString::to_string).collect();
    let mut rows = vec![
        ("Driver", shell_words::join(&case.driver)),
        ("logmon", shell_words::join(&case.logmon)),
    ];
    for (option, template) in case.serving.iter().flat_map(Serving::options) {
        rows.push((option, shell_words::join(template)));
    }
    rows.extend([
        ("Declared", capabilities.join(", ")),
        ("Rules", rules.join(", ")),
        (
            "Limits",
            format!(
                "{} files of {}, line guard {}",
                limits.max_files,
                bytes(limits.max_file_bytes.0),
                bytes(limits.line_guard.0)
            ),
        ),
        (
            "Played",
            format!(
                "attempt {}, seed {}, run {}, {:.2} s",
                case.attempt,
                case.seed,
                case.run,
                history.seconds()
            ),
        ),
    ]);
    section("facts", "The case", &list(&rows))
}

fn commands(verdict: &Verdict, history: &History, again: &Again) -> String {
    let bundle = shell_words::quote(&again.bundle);
    let broken = verdict.findings.first().map(|finding| &finding.rule);
    let rule = broken.or(history.case.scenario.rules.first());
    let rule = rule.map_or(String::new(), |rule| {
        format!("harness explain {}\n", escaped(&rule.to_string()))
    });
    let body = format!(
        "<pre>harness repro {0}\nharness recheck {0}\nharness show {0}\n{rule}</pre>\n",
        escaped(&bundle)
    );
    section("again", "Again", &body)
}

fn as_text(history: &History, verdict: &Verdict) -> String {
    let lines = timeline(history, focus(verdict), Extent::Whole);
    format!(
        "<details>\n<summary>Everything as text</summary>\n<pre>{}</pre>\n</details>\n",
        escaped(&lines.join("\n"))
    )
}
