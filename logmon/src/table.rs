//! Core: what `logmon ctl` and `logmon status` show to a person, in 80 columns.

use std::time::{Duration, SystemTime};

use crate::serve::{Answer, LiveReport, StoppedReport, StreamReport, TaskReport};

/// Columns of a task's id in the table; what is longer ends in an ellipsis.
const TASK_COLUMNS: usize = 19;

/// Shows what came of an order.
pub(crate) fn of_answer(answer: &Answer) -> String {
    let mut text = String::new();
    let body = &answer.body;
    if let (Some(version), Some(pid), Some(count)) = (&body.version, body.pid, body.task_count) {
        line(
            &mut text,
            format!("logmon {version}, process {pid}, {count} tasks"),
        );
    }
    for (stream, started) in body.started.iter().flatten().rev() {
        line(&mut text, format!("{stream}: {}", started.word()));
    }
    for (stream, stopped) in body.stopped.iter().flatten().rev() {
        let StoppedReport {
            read_bytes,
            written_bytes,
            dropped_bytes,
            deleted_for_space_files,
            deleted_for_space_bytes,
            lost_bytes,
            rotations,
            failures,
        } = stopped;
        line(
            &mut text,
            format!(
                "{stream}: stopped; {read_bytes} bytes read, {written_bytes} written, \
                 {dropped_bytes} dropped, {lost_bytes} lost,\n  {rotations} files begun, \
                 {deleted_for_space_files} of {deleted_for_space_bytes} bytes deleted for space, \
                 {failures} failures"
            ),
        );
    }
    text
}

/// Shows all tasks, a line for each stream.
pub(crate) fn of_tasks(tasks: &[TaskReport], now: SystemTime) -> String {
    let mut text = String::new();
    row(
        &mut text,
        [
            "TASK", "STREAM", "STATE", "READ", "WRITTEN", "LAG", "DROPPED", "ROT", "ERR", "LAST",
        ],
    );
    for task in tasks {
        if task.streams.is_empty() {
            let id = shortened(&task.task);
            row(&mut text, [&id, "", "stopping", "", "", "", "", "", "", ""]);
        }
        // Stdout is the stream that people look for first.
        for (kind, stream) in task.streams.iter().rev() {
            let id = shortened(&task.task);
            let number = |get: fn(&LiveReport) -> u64| {
                stream
                    .live
                    .as_ref()
                    .map_or_else(String::new, |live| short(get(live)))
            };
            row(
                &mut text,
                [
                    &id,
                    kind,
                    &stream.state,
                    &number(|live| live.read_bytes),
                    &number(|live| live.written_bytes),
                    &number(|live| live.lag_bytes),
                    &number(|live| live.dropped_bytes),
                    &number(|live| live.rotations),
                    &number(|live| live.failures),
                    &last_write(stream, now),
                ],
            );
        }
    }
    text
}

/// Shows all that is known of one task.
pub(crate) fn of_task(task: &TaskReport, now: SystemTime) -> String {
    let mut text = format!("task {}\n", task.task);
    if task.streams.is_empty() {
        line(&mut text, "  stopping".into());
    }
    for (kind, stream) in task.streams.iter().rev() {
        let mut field = |name: &str, value: String| line(&mut text, format!("  {name:<13}{value}"));
        field(kind, stream.state.clone());
        field("  reads", stream.fifo.display().to_string());
        match stream
            .live
            .as_ref()
            .and_then(|live| live.current_file.as_ref())
        {
            Some(file) => field("  writes", file.display().to_string()),
            None => field(
                "  writes",
                format!("{}/{}.*", stream.log_dir.display(), stream.name),
            ),
        }
        field(
            "  limits",
            format!(
                "{} files of {} bytes, lines up to {} whole, {} when full",
                stream.max_files, stream.max_file_bytes, stream.line_guard_bytes, stream.on_full
            ),
        );
        if let Some(live) = &stream.live {
            field("  read", format!("{} bytes", live.read_bytes));
            field("  written", format!("{} bytes", live.written_bytes));
            field("  dropped", format!("{} bytes", live.dropped_bytes));
            field(
                "  deleted",
                format!(
                    "{} files of {} bytes, for space",
                    live.deleted_for_space_files, live.deleted_for_space_bytes
                ),
            );
            field("  lag", format!("{} bytes", live.lag_bytes));
            field("  rotations", live.rotations.to_string());
            field("  failures", live.failures.to_string());
            field("  pump", live.pump.clone());
        }
        field("  last write", last_write(stream, now));
    }
    text
}

