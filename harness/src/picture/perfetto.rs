//! A picture as trace events, which ui.perfetto.dev and chrome://tracing show. (core)
//!
//! The format is Chrome's trace events in JSON: a thread for each lane, slices for bands, counters for
//! levels, instants for marks and faults. Times are microseconds.

use serde_json::{Value, json};

use super::model::{Lane, Mark, Picture};

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

fn add_lane(events: &mut Vec<Value>, lane: &Lane, thread: usize) {
    events.push(named("thread_name", thread, &lane.name));
    events.push(json!({
        "ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": thread,
        "args": { "sort_index": thread },
    }));
    for band in &lane.bands {
        let name = if band.label.is_empty() {
            band.kind.as_str().to_owned()
        } else {
            format!("{} {}", band.kind.as_str(), band.label)
        };
        events.push(json!({
            "ph": "X", "cat": band.kind.as_str(), "name": name, "pid": PROCESS, "tid": thread,
            "ts": band.from_us, "dur": band.to_us - band.from_us,
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
