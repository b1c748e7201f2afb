//! What happened to many tasks, in the words of a report. (core)

use super::words::{bytes, ended, grouped};
use crate::trace::many::{ManyEvent, When};

/// A row of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As it should be.
    Step(String),
    /// Something that went wrong.
    Break(String),
}

/// What a row says of an event; none for what went well with one task, as there are many of them.
pub(super) fn row_text(event: &ManyEvent) -> Option<Told> {
    match event {
        ManyEvent::Commanded {
            exit: Some(exit), ..
        } if exit.as_status() == 0 => None,
        ManyEvent::Commanded {
            task,
            order,
            exit: Some(exit),
            ..
        } => Some(Told::Break(format!(
            "{} of t{task} {}",
            order.as_str(),
            ended(*exit)
        ))),
        ManyEvent::Commanded {
            task,
            order,
            exit: None,
            after_ms,
            ..
        } => Some(Told::Break(format!(
            "{} of t{task} NOT done in {after_ms} ms",
            order.as_str()
        ))),
        ManyEvent::Wrote { tasks, bytes: sent } => Some(Told::Step(format!(
            "the host wrote {} to {} tasks",
            bytes(*sent),
            grouped(u64::from(*tasks))
        ))),
        ManyEvent::NotWritten {
            task,
            stream,
            bytes: sent,
            of,
            ..
        } => Some(Told::Break(format!(
            "t{task} could write {} of {} ({stream})",
            grouped(*sent),
            bytes(*of)
        ))),
        ManyEvent::NotRead {
            task,
            stream,
            bytes: left,
            within_ms,
        } => Some(Told::Break(format!(
            "{} of t{task}'s {stream} NOT read in {within_ms} ms",
            bytes(*left)
        ))),
        ManyEvent::Measured {
            when,
            tasks,
            processes,
            fds,
            memory_bytes,
            ..
        } => {
            let when = match when {
                When::Before => "before",
                When::Started => "started",
                When::Written => "written",
                When::Stopped => "stopped",
            };
            Some(Told::Step(format!(
                "{when}: {tasks} tasks, {processes} proc., {fds} fds, {}",
                bytes(*memory_bytes)
            )))
        }
        ManyEvent::NotLogged {
            task,
            stream,
            within_ms,
        } => Some(Told::Break(format!(
            "t{task}'s {stream} NOT in a file in {within_ms} ms"
        ))),
        ManyEvent::Left { is_same: true, .. } | ManyEvent::Sent { .. } => None,
        ManyEvent::Left {
            task,
            stream,
            bytes: left,
            of,
            ..
        } => Some(Told::Break(format!(
            "{} of {} left in t{task}'s {stream}",
            grouped(*left),
            bytes(*of)
        ))),
    }
}

/// The same for others: the text, and whether something went wrong.
pub(crate) fn many_row(event: &ManyEvent) -> Option<(String, bool)> {
    Some(match row_text(event)? {
        Told::Step(text) => (text, false),
        Told::Break(text) => (text, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Exit;
    use crate::trace::many::Order;

    fn command(exit: Option<Exit>) -> Option<Told> {
        row_text(&ManyEvent::Commanded {
            task: 7,
            order: Order::Start,
            exit,
            after_ms: 5_000,
            said: String::new(),
            written: None,
        })
    }

    #[test]
    fn only_commands_that_failed_have_a_row() {
        assert_eq!(command(Some(Exit::Code(0))), None);
        let broken = |text: &str| Some(Told::Break(text.to_owned()));
        assert_eq!(
            command(Some(Exit::Code(71))),
            broken("start of t7 exits 71")
        );
        assert_eq!(command(None), broken("start of t7 NOT done in 5000 ms"));
    }
}
