//! The answers of a driver, one JSON object a line (core).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::kept::Ended;
use crate::stats::{CpuSource, Sample};
use crate::status::{End, ExitStatus};

/// What this driver can do as whatever user it runs as.
const CAPABILITIES: [&str; 7] = [
    "signals",
    "multi-writer",
    "no-log-collection",
    "recover",
    "checks-paths",
    "payload.exec",
    "contains",
];

/// The number of SIGKILL.
const KILL: i32 = 9;

/// What only root can do.
const OF_ROOT: &str = "user-change";

/// The fields of an answer.
pub(crate) type Answer = Result<Value, String>;

/// Gives the line: the fields, or the reason why there are none.
pub(crate) fn line(seq: u64, answer: Answer) -> String {
    let mut fields = answer.unwrap_or_else(|why| json!({ "error": why }));
    fields["seq"] = seq.into();
    format!("{fields}\n")
}

/// What the driver is, and can do.
pub(crate) fn greeting(is_root: bool) -> Value {
    let own = CAPABILITIES.into_iter();
    let all: Vec<&str> = own.chain(is_root.then_some(OF_ROOT)).collect();
    json!({
        "driver": "executor",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": all,
    })
}

/// Nothing more than that it was done.
pub(crate) fn done() -> Value {
    json!({})
}

/// What an operation is answered that this driver does not know.
pub(crate) fn unsupported() -> Value {
    json!({ "unsupported": true })
}

/// What a task uses. What was not measured is left out, and is never 0.
pub(crate) fn measured(sample: &Sample) -> Value {
    let mut fields = Map::new();
    let pids: Vec<u32> = sample.processes.keys().copied().collect();
    fields.insert("pids".into(), json!(pids));
    let source = match sample.cpu_source {
        CpuSource::Group => "cgroup",
        CpuSource::Processes => "processes",
    };
    fields.insert("cpu_source".into(), json!(source));
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let total = &sample.total;
    let cpu_time = total.cpu_time.map(|used| {
        json!({
            "user": micros(used.user), "system": micros(used.system), "total": micros(used.total),
        })
    });
    let percent = total
        .cpu_percent
        .map(|used| json!({"user": used.user, "system": used.system, "total": used.total}));
    let throttled = sample
        .throttling
        .map(|held| json!({"periods": held.periods, "time_us": micros(held.time)}));
    let known = [
        ("span_us", sample.span.map(|span| json!(micros(span)))),
        ("rss_bytes", total.rss_bytes.map(|bytes| json!(bytes))),
        ("swap_bytes", total.swap_bytes.map(|bytes| json!(bytes))),
        ("cpu_time_us", cpu_time),
        ("cpu_percent", percent),
        ("throttled", throttled),
    ];
    let known = known.into_iter();
    fields.extend(known.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(fields)
}

/// How a task ended.
pub(crate) fn ended(ended: &Ended) -> Answer {
    match ended {
        Ended::Known(ExitStatus {
            end: End::Code(code),
            ..
        }) => Ok(json!({ "exit": code, "signal": null })),
        Ended::Known(ExitStatus {
            end: End::Signal(number),
            ..
        }) => Ok(json!({ "exit": null, "signal": number })),
        Ended::Killed => Ok(json!({ "exit": null, "signal": KILL })),
        Ended::Lost(why) => Err(format!("how the task ended is lost: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::stats::{CpuPercent, CpuTime, Moment, Throttling, Usage};

    #[test]
    fn an_answer_repeats_the_number_and_tells_an_error_alone() {
        assert_eq!(line(7, Ok(done())), "{\"seq\":7}\n");
        assert_eq!(
            line(8, Err("why".into())),
            "{\"error\":\"why\",\"seq\":8}\n"
        );
    }

    #[test]
    fn an_end_is_a_code_or_a_signal_or_an_error() {
        let known = |end| {
            Ended::Known(ExitStatus {
                end,
                oom_killed: None,
                seen_at: std::time::UNIX_EPOCH,
            })
        };
        let code = ended(&known(End::Code(42))).unwrap();
        assert_eq!(code, json!({"exit": 42, "signal": null}));
        let signal = ended(&known(End::Signal(9))).unwrap();
        assert_eq!(signal, json!({"exit": null, "signal": 9}));
        assert_eq!(ended(&Ended::Killed).unwrap(), signal);
        let lost = ended(&Ended::Lost("it was killed".into())).unwrap_err();
        assert_eq!(lost, "how the task ended is lost: it was killed");
    }

    #[test]
    fn what_was_measured_is_told_and_the_rest_is_left_out() {
        let mut sample = Sample {
            taken: Moment {
                monotonic: Duration::ZERO,
                wall: std::time::UNIX_EPOCH,
            },
            span: None,
            total: Usage {
                rss_bytes: None,
                swap_bytes: None,
                cpu_time: None,
                cpu_percent: None,
            },
            cpu_source: CpuSource::Processes,
            throttling: None,
            processes: BTreeMap::new(),
        };
        let nothing = json!({"pids": [], "cpu_source": "processes"});
        assert_eq!(measured(&sample), nothing);
        sample.processes = [(9, sample.total), (7, sample.total)].into();
        sample.cpu_source = CpuSource::Group;
        sample.span = Some(Duration::from_millis(2));
        sample.throttling = Some(Throttling {
            periods: 4,
            time: Duration::from_micros(5),
        });
        let [user, system, total] = [1, 2, 3].map(Duration::from_micros);
        sample.total = Usage {
            rss_bytes: Some(4096),
            swap_bytes: Some(0),
            cpu_time: Some(CpuTime {
                user,
                system,
                total,
            }),
            cpu_percent: Some(CpuPercent {
                user: 1.5,
                system: 0.0,
                total: 1.5,
            }),
        };
        let all = json!({
            "pids": [7, 9], "cpu_source": "cgroup", "span_us": 2000, "rss_bytes": 4096, "swap_bytes": 0,
            "cpu_time_us": {"user": 1, "system": 2, "total": 3},
            "cpu_percent": {"user": 1.5, "system": 0.0, "total": 1.5},
            "throttled": {"periods": 4, "time_us": 5},
        });
        assert_eq!(measured(&sample), all);
    }

    #[test]
    fn only_root_can_change_the_user() {
        let declares = |is_root| {
            let all = greeting(is_root)["capabilities"].clone();
            all.as_array().unwrap().contains(&"user-change".into())
        };
        assert!(declares(true) && !declares(false));
    }
}
