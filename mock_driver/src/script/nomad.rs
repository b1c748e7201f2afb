//! The fields that users of Nomad's mock driver know, translated to steps: a core.
//!
//! | field | what it becomes |
//! |---|---|
//! | `start_block_for` | a pause before everything else |
//! | `stdout_string`, `stderr_string` | the text, once at the start |
//! | `stdout_repeat`, `stderr_repeat` | the text so many times more |
//! | `stdout_repeat_duration`, `stderr_repeat_duration` | the pause before each of these |
//! | `run_for` | how long the task lives; output that is due later is left out |
//! | `exit_code`, `exit_signal` | how it ends |
//!
//! Durations are texts such as `200ms`, `2s` or `1m30s`. Both streams run at the same time, as
//! the pauses say; at equal times stdout comes first. Without `run_for` the task ends after its
//! last output. A script has either these fields or steps.
//!
//! These say how the driver behaves, and stand beside fields and steps alike:
//!
//! | field | what it does in `play` | and in `task` |
//! |---|---|---|
//! | `start_error` | says it on the driver's stderr and exits with 125; no FIFO is opened, nothing is written; after `start_block_for`, if that is given | exits with 125 in silence |
//! | `start_error_recoverable` | `true` turns that status into 124 | the same |
//! | `exit_err_msg` | says it on the driver's stderr when the run is over | nothing: its stderr is a stream |
//! | `kill_after` | the task lives on for so long after SIGTERM, then ends by it; the driver kills it after 2 s | the same, nobody kills it |
//! | `signal_error` | SIGTERM and SIGINT are answered with it on the driver's stderr and not handed on | SIGTERM has no effect |
//!
//! A task with `kill_after` or `signal_error` blocks SIGTERM, which processes that it starts would
//! inherit: such a script has no step that starts one. The two exclude each other.
//!
//! Two are refused by name: `exec_command` says what a later exec call prints, and
//! `plugin_exit_after` ends a plugin that its host starts again. Both need the plugin protocol: a task of
//! `mock_driver plugin` may have them in its configuration.

use std::time::Duration;

use serde::Serialize;

use super::{Document, Step};
use crate::stream::Stream;

/// A field that cannot be played.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) field: &'static str,
    pub(super) problem: String,
}

/// How the driver answers what a host asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Why the task cannot be started. It is never played then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_error: Option<String>,
    /// Whether a later start may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_error_recoverable: Option<bool>,
    /// What is said when the run is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_err_msg: Option<String>,
    /// How long the task lives on after SIGTERM.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_milliseconds"
    )]
    pub kill_after: Option<Duration>,
    /// The answer to SIGTERM, which has no other effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_error: Option<String>,
}

impl Answers {
    /// The status of a start that fails: 125, or 124 if a later one may succeed.
    pub(super) fn start_error_status(&self) -> Option<u8> {
        self.start_error.as_ref()?;
        let recoverable = self.start_error_recoverable == Some(true);
        Some(if recoverable { 124 } else { 125 })
    }

    fn catches_sigterm(&self) -> bool {
        self.kill_after.is_some() || self.signal_error.is_some()
    }
}

fn as_milliseconds<S: serde::Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}ms", time.unwrap_or_default().as_millis()))
}

/// How the driver answers, taken from the document, and the steps that go with it.
pub(super) fn translate(mut document: Document) -> Result<(Answers, Vec<Step>), Refused> {
    let needs_the_protocol = [
        (
            "exec_command",
            &document.exec_command,
            "it says what a later exec call prints, which needs the plugin protocol",
        ),
        (
            "plugin_exit_after",
            &document.plugin_exit_after,
            "it ends a plugin that its host starts again, which needs the plugin protocol",
        ),
    ];
    for (field, value, problem) in needs_the_protocol {
        if value.is_some() {
            return Err(refused(field, problem));
        }
    }
    let answers = Answers {
        start_error: document.start_error.take(),
        start_error_recoverable: document.start_error_recoverable,
        exit_err_msg: document.exit_err_msg.take(),
        kill_after: duration("kill_after", document.kill_after.as_deref())?,
        signal_error: document.signal_error.take(),
    };
    if answers.start_error_recoverable == Some(true) && answers.start_error.is_none() {
        return Err(refused(
            "start_error_recoverable",
            "there is no start_error",
        ));
    }
    if answers.kill_after.is_some() && answers.signal_error.is_some() {
        return Err(refused(
            "kill_after",
            "signal_error keeps SIGTERM from the task",
        ));
    }
    let mut steps = steps(document)?;
    if answers.catches_sigterm() && steps.iter().any(starts_a_process) {
        let field = if answers.kill_after.is_some() {
            "kill_after"
        } else {
            "signal_error"
        };
        return Err(refused(
            field,
            "a process that a step starts would block SIGTERM",
        ));
    }
    if answers.start_error.is_some() {
        // Only what comes before the start is left of it.
        let end = steps
            .iter()
            .position(|step| !matches!(step, Step::Sleep { .. }));
        steps.truncate(end.unwrap_or(steps.len()));
    }
    Ok((answers, steps))
}

