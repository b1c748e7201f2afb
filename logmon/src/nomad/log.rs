//! Edge: diagnostics on stderr in the form that a host of plugins reads, a JSON object of hclog a line.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use plugin::hclog::{Level, Record};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What hosts know this part of a plugin by.
const MODULE: &str = "logmon";

/// The form of hclog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hclog;

impl<S, N> FormatEvent<S, N> for Hclog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros());
        let record = Record::new(level_of(*event.metadata().level()), "");
        let mut fields = Fields(record.at(i64::try_from(micros).unwrap_or_default()));
        fields.0.module = Some(MODULE.to_owned());
        event.record(&mut fields);
        writer.write_str(&fields.0.format())
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// Collects the fields of an event.
struct Fields(Record);

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.0.message = text,
            (name, value) => {
                self.0.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Durations in milliseconds fit for longer than anything runs.
        self.add(field, u64::try_from(value).unwrap_or(u64::MAX).into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use plugin::hclog::Reader;
    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_that_a_host_reads() {
        let lines = Lines::default();
        let into = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Hclog)
            .with_writer(move || into.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(stream = %"web\nstdout", bytes = 7, lasted_ms = 3_u128, is_last = true, "odd");
        });
        let text = lines.0.lock().unwrap().clone();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let record = Reader::default().read(&text);
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.message, "odd");
        assert_eq!(record.module.as_deref(), Some("logmon"));
        assert!(record.timestamp.is_some());
        let expected =
            json!({"stream": "web\nstdout", "bytes": 7, "lasted_ms": 3, "is_last": true});
        assert_eq!(Value::Object(record.fields), expected);
    }
}