fn line(text: &mut String, line: String) {
    text.push_str(&line);
    text.push('\n');
}

fn row(text: &mut String, cells: [&str; 10]) {
    let [
        task,
        stream,
        state,
        read,
        written,
        lag,
        dropped,
        rotations,
        failures,
        last,
    ] = cells;
    let pad = TASK_COLUMNS.saturating_sub(task.chars().count());
    let line = format!(
        "{task}{:pad$} {stream:<6} {state:<10} {read:>5} {written:>7} {lag:>5} {dropped:>7} \
         {rotations:>4} {failures:>4} {last:>4}",
        ""
    );
    text.push_str(line.trim_end());
    text.push('\n');
}

fn shortened(id: &str) -> String {
    if id.chars().count() <= TASK_COLUMNS {
        return id.to_owned();
    }
    id.chars().take(TASK_COLUMNS - 1).chain(['…']).collect()
}

fn last_write(stream: &StreamReport, now: SystemTime) -> String {
    let Some(ms) = stream.live.as_ref().and_then(|live| live.last_write_ms) else {
        return "-".into();
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let seconds = now.duration_since(at).unwrap_or_default().as_secs();
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..360_000 => format!("{}h", seconds / 3600),
        _ => format!("{}d", (seconds / 86_400).min(999)),
    }
}

/// A number in at most five columns: 9999, 12.3k, 456M.
fn short(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let (mut whole, mut rest, mut unit) = (number, 0, 0);
    while whole >= 1000 {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    let unit = ["", "k", "M", "G", "T", "P", "E"][unit];
    if whole < 100 {
        format!("{whole}.{}{unit}", rest / 100)
    } else {
        format!("{whole}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn task(id: &str, number: u64) -> TaskReport {
        let stream = StreamReport {
            state: "collecting".into(),
            fifo: "/run/web/out".into(),
            log_dir: "/logs".into(),
            name: "web.stdout".into(),
            max_files: 10,
            max_file_bytes: 10 << 20,
            line_guard_bytes: 32 << 10,
            on_full: "block".into(),
            live: Some(LiveReport {
                read_bytes: number,
                written_bytes: number,
                dropped_bytes: number,
                deleted_for_space_files: number.min(9999),
                deleted_for_space_bytes: number,
                rotations: number.min(9999),
                failures: number.min(9999),
                lag_bytes: number,
                last_write_ms: Some(0),
                pump: "read-write".into(),
                current_file: Some("/logs/web.stdout.3".into()),
            }),
        };
        TaskReport {
            task: id.to_owned(),
            streams: BTreeMap::from([("stdout".to_owned(), stream)]),
        }
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0, "0"),
            (9999, "9999"),
            (10_000, "10.0k"),
            (99_999, "99.9k"),
            (123_456, "123k"),
            (1_234_567, "1.2M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn a_table_reads_from_left_to_right() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3);
        let text = of_tasks(&[task("web", 1_234_567)], now);
        let expected = "\
TASK                STREAM STATE       READ WRITTEN   LAG DROPPED  ROT  ERR LAST
web                 stdout collecting  1.2M    1.2M  1.2M    1.2M 9999 9999   3s
";
        assert_eq!(text, expected);
        let stopping = TaskReport {
            task: "a".into(),
            streams: BTreeMap::new(),
        };
        assert!(of_tasks(&[stopping], now).ends_with("a                          stopping\n"));
    }

    #[test]
    fn one_task_is_told_in_full() {
        let text = of_task(&task("web", 7), SystemTime::UNIX_EPOCH);
        for part in [
            "/run/web/out",
            "/logs/web.stdout.3",
            "10 files of 10485760",
            "read-write",
            "deleted    7 files of 7 bytes",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    proptest! {
        #[test]
        fn no_line_of_the_table_has_more_than_80_columns(id in "[a-z/é…]{1,60}", number in any::<u64>(), now in 0u64..1 << 40) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            for line in of_tasks(&[task(&id, number)], now).lines() {
                prop_assert!(line.chars().count() <= 80, "{line:?}");
            }
        }
    }
}
