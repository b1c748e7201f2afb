//! What a driver does with the two FIFOs. (core)

use std::collections::{BTreeMap, BTreeSet};

use mock_driver::journal::{self, FdFacts, FileKind, Role};
use mock_driver::script::Step;
use mock_driver::stream::Stream;

use super::life::describe;
use super::rules;
use super::timeline::{Generation, Timeline};
use crate::capability::Capability;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::scenario::{FifoKind, PlantKind};
use crate::trace::{Event, Holder};

/// The null device: major 1, minor 3.
const NULL_DEVICE: u64 = 0x103;
const SIGPIPE: u8 = 13;

/// Judges the FIFOs and what the task inherited.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    for stream in Stream::BOTH {
        identity(timeline, stream, verdict);
        readers(timeline, stream, verdict);
        opened(timeline, stream, verdict);
        extra_descriptors(timeline, stream, verdict);
    }
    inheritance(timeline, verdict);
}

fn finding(
    shape: Shape,
    rule: &'static str,
    stream: Option<Stream>,
    headline: String,
    details: Vec<String>,
) -> Finding {
    Finding {
        shape,
        rule: rules::named(rule),
        stream,
        headline,
        details,
    }
}

fn identity(timeline: &Timeline<'_>, of: Stream, verdict: &mut Verdict) {
    let looks = timeline.history.entries.iter().filter_map(|entry| {
        if let Event::FifoIs {
            stream,
            when,
            kind,
            dev,
            ino,
            ..
        } = &entry.event
            && *stream == of
        {
            Some((when, kind, (*dev, *ino)))
        } else {
            None
        }
    });
    let may_appear = timeline.history.case.scenario.host.fifos == FifoKind::Absent;
    let mut first: Option<(&String, &String, (u64, u64))> = None;
    for (when, kind, id) in looks {
        let Some((was_when, was_kind, was_id)) = first else {
            first = Some((when, kind, id));
            continue;
        };
        if was_kind == kind && was_id == id {
            continue;
        }
        if may_appear && was_kind == "nothing" && kind == "fifo" {
            first = Some((when, kind, id));
            continue;
        }
        let is_fifo = was_kind == "fifo" || may_appear;
        let case = &timeline.history.case;
        // A logmon alone under test is the one that did it.
        let is_logmons = case.has_bundled_driver() && !case.has_bundled_logmon();
        let rule = if is_fifo && !is_logmons {
            rules::FIFO_1
        } else {
            rules::MON_6
        };
        let headline = if was_kind == kind {
            format!(
                "the {kind} of {of} is another one than before: inode {} instead of {}",
                id.1, was_id.1
            )
        } else {
            format!("at the path of {of} stands {kind}, where {was_kind} was")
        };
        let details = vec![format!(
            "{was_when}: {was_kind}, inode {}   {when}: {kind}, inode {}",
            was_id.1, id.1
        )];
        verdict.findings.push(finding(
            Shape::FifoReplaced,
            rule,
            Some(of),
            headline,
            details,
        ));
        return;
    }
}

/// Who held a FIFO at a time.
struct Seen<'a> {
    at_us: u64,
    when: &'a str,
    holders: &'a [Holder],
}

fn holders<'a>(timeline: &Timeline<'a>, of: Stream) -> impl Iterator<Item = Seen<'a>> {
    timeline.history.entries.iter().filter_map(move |entry| {
        if let Event::Holders {
            stream,
            when,
            holders,
        } = &entry.event
            && *stream == of
        {
            Some(Seen {
                at_us: entry.at_us,
                when,
                holders,
            })
        } else {
            None
        }
    })
}

fn is_subjects(holder: &Holder) -> bool {
    holder.role == "task" || holder.role == "driver"
}

fn readers(timeline: &Timeline<'_>, stream: Stream, verdict: &mut Verdict) {
    let is_lost = verdict
        .findings
        .iter()
        .any(|other| other.stream == Some(stream) && other.shape.is_loss());
    // A driver may hold a read end so that EPIPE never comes. That it reads is shown by what is missing.
    let is_wrong =
        |holder: &Holder| holder.reads && (holder.role == "task" || is_lost && is_subjects(holder));
    let found = holders(timeline, stream)
        .flat_map(|seen| seen.holders.iter().map(move |holder| (seen.when, holder)))
        .find(|(_, holder)| is_wrong(holder));
    let Some((when, holder)) = found else { return };
    let rule = if is_lost && holder.writes {
        rules::FIFO_5
    } else {
        rules::FIFO_2
    };
    let how = if holder.writes {
        "read-write"
    } else {
        "for reading"
    };
    let headline = format!("the {} opened the FIFO of {stream} {how}", holder.role);
    let details = vec![format!("{when}: {}", describe(holder))];
    verdict.findings.push(finding(
        Shape::ForeignReader,
        rule,
        Some(stream),
        headline,
        details,
    ));
}

