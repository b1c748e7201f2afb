//! The report as one page for a browser. (core)
//!
//! The page needs nothing but itself: no network, and scripts only to filter its list. It is XML as
//! well as HTML, so that any XML parser reads it. Style and script stand in files of their own, and hold
//! neither `<` nor `&`, which the two languages read differently there.

use crate::outcome::Status;
use crate::report::expected::expected_sentences;
use crate::report::told::{
    Meaning, Trouble, ending, headline, kind, meaning, printable, rule, troubles,
};
use crate::report::{Report, rerun};
use crate::suite::{CaseResult, Counts};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut out = String::from(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n\
         <meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n",
    );
    out.push_str(&format!(
        "<title>{}: {}</title>\n",
        text(&report.suite),
        text(&ending(report))
    ));
    out.push_str(&format!("<style>\n{STYLE}</style>\n</head>\n<body>\n"));
    summary(&mut out, report);
    filters(&mut out, &Counts::of(&report.cases));
    out.push_str("<main id=\"cases\">\n");
    let mut in_order: Vec<&CaseResult> = report.cases.iter().collect();
    // What is wrong stands first; within one status the order of the suite stays.
    in_order.sort_by_key(|one| rank(one.status));
    for result in in_order {
        case(&mut out, report, result);
    }
    out.push_str("<p id=\"nothing\" hidden=\"hidden\">No case matches.</p>\n</main>\n");
    out.push_str(&format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    out
}

fn summary(out: &mut String, report: &Report) {
    let class = match report.exit_code {
        Some(0) => "good",
        Some(3) => "shaky",
        Some(_) | None => "bad",
    };
    out.push_str(&format!(
        "<header class=\"{class}\">\n<h1>{}</h1>\n",
        text(&ending(report))
    ));
    of_the_run(out, report);
    let mut facts = vec![
        ("Subject", report.subject.name.clone()),
        ("Suite", report.suite.clone()),
        ("Seed", report.seed.to_string()),
        ("Time", format!("{:.1} s", report.seconds)),
        ("Capabilities", report.subject.capabilities.join(", ")),
    ];
    if let Some(facts_of) = report.shard {
        let told = format!("{}, which says nothing about the whole", facts_of.shard);
        facts.push(("Shard", told));
    }
    if let Some(shards) = report.merged_shards {
        facts.push(("Merged", format!("out of {shards} shards")));
    }
    out.push_str("<dl>\n");
    for (name, value) in facts {
        out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", text(&value)));
    }
    out.push_str("</dl>\n</header>\n");
}

/// What is wrong with the run itself.
fn of_the_run(out: &mut String, report: &Report) {
    let troubles = troubles(report);
    if troubles.is_empty() {
        return;
    }
    out.push_str("<ul id=\"run\">\n");
    for Trouble { kind, text: told } in troubles {
        out.push_str(&format!(
            "<li data-kind=\"{kind}\" class=\"message\">{}</li>\n",
            text(&told)
        ));
    }
    out.push_str("</ul>\n");
}

fn filters(out: &mut String, counts: &Counts) {
    out.push_str(
        "<form id=\"filters\" onsubmit=\"return false\">\n<label class=\"find\">Find \
         <input id=\"find\" type=\"search\" placeholder=\"id, rule, shape, words\"/></label>\n\
         <span class=\"statuses\">\n",
    );
    for (status, count) in &counts.by_status {
        let (name, class) = (status.as_str(), class(*status));
        out.push_str(&format!(
            "<label class=\"{class}\"><input type=\"checkbox\" name=\"status\" value=\"{name}\" \
             checked=\"checked\"/> {name} <b data-count=\"{name}\">{count}</b></label>\n"
        ));
    }
    out.push_str("</span>\n<output id=\"shown\"></output>\n</form>\n");
}

