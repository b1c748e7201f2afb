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
//! `start_error`, `start_error_recoverable`, `exit_err_msg`, `kill_after`, `signal_error`,
//! `exec_command` and `plugin_exit_after` speak of answers over the plugin protocol; a process
//! that writes into two FIFOs has none to give, so they are refused by name.

use std::time::Duration;

use super::{Document, Step};
use crate::stream::Stream;

/// A field that cannot be played.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) field: &'static str,
    pub(super) problem: String,
}

/// The document's own steps, or those that its fields stand for.
pub(super) fn steps(document: Document) -> Result<Vec<Step>, Refused> {
    let needs_the_protocol = [
        ("start_error", &document.start_error),
        ("start_error_recoverable", &document.start_error_recoverable),
        ("exit_err_msg", &document.exit_err_msg),
        ("kill_after", &document.kill_after),
        ("signal_error", &document.signal_error),
        ("exec_command", &document.exec_command),
        ("plugin_exit_after", &document.plugin_exit_after),
    ];
    for (field, value) in needs_the_protocol {
        if value.is_some() {
            return Err(Refused {
                field,
                problem: "it needs the plugin protocol, which a process cannot answer".to_owned(),
            });
        }
    }
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
fn parse_duration(text: &str) -> Option<Duration> {
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
