//! Numbers, wrapped text and the steps of a plan in words. (core)

use crate::scenario::{Action, Await, Condition, LogmonOutcome, SignalName, Step, Who};
use crate::trace::Exit;
use crate::trace::adapter::AdapterEvent;

/// A number with a comma between groups of three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes: `64,000 B`.
#[must_use]
pub fn bytes(number: u64) -> String {
    format!("{} B", grouped(number))
}

/// What happened between the suite and a driver that it speaks to, for a column.
#[must_use]
pub(super) fn adapter(event: &AdapterEvent) -> String {
    match event {
        AdapterEvent::Broke { text, .. } => text.clone(),
        AdapterEvent::Refused { generation, text } => {
            format!("driver refuses task {generation}: {text}")
        }
        AdapterEvent::Detached { .. } => "driver DETACHED <- injected".into(),
        AdapterEvent::Killed { .. } => "driver KILLED <- injected".into(),
        AdapterEvent::RecoverAsked { pid } => format!("driver starts again, pid {pid}"),
        AdapterEvent::Recovered { lost, .. } => match lost.first() {
            None => "driver has recovered".into(),
            Some(one) => format!("driver LOST task {}: {}", one.generation, one.reason),
        },
    }
}

/// How a process ended, as what it does: `exits 0`.
#[must_use]
pub(crate) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exits {code}"),
        Exit::Signal(signal) => format!("dies of signal {signal}"),
    }
}

/// Text as lines of at most `width` characters, each after `indent`; a longer word stands alone.
#[must_use]
pub fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let length = indent.chars().count() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > width {
                out.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push_str(format!("{indent}{line}").trim_end());
        out.push('\n');
    }
    out
}

/// Text after `left`, in lines of at most `width` characters; it goes on under its own beginning.
#[must_use]
pub fn hanging(left: &str, text: &str, width: usize) -> String {
    let indent = " ".repeat(left.chars().count());
    let lines = wrapped(text, &indent, width);
    format!("{}\n", format!("{left}{}", lines.trim()).trim_end())
}

/// Text of at most `width` characters; what is longer ends in `…`.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A plan as numbered lines, nested steps indented.
#[must_use]
pub fn plan_words(plan: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    add_steps(plan, "", &mut lines);
    lines
}

fn add_steps(plan: &[Step], indent: &str, lines: &mut Vec<String>) {
    for (number, step) in plan.iter().enumerate() {
        lines.push(format!(
            "{indent}{}. {}",
            number + 1,
            step_words(&step.action)
        ));
        if let Action::Repeat { plan, .. } = &step.action {
            add_steps(plan, &format!("{indent}   "), lines);
        }
    }
}

/// One step in words.
#[must_use]
pub fn step_words(action: &Action) -> String {
    match action {
        Action::StartLogmon {
            expect: LogmonOutcome::Ready,
            ..
        } => "start logmon and wait until it is ready".into(),
        Action::StartLogmon {
            expect: LogmonOutcome::Refused,
            ..
        } => "start logmon, which must refuse".into(),
        Action::StartLogmon {
            expect: LogmonOutcome::ReadyOrRefused,
            words,
            ..
        } => format!(
            "start logmon with `{}` at the end of its command line; if it refuses that by name, start it \
             without",
            words.join(" ")
        ),
        Action::SecondLogmon { limits: None } => "start a second logmon on the same FIFOs".into(),
        Action::SecondLogmon { limits: Some(_) } => {
            "start a second logmon on the same FIFOs, with other limits".into()
        }
        Action::StartAgain { limits: None } => {
            "have the running logmon start once more what it collects".into()
        }
        Action::StartAgain { limits: Some(_) } => {
            "have the running logmon start once more what it collects, with other limits; one that can't be \
             asked is started once more on the same FIFOs"
                .into()
        }
        Action::StopLogmon { within_ms } => {
            format!(
                "stop logmon with SIGTERM; it must end within {}",
                millis(*within_ms)
            )
        }
        Action::SignalLogmon {
            signal: SignalName::Stop,
        } => "pause logmon (SIGSTOP)".into(),
        Action::SignalLogmon {
            signal: SignalName::Cont,
        } => "let logmon go on (SIGCONT)".into(),
        Action::SignalLogmon {
            signal: SignalName::Kill,
        } => "kill logmon (SIGKILL)".into(),
        Action::SignalLogmon {
            signal: SignalName::Term,
        } => "send SIGTERM to logmon".into(),
        Action::StartTask { script } => {
            format!("start the driver with the next generation of the task (script {script})")
        }
        Action::StartSecondTask { script } => format!(
            "start a second task beside the first, with FIFOs of its own: `{script}`"
        ),
        Action::StopDriver { within_ms } => {
            format!(
                "stop the driver with SIGTERM; it must end within {}",
                millis(*within_ms)
            )
        }
        Action::SignalTask { signal } => {
            format!(
                "send SIG{} to the task's main process",
                signal_name(*signal)
            )
        }
        Action::DetachDriver {} => {
            "have the driver leave its tasks alone (`detach`) and wait until its process has ended"
                .into()
        }
        Action::KillDriver {} => "kill the driver's own process; its tasks live on".into(),
        Action::FreezeDriver {} => "stop the driver's processes (SIGSTOP), all but the task".into(),
        Action::ThawDriver {} => "let the driver's processes go on (SIGCONT)".into(),
        Action::RecoverDriver {} => {
            "start the driver again and have it take its tasks over (`recover`), at most 10 s"
                .into()
        }
        Action::AwaitExit { within_ms } => {
            format!(
                "wait until the driver has ended, at most {}",
                millis(*within_ms)
            )
        }
        Action::Release { gate } => format!("let the task pass the gate `{gate}`"),
        Action::Await(condition) => await_words(condition),
        Action::Elapse { ms, because } => format!("let {} pass: {because}", millis(*ms)),
        Action::HoldReader { pipe_bytes: None } => {
            "the host opens a spare read end of both FIFOs and never reads".into()
        }
        Action::HoldReader {
            pipe_bytes: Some(size),
        } => format!(
            "the host opens a spare read end of both FIFOs, sets the pipes to {} and never reads",
            bytes(size.0)
        ),
        Action::DropReader {} => "the host closes its spare read ends".into(),
        Action::Look {} => "look at the log folder".into(),
        Action::Measure { of: Who::Logmon } => {
            "measure logmon's descriptors, threads and memory".into()
        }
        Action::Measure { of: Who::Driver } => {
            "measure the driver's descriptors, threads and memory".into()
        }
        Action::Break { what } => format!("the host {}", what.words()),
        Action::Mend { what } => format!("the host mends {what}"),
        Action::KillOften {
            what,
            count,
            stream,
            ..
        } => format!("kill {what} {count} times while the task writes to {stream}"),
        Action::ManyTasks { step } => step.words().into(),
        Action::Repeat { times, .. } => format!("{times} times:"),
    }
}

