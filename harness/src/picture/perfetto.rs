//! A picture as trace events, which ui.perfetto.dev and chrome://tracing show. (core)
//!
//! The format is Chrome's trace events in JSON: a thread for each lane, slices for bands, counters for
//! levels, instants for marks and faults. Times are microseconds.

use mock_driver::stream::Stream;
use serde_json::{Value, json};

use super::model::{Band, BandKind, Lane, LaneKind, Mark, Picture};

/// The one process of the trace.
const PROCESS: u32 = 1;

/// The trace as JSON.
#[must_use]
pub fn perfetto(picture: &Picture) -> String {
    let mut events = vec![named("process_name", 0, &picture.id)];
    for fault in &picture.faults {
        events.push(instant(fault, 0, "g"));
    }
    for (number, lane) in picture.lanes.iter().enumerate() {
        add_lane(&mut events, lane, number + 1);
    }
    let whole = json!({
        "displayTimeUnit": "ms",
        "otherData": { "case": picture.id, "promise": picture.title },
        "traceEvents": events,
    });
    format!("{whole}\n")
}

/// Threads of a lane: slices of one thread must lie within each other or apart, so what may overlap
/// otherwise has a thread of its own.
const THREADS: usize = 3;
/// Behind the lane's name, for each of its threads.
const OF_THREAD: [&str; THREADS] = ["", " (stderr)", " (lost)"];

/// Which of its lane's threads a band lies on.
fn thread_of(lane: &Lane, band: &Band) -> usize {
    let is_writer = matches!(lane.kind, LaneKind::Task | LaneKind::Driver);
    if band.kind == BandKind::Lost {
        2
    } else {
        usize::from(is_writer && band.stream == Some(Stream::Stderr))
    }
}

fn add_lane(events: &mut Vec<Value>, lane: &Lane, number: usize) {
    let thread = number * THREADS;
    for (offset, behind) in OF_THREAD.iter().enumerate() {
        let mut bands = lane.bands.iter();
        if offset == 0 || bands.any(|band| thread_of(lane, band) == offset) {
            let own = thread + offset;
            events.push(named("thread_name", own, &format!("{}{behind}", lane.name)));
            events.push(json!({
                "ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": own,
                "args": { "sort_index": own },
            }));
        }
    }
    for band in &lane.bands {
        let name = if band.label.is_empty() {
            band.kind.as_str().to_owned()
        } else {
            format!("{} {}", band.kind.as_str(), band.label)
        };
        events.push(json!({
            "ph": "X", "cat": band.kind.as_str(), "name": name, "pid": PROCESS,
            "tid": thread + thread_of(lane, band), "ts": band.from_us, "dur": band.to_us - band.from_us,
            "args": { "what": band.detail, "stream": band.stream.map(|stream| stream.as_str()) },
        }));
    }
    for level in &lane.levels {
        events.push(json!({
            "ph": "C", "name": lane.name, "pid": PROCESS, "tid": thread, "ts": level.at_us,
            "args": { "amount": level.amount },
        }));
    }
    for mark in &lane.marks {
        events.push(instant(mark, thread, "t"));
    }
}

fn named(what: &str, thread: usize, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": PROCESS, "tid": thread, "args": { "name": name } })
}

/// `scope` is `g` for the whole trace and `t` for a lane.
fn instant(mark: &Mark, thread: usize, scope: &str) -> Value {
    json!({
        "ph": "i", "cat": mark.kind.as_str(), "name": mark.label, "pid": PROCESS, "tid": thread,
        "ts": mark.at_us, "s": scope,
    })
}