fn starts_a_process(step: &Step) -> bool {
    match step {
        Step::Records { writers, .. } => *writers > 1,
        Step::Child { .. } | Step::Exec { .. } => true,
        Step::Text { .. }
        | Step::Raw { .. }
        | Step::Lines { .. }
        | Step::Sleep { .. }
        | Step::Gate { .. }
        | Step::Mark { .. }
        | Step::Close { .. }
        | Step::Reopen { .. }
        | Step::Ignore { .. }
        | Step::Die { .. }
        | Step::Exit { .. } => false,
    }
}

fn refused(field: &'static str, problem: &str) -> Refused {
    Refused {
        field,
        problem: problem.to_owned(),
    }
}

/// The document's own steps, or those that its fields stand for.
fn steps(document: Document) -> Result<Vec<Step>, Refused> {
    let start = duration("start_block_for", document.start_block_for.as_deref())?;
    let run_for = duration("run_for", document.run_for.as_deref())?;
    let mut events = Vec::new();
    let streams = [
        Output {
            stream: Stream::Stdout,
            text: document.stdout_string,
            repeat: ("stdout_repeat", document.stdout_repeat),
            pause: ("stdout_repeat_duration", document.stdout_repeat_duration),
        },
        Output {
            stream: Stream::Stderr,
            text: document.stderr_string,
            repeat: ("stderr_repeat", document.stderr_repeat),
            pause: ("stderr_repeat_duration", document.stderr_repeat_duration),
        },
    ];
    for output in streams {
        output.events(&mut events)?;
    }
    if events.is_empty() && start.is_none() && run_for.is_none() {
        return Ok(document.step);
    }
    if !document.step.is_empty() {
        return Err(Refused {
            field: "step",
            problem: "steps and the fields of Nomad's mock driver exclude each other".to_owned(),
        });
    }
    events.sort_by_key(|(at, stream, _)| (*at, *stream));
    Ok(timeline(start, run_for, events))
}

type Due = (Duration, Stream, String);

struct Output {
    stream: Stream,
    text: Option<String>,
    repeat: (&'static str, Option<u32>),
    pause: (&'static str, Option<String>),
}

impl Output {
    fn events(self, events: &mut Vec<Due>) -> Result<(), Refused> {
        let pause = duration(self.pause.0, self.pause.1.as_deref())?;
        let Some(text) = self.text else {
            let without_text = [
                (self.repeat.0, self.repeat.1.is_some()),
                (self.pause.0, pause.is_some()),
            ];
            return match without_text.into_iter().find(|(_, given)| *given) {
                Some((field, _)) => Err(Refused {
                    field,
                    problem: format!("there is no text for {} to repeat", self.stream),
                }),
                None => Ok(()),
            };
        };
        let pause = pause.unwrap_or_default();
        let repeat = self.repeat.1.unwrap_or(0);
        events.extend((0..=repeat).map(|time| (pause * time, self.stream, text.clone())));
        Ok(())
    }
}

fn timeline(start: Option<Duration>, run_for: Option<Duration>, events: Vec<Due>) -> Vec<Step> {
    let mut steps = Vec::new();
    let sleep = |steps: &mut Vec<Step>, pause: Duration| {
        if !pause.is_zero() {
            let ms = pause.as_millis() as u64;
            steps.push(Step::Sleep { ms });
        }
    };
    sleep(&mut steps, start.unwrap_or_default());
    let mut now = Duration::ZERO;
    for (at, stream, text) in events {
        if run_for.is_some_and(|end| at > end) {
            break;
        }
        sleep(&mut steps, at - now);
        now = at;
        steps.push(Step::Text { stream, text });
    }
    if let Some(end) = run_for {
        sleep(&mut steps, end.saturating_sub(now));
    }
    steps
}

fn duration(field: &'static str, text: Option<&str>) -> Result<Option<Duration>, Refused> {
    let Some(text) = text else { return Ok(None) };
    match parse_duration(text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Refused {
            field,
            problem: format!("`{text}` is not a duration such as 200ms, 2s or 1m30s"),
        }),
    }
}

/// Reads numbers with units one behind the other. Whole milliseconds at the finest.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(Duration::from_millis(number.checked_mul(ms)?))?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_nomad_writes_them() {
        assert_eq!(parse_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse_duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        for bad in ["", "5", "s", "2 s", "2d", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
