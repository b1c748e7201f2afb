//! Core: the counters as text in Prometheus' exposition format, version 0.0.4.

use super::answer::{LiveReport, StreamReport, TaskReport};

/// A number of a stream as text, if it has it.
type Number = fn(&StreamReport) -> Option<String>;

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    number: Number,
}

const METRICS: [Metric; 12] = [
    Metric {
        name: "logmon_read_bytes_total",
        kind: "counter",
        help: "Bytes read from the FIFO.",
        number: |stream| Some(live(stream)?.read_bytes.to_string()),
    },
    Metric {
        name: "logmon_written_bytes_total",
        kind: "counter",
        help: "Bytes written to log files.",
        number: |stream| Some(live(stream)?.written_bytes.to_string()),
    },
    Metric {
        name: "logmon_dropped_bytes_total",
        kind: "counter",
        help: "Bytes dropped by the policy drop.",
        number: |stream| Some(live(stream)?.dropped_bytes.to_string()),
    },
    Metric {
        name: "logmon_deleted_for_space_files_total",
        kind: "counter",
        help: "Rotated log files deleted for space by the policy drop.",
        number: |stream| Some(live(stream)?.deleted_for_space_files.to_string()),
    },
    Metric {
        name: "logmon_deleted_for_space_bytes_total",
        kind: "counter",
        help: "Bytes of the rotated log files deleted for space by the policy drop.",
        number: |stream| Some(live(stream)?.deleted_for_space_bytes.to_string()),
    },
    Metric {
        name: "logmon_rotations_total",
        kind: "counter",
        help: "Log files begun.",
        number: |stream| Some(live(stream)?.rotations.to_string()),
    },
    Metric {
        name: "logmon_failures_total",
        kind: "counter",
        help: "Steps on the log folder that failed.",
        number: |stream| Some(live(stream)?.failures.to_string()),
    },
    Metric {
        name: "logmon_lag_bytes",
        kind: "gauge",
        help: "Bytes on the way to a file at the moment of asking.",
        number: |stream| Some(live(stream)?.lag_bytes.to_string()),
    },
    Metric {
        name: "logmon_last_write_timestamp_seconds",
        kind: "gauge",
        help: "When bytes were last written to a file.",
        number: |stream| {
            let ms = live(stream)?.last_write_ms?;
            Some(format!("{}.{:03}", ms / 1000, ms % 1000))
        },
    },
    Metric {
        name: "logmon_max_files",
        kind: "gauge",
        help: "Files that the stream may have.",
        number: |stream| Some(stream.max_files.to_string()),
    },
    Metric {
        name: "logmon_max_file_bytes",
        kind: "gauge",
        help: "Bytes that a file of the stream may have.",
        number: |stream| Some(stream.max_file_bytes.to_string()),
    },
    Metric {
        name: "logmon_stream_healthy",
        kind: "gauge",
        help: "1 unless the log folder takes no bytes or does not answer, or the stream has died.",
        number: |stream| {
            let is_ill =
                ["blocked", "dropping", "stalled", "died"].contains(&stream.state.as_str());
            Some(u8::from(!is_ill).to_string())
        },
    },
];

fn live(stream: &StreamReport) -> Option<&LiveReport> {
    stream.live.as_ref()
}

/// Writes all metrics of these tasks, and how many tasks there are.
pub(crate) fn render(version: &str, tasks: &[TaskReport]) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "logmon_build_info",
        "gauge",
        "The version of logmon.",
    );
    line(&mut text, "logmon_build_info", &[("version", version)], "1");
    head(
        &mut text,
        "logmon_tasks",
        "gauge",
        "Tasks that are collected.",
    );
    line(&mut text, "logmon_tasks", &[], &tasks.len().to_string());
    for metric in &METRICS {
        head(&mut text, metric.name, metric.kind, metric.help);
        for task in tasks {
            for (kind, stream) in &task.streams {
                if let Some(number) = (metric.number)(stream) {
                    let labels = [("task", task.task.as_str()), ("stream", kind.as_str())];
                    line(&mut text, metric.name, &labels, &number);
                }
            }
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], number: &str) {
    text.push_str(name);
    for (at, (label, value)) in labels.iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value);
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text.push(' ');
    text.push_str(number);
    text.push('\n');
}