fn opened(timeline: &Timeline<'_>, stream: Stream, verdict: &mut Verdict) {
    let history = timeline.history;
    if !history.case.scenario.expect.both_streams_opened || timeline.declares(Capability::Merged) {
        return;
    }
    let inodes: BTreeSet<u64> = history
        .entries
        .iter()
        .filter_map(|entry| {
            if let Event::FifoIs {
                stream: of,
                kind,
                ino,
                ..
            } = &entry.event
                && *of == stream
                && kind == "fifo"
            {
                Some(*ino)
            } else {
                None
            }
        })
        .collect();
    let was_held = holders(timeline, stream).any(|seen| {
        seen.holders
            .iter()
            .any(|one| is_subjects(one) && one.writes)
    });
    // The host looks now and then; who opened late and was done between two looks has left its bytes.
    let has_arrived = history.entries.iter().any(|entry| {
        matches!(
            entry.event,
            Event::Pipe { stream: of, bytes, .. } | Event::Logged { stream: of, bytes }
                if of == stream && bytes > 0
        )
    });
    let plants = &history.case.scenario.host.plant;
    let has_old_logs = plants.iter().any(|plant| plant.kind == PlantKind::OldLog);
    let was_used = was_held || (has_arrived && !has_old_logs);
    for generation in &timeline.generations {
        let mut lines = generation.driver_journal.iter().chain(generation.journal);
        let says_so = lines.any(|line| {
            if let journal::Event::Hello { fd1, fd2, .. } = &line.event {
                [fd1, fd2].iter().any(|fd| inodes.contains(&fd.ino))
            } else {
                matches!(line.event, journal::Event::Opened { stream: of, .. } if of == stream)
            }
        });
        // A journal that names openings must name this one; without such a journal /proc speaks
        // for all generations.
        let has_openings = generation
            .driver_journal
            .iter()
            .any(|line| matches!(line.event, journal::Event::Opened { .. }));
        if says_so || (was_used && !has_openings) {
            continue;
        }
        let headline = format!(
            "the driver never opened the FIFO of {stream} in generation {}",
            generation.number
        );
        let details = vec!["no process of the driver or the task held its write end".to_owned()];
        verdict.findings.push(finding(
            Shape::StreamNotOpened,
            rules::FIFO_6,
            Some(stream),
            headline,
            details,
        ));
        return;
    }
}

/// A descriptor of the FIFO in the task beside 1 and 2. Before exec a shell has one for a moment,
/// so it counts only once the task itself has written its journal's first line. A task that opens
/// its stream again by a path has two itself for a moment.
fn extra_descriptors(timeline: &Timeline<'_>, stream: Stream, verdict: &mut Verdict) {
    let scripts = timeline.history.case.scenario.tasks.values();
    let mut steps = scripts.flat_map(|script| &script.steps);
    if steps.any(|step| matches!(step, Step::Reopen { stream: of } if *of == stream)) {
        return;
    }
    let mut began: BTreeMap<i32, u64> = BTreeMap::new();
    for line in timeline
        .generations
        .iter()
        .flat_map(|generation| generation.journal)
    {
        if let journal::Event::Hello {
            pid,
            role: Role::Task,
            ..
        } = line.event
            && let Ok(pid) = i32::try_from(pid)
        {
            began.insert(pid, line.at_us);
        }
    }
    for seen in holders(timeline, stream) {
        let is_extra = |holder: &&Holder| {
            holder.role == "task"
                && holder.fd > 2
                && began
                    .get(&holder.pid)
                    .is_some_and(|&began| began <= seen.at_us)
        };
        if let Some(holder) = seen.holders.iter().find(is_extra) {
            let headline =
                format!("the task was started with one more descriptor of the FIFO of {stream}");
            let details = vec![format!("{}: {}", seen.when, describe(holder))];
            verdict.findings.push(finding(
                Shape::BadInheritance,
                rules::FIFO_11,
                Some(stream),
                headline,
                details,
            ));
            return;
        }
    }
}

fn inheritance(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let is_disabled = timeline.history.case.scenario.host.fifos == FifoKind::Disabled;
    let mut said = BTreeSet::new();
    for generation in &timeline.generations {
        for line in generation.journal {
            if let journal::Event::Hello {
                role: Role::Task,
                fd1,
                fd2,
                sig_ignored,
                sig_blocked,
                ..
            } = &line.event
            {
                if (sig_ignored.contains(&SIGPIPE) || !sig_blocked.is_empty())
                    && said.insert("signals")
                {
                    verdict
                        .findings
                        .push(signals(generation, sig_ignored, sig_blocked));
                }
                for (fd, stream) in [(fd1, Stream::Stdout), (fd2, Stream::Stderr)] {
                    if is_disabled && !is_null(fd) && said.insert(stream.as_str()) {
                        verdict.findings.push(finding(
                            Shape::NotNull,
                            rules::FIFO_12,
                            Some(stream),
                            format!("log collection is off, but the task's {stream} is not the null device"),
                            vec![format!("it is {}", kind_name(fd.kind))],
                        ));
                    }
                }
            }
        }
    }
}

fn signals(generation: &Generation<'_>, ignored: &[u8], blocked: &[u8]) -> Finding {
    let list = |signals: &[u8]| {
        signals
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let headline = if ignored.contains(&SIGPIPE) {
        "the task was started with SIGPIPE ignored"
    } else {
        "the task was started with signals blocked"
    };
    let details = vec![format!(
        "generation {}: ignored [{}], blocked [{}]",
        generation.number,
        list(ignored),
        list(blocked)
    )];
    finding(
        Shape::BadInheritance,
        rules::FIFO_11,
        None,
        headline.to_owned(),
        details,
    )
}

fn is_null(fd: &FdFacts) -> bool {
    fd.kind == FileKind::Char && fd.rdev == NULL_DEVICE
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Fifo => "a pipe",
        FileKind::Regular => "a regular file",
        FileKind::Char => "another character device",
        FileKind::Block => "a block device",
        FileKind::Dir => "a folder",
        FileKind::Link => "a symbolic link",
        FileKind::Socket => "a socket",
        FileKind::Closed => "closed",
    }
}