fn case(out: &mut String, report: &Report, result: &CaseResult) {
    let open = match meaning(result.status) {
        Meaning::Bad | Meaning::Broken | Meaning::Shaky => " open=\"open\"",
        Meaning::Good | Meaning::ExpectedFailure | Meaning::Skipped => "",
    };
    let rules: Vec<&str> = result.rules.iter().map(|rule| rule.as_str()).collect();
    let found_by = format!(
        "{} {} {} {} {} {}",
        result.id,
        result.status,
        rules.join(" "),
        kind(result),
        result.title,
        headline(result)
    );
    let time = if result.status.has_run() {
        format!("{:.2} s", result.seconds)
    } else {
        String::new()
    };
    out.push_str(&format!(
        "<details class=\"case {}\" id=\"{}\" data-status=\"{}\" data-find=\"{}\"{open}>\n<summary>\
         <span class=\"status\">{}</span> <span class=\"id\">{}</span> <span class=\"rules\">{}</span> \
         <span class=\"time\">{time}</span></summary>\n",
        class(result.status),
        text(&result.id),
        result.status,
        text(&found_by.to_lowercase()),
        result.status,
        text(&result.id),
        text(rule(result)),
    ));
    out.push_str(&format!("<p class=\"title\">{}</p>\n", text(&result.title)));
    let wrong = headline(result);
    if !wrong.is_empty() {
        out.push_str(&format!("<p class=\"headline\">{}</p>\n", text(&wrong)));
    }
    facts(out, report, result, &rules);
    if !result.text.is_empty() {
        // A line end right behind the tag is dropped in HTML and kept in XML: there is none.
        let shown = result.text.trim_matches('\n');
        out.push_str(&format!("<pre tabindex=\"0\">{}</pre>\n", text(shown)));
    }
    out.push_str("</details>\n");
}

fn facts(out: &mut String, report: &Report, result: &CaseResult, rules: &[&str]) {
    let mut facts = vec![
        (
            "Level",
            format!("{}, {}", result.level.keyword(), result.profile),
        ),
        ("Rules", rules.join(", ")),
    ];
    if result.status.has_run() {
        facts.push(("Shape", kind(result).to_owned()));
        facts.push(("Failed", result.failed_runs()));
    }
    let expected = expected_sentences(result);
    if !expected.is_empty() {
        facts.push(("Expected", expected.join("; ")));
    }
    if let Some(cause) = &result.cause {
        let told = format!("{} ({}, {:.2})", cause.text, cause.subject, cause.score);
        facts.push(("Likely cause", told));
        facts.push(("Ways out", cause.ways_out.join("; ")));
    }
    if let Some(passes) = &result.passes_here {
        facts.push(("Passes here", passes.told()));
    }
    if let Some(bundle) = &result.bundle {
        facts.push(("Bundle", bundle.display().to_string()));
    }
    out.push_str("<dl>\n");
    for (name, value) in facts {
        out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", text(&value)));
    }
    let rerun = rerun(report, &result.id);
    out.push_str(&format!(
        "<dt>Re-run</dt><dd><code>{}</code></dd>\n</dl>\n",
        text(&rerun)
    ));
}

/// What is wrong comes first.
fn rank(status: Status) -> u8 {
    match meaning(status) {
        Meaning::Bad => 0,
        Meaning::Broken => 1,
        Meaning::Shaky => 2,
        Meaning::ExpectedFailure => 3,
        Meaning::Good => 4,
        Meaning::Skipped => 5,
    }
}

fn class(status: Status) -> &'static str {
    match meaning(status) {
        Meaning::Bad | Meaning::Broken => "bad",
        Meaning::Shaky => "shaky",
        Meaning::ExpectedFailure => "expected",
        Meaning::Good => "good",
        Meaning::Skipped => "skipped",
    }
}

/// Text in an element or in a quoted attribute.
fn text(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_hold_nothing_that_html_and_xml_read_differently() {
        for part in [STYLE, SCRIPT] {
            assert!(!part.contains(['<', '&']) && !part.contains("]]"), "{part}");
            assert!(!part.contains("http") && !part.contains("url("), "{part}");
        }
    }
}
