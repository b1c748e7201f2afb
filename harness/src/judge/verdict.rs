//! The judge's one function. (core)

use std::cmp::Reverse;

use super::timeline::Timeline;
use super::{
    adapter, conditions, faults, fidelity, fifo, guest, life, many, mon, pipe_size, recovery,
    rotation,
};
use crate::finding::Shape;
use crate::history::History;
use crate::outcome::Verdict;

/// Judges a history: every finding, the gravest first. The same history gives the same verdict.
/// Never panics, whatever a trace or a file holds.
#[must_use]
pub fn judge(history: &History) -> Verdict {
    if let Some(at) = history.held() {
        // The programs were killed in the middle of everything: what they left says nothing of them.
        return Verdict {
            held: Some(at.to_owned()),
            suite_errors: history.suite_errors(),
            ..Verdict::default()
        };
    }
    let timeline = Timeline::new(history);
    let mut verdict = Verdict::default();
    fidelity::judge(&timeline, &mut verdict);
    rotation::judge(&timeline, &mut verdict);
    life::judge(&timeline, &mut verdict);
    adapter::judge(&timeline, &mut verdict);
    recovery::judge(&timeline, &mut verdict);
    fifo::judge(&timeline, &mut verdict);
    guest::judge(&timeline, &mut verdict);
    mon::judge(&timeline, &mut verdict);
    many::judge(&timeline, &mut verdict);
    faults::judge(&timeline, &mut verdict);
    pipe_size::judge(&timeline, &mut verdict);
    conditions::judge(&timeline, &mut verdict);
    verdict
        .findings
        .sort_by_key(|finding| Reverse(gravity(finding.shape)));
    verdict
}

/// How grave a damage is: something destroyed, then what takes other damage along, then bytes
/// lost, then bytes wrong, then behaviour, then waste.
fn gravity(shape: Shape) -> u8 {
    match shape {
        Shape::ForeignTouched | Shape::FileRewritten => 10,
        Shape::FifoReplaced | Shape::WriterKilled | Shape::Restarted | Shape::Died => 9,
        Shape::LostAll => 8,
        Shape::LostPipeContent => 7,
        Shape::LostMiddle | Shape::LostHead | Shape::LostTail => 6,
        Shape::StreamsMixed => 5,
        Shape::Repeated | Shape::Torn | Shape::Reordered | Shape::Altered | Shape::Added => 4,
        Shape::Accepted
        | Shape::Exposed
        | Shape::Unrecorded
        | Shape::BrokenPipe
        | Shape::Blocked
        | Shape::ForeignReader
        | Shape::NotNull
        | Shape::WrongExit => 3,
        Shape::StreamNotOpened
        | Shape::NotOpenable
        | Shape::NoEof
        | Shape::LineSplit
        | Shape::OversizeFile
        | Shape::TooManyFiles => 2,
        Shape::Late
        | Shape::Reopened
        | Shape::StrayFile
        | Shape::SmallPipe
        | Shape::EarlyRotation
        | Shape::GrowthFd
        | Shape::GrowthThread
        | Shape::GrowthMemory
        | Shape::GrowthProcess
        | Shape::BadInheritance
        | Shape::Busy
        | Shape::HoldsDeleted => 1,
        Shape::LeftBehind => 0,
    }
}
