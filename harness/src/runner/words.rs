//! Steps and conditions in words, for traces and reports. (core)

use crate::scenario::{Action, Await, Condition, LogmonOutcome, SignalName, Who};

/// A step in words.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::StartLogmon {
            expect: LogmonOutcome::Ready,
            ..
        } => "start logmon".into(),
        Action::StartLogmon {
            expect: LogmonOutcome::Refused,
            ..
        } => "start logmon, which must refuse".into(),
        Action::StartLogmon {
            expect: LogmonOutcome::ReadyOrRefused,
            words,
            ..
        } => format!(
            "start logmon with `{}`, which it may refuse",
            words.join(" ")
        ),
        Action::SecondLogmon { .. } => "start a second logmon beside the first".into(),
        Action::StartAgain { .. } => "have logmon start once more what it collects".into(),
        Action::StopLogmon { within_ms } => format!("stop logmon within {within_ms} ms"),
        Action::SignalLogmon { signal } => format!("send {} to logmon", signal_name(*signal)),
        Action::StartTask { script } => format!("start the task `{script}`"),
        Action::StartSecondTask { script } => {
            format!("start the task `{script}` beside the first")
        }
        Action::StopDriver { within_ms } => format!("stop the driver within {within_ms} ms"),
        Action::SignalTask { signal } => format!("send {} to the task", signal_name(*signal)),
        Action::DetachDriver {} => "have the driver leave its tasks alone and end".into(),
        Action::KillDriver {} => "kill the driver's own process".into(),
        Action::FreezeDriver {} => "stop the driver's processes".into(),
        Action::ThawDriver {} => "let the driver's processes go on".into(),
        Action::RecoverDriver {} => "start the driver again and have it recover".into(),
        Action::AwaitExit { within_ms } => {
            format!("wait up to {within_ms} ms for the driver's end")
        }
        Action::Release { gate } => format!("open the gate `{gate}`"),
        Action::Await(wait) => format!("wait until {}", condition(wait)),
        Action::Elapse { ms, because } => format!("let {ms} ms pass: {because}"),
        Action::HoldReader { .. } => "hold spare read ends".into(),
        Action::DropReader {} => "drop the spare read ends".into(),
        Action::Look {} => "look at the log folder".into(),
        Action::Measure { of: Who::Logmon } => "measure logmon".into(),
        Action::Measure { of: Who::Driver } => "measure the driver".into(),
        Action::Break { what } => format!("the host {}", what.words()),
        Action::Mend { what } => format!("mend {what}"),
        Action::KillOften { what, count, .. } => format!("kill {what} {count} times"),
        Action::ManyTasks { step } => step.words().into(),
        Action::Repeat { times, plan } => format!("repeat {} steps {times} times", plan.len()),
    }
}

/// A condition in words.
pub(super) fn condition(wait: &Await) -> String {
    let streams = wait.stream.map_or("both streams", |stream| stream.as_str());
    let fifos = wait.stream.map_or_else(
        || "both FIFOs".to_owned(),
        |stream| format!("{stream}'s FIFO"),
    );
    let bytes = wait.bytes.map(|bytes| format!("{bytes} bytes of "));
    match wait.until {
        Condition::Accepted => match bytes {
            Some(bytes) => format!("the task has written {bytes}{streams}"),
            None => format!("the task has written all of {streams}"),
        },
        Condition::Logged => match bytes {
            Some(bytes) => format!("the log holds {bytes}{streams}"),
            None => format!("the log ends with what the task wrote last to {streams}"),
        },
        Condition::PipeFull => match wait.stream {
            Some(stream) => format!("{stream}'s pipe is full"),
            None => "a pipe is full".into(),
        },
        Condition::PipeEmpty => format!("nothing is left in {fifos}"),
        Condition::AtGate => format!(
            "the task waits at gate `{}`",
            wait.gate.as_deref().unwrap_or_default()
        ),
        Condition::WriterHolds => format!("a writer holds {fifos}"),
        Condition::NoWriterHolds => format!("no writer holds {fifos}"),
        Condition::TaskRuns => "the task runs".into(),
        Condition::TaskGone => "the task is gone".into(),
        Condition::DriverGone => "the driver has ended".into(),
        Condition::LogmonGone => "logmon has ended".into(),
        Condition::DeletedFilesClosed => "logmon holds no deleted log file open".into(),
        Condition::StorageHangs => "a call on the stalled file system waits".into(),
    }
}

fn signal_name(signal: SignalName) -> &'static str {
    match signal {
        SignalName::Term => "SIGTERM",
        SignalName::Kill => "SIGKILL",
        SignalName::Stop => "SIGSTOP",
        SignalName::Cont => "SIGCONT",
    }
}