fn await_words(wait: &Await) -> String {
    let of = wait
        .stream
        .map(|stream| format!(" of {stream}"))
        .unwrap_or_default();
    let amount = match wait.bytes {
        Some(number) => bytes(number),
        None => "everything".into(),
    };
    let what = match wait.until {
        Condition::Accepted => format!("the kernel has taken {amount}{of}"),
        Condition::Logged => format!("{amount}{of} that the task wrote is in the log"),
        Condition::PipeFull => format!("the pipe{of} is full"),
        Condition::PipeEmpty => format!("the pipe{of} is empty"),
        Condition::AtGate => {
            format!(
                "the task waits at the gate `{}`",
                wait.gate.as_deref().unwrap_or("?")
            )
        }
        Condition::WriterHolds => format!("somebody holds the write end{of}"),
        Condition::NoWriterHolds => format!("nobody holds the write end{of}"),
        Condition::TaskRuns => "the task runs".into(),
        Condition::TaskGone => "the task's main process is gone".into(),
        Condition::DriverGone => "the driver has ended".into(),
        Condition::LogmonGone => "logmon has ended".into(),
        Condition::DeletedFilesClosed => "logmon holds no deleted log file open".into(),
        Condition::StorageHangs => "a call on the stalled file system waits".into(),
    };
    let meaning = match wait.otherwise {
        Some(shape) => format!("else the damage is `{shape}`"),
        None => "else the case proves nothing".into(),
    };
    format!(
        "wait until {what}, at most {}, {meaning}",
        millis(wait.within_ms)
    )
}

/// What a signal does to a process that the host sends it to.
#[must_use]
pub(crate) fn row_of_signal(signal: SignalName) -> &'static str {
    match signal {
        SignalName::Stop => "PAUSED",
        SignalName::Kill => "KILLED",
        SignalName::Cont => "goes on",
        SignalName::Term => "asked to end (TERM)",
    }
}

/// The name after `SIG`.
pub(crate) fn signal_name(signal: SignalName) -> &'static str {
    match signal {
        SignalName::Term => "TERM",
        SignalName::Kill => "KILL",
        SignalName::Stop => "STOP",
        SignalName::Cont => "CONT",
    }
}

fn millis(ms: u64) -> String {
    if ms >= 1000 && ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{} ms", grouped(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn hanging_text_goes_on_under_its_beginning() {
        assert_eq!(
            hanging("ab  ", "one two three", 12),
            "ab  one two\n    three\n"
        );
        assert_eq!(hanging("ab  ", "", 12), "ab\n");
    }

    #[test]
    fn wrapped_lines_fit_and_keep_every_word() {
        let text = "one two three four five six seven eight nine ten";
        let out = wrapped(text, "  ", 20);
        assert!(
            out.lines()
                .all(|line| line.len() <= 20 && line.starts_with("  ")),
            "{out}"
        );
        assert_eq!(out.split_whitespace().collect::<Vec<_>>().join(" "), text);
    }
}