/// In a label's value a backslash, a quote and a newline are escaped, and nothing else.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn report(task: &str, live: Option<LiveReport>) -> TaskReport {
        let stream = StreamReport {
            state: if live.is_some() { "blocked" } else { "died" }.into(),
            fifo: "/run/out".into(),
            log_dir: "/logs".into(),
            name: "web.stdout".into(),
            max_files: 3,
            max_file_bytes: 4096,
            line_guard_bytes: 4096,
            on_full: "block".into(),
            live,
        };
        TaskReport {
            task: task.to_owned(),
            streams: BTreeMap::from([("stdout".to_owned(), stream)]),
        }
    }

    fn counters() -> LiveReport {
        LiveReport {
            read_bytes: u64::MAX,
            written_bytes: 2,
            dropped_bytes: 3,
            deleted_for_space_files: 7,
            deleted_for_space_bytes: 8,
            rotations: 4,
            failures: 5,
            lag_bytes: 6,
            last_write_ms: Some(1_700_000_000_042),
            pump: "read-write".into(),
            current_file: None,
        }
    }

    #[test]
    fn every_counter_has_its_line() {
        let text = render("1.2.3", &[report("web", Some(counters()))]);
        let labels = r#"{task="web",stream="stdout"}"#;
        for expected in [
            r#"logmon_build_info{version="1.2.3"} 1"#.to_owned(),
            "logmon_tasks 1".to_owned(),
            "# TYPE logmon_read_bytes_total counter".to_owned(),
            format!("logmon_read_bytes_total{labels} 18446744073709551615"),
            format!("logmon_written_bytes_total{labels} 2"),
            format!("logmon_dropped_bytes_total{labels} 3"),
            format!("logmon_deleted_for_space_files_total{labels} 7"),
            format!("logmon_deleted_for_space_bytes_total{labels} 8"),
            format!("logmon_rotations_total{labels} 4"),
            format!("logmon_failures_total{labels} 5"),
            format!("logmon_lag_bytes{labels} 6"),
            format!("logmon_last_write_timestamp_seconds{labels} 1700000000.042"),
            format!("logmon_max_files{labels} 3"),
            format!("logmon_max_file_bytes{labels} 4096"),
            format!("logmon_stream_healthy{labels} 0"),
        ] {
            assert!(
                text.lines().any(|line| line == expected),
                "{expected}\n{text}"
            );
        }
    }

    #[test]
    fn a_stream_that_died_is_told_and_has_no_counters() {
        let text = render("1", &[report("web", None)]);
        assert!(text.contains(r#"logmon_stream_healthy{task="web",stream="stdout"} 0"#));
        assert!(!text.contains("logmon_read_bytes_total{"));
    }

    #[test]
    fn a_label_is_escaped() {
        let text = render("1", &[report("a\\b\"c\nd", None)]);
        assert!(
            text.contains(r#"{task="a\\b\"c\nd",stream="stdout"}"#),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_task_id_stays_on_its_line_and_comes_back(task in "\\PC{0,20}[\\\\\"\n]{0,4}\\PC{0,5}") {
            let text = render("1", &[report(&task, None)]);
            let line = text.lines().find(|line| line.starts_with("logmon_max_files{")).unwrap();
            let value = line.strip_prefix("logmon_max_files{task=\"").unwrap();
            let value = value.strip_suffix("\",stream=\"stdout\"} 3").unwrap();
            let mut read = String::new();
            let mut chars = value.chars();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"', "a quote that is not escaped");
                read.push(match c {
                    '\\' => match chars.next() {
                        Some('n') => '\n',
                        Some(escaped @ ('\\' | '"')) => escaped,
                        other => panic!("unknown escape {other:?}"),
                    },
                    other => other,
                });
            }
            prop_assert_eq!(read, task);
        }
    }
}
