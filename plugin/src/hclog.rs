//! Log lines of plugins, as hclog writes them (core).
//!
//! A plugin's lines are one JSON object each: `@level`, `@message`, `@module`, `@timestamp`, and any
//! other keys. A host reads whatever a plugin says: such a line, a line with a level in brackets, or
//! anything else, which is debug output. From the first words of a crash on everything is an error.

use chrono::DateTime;
use serde_json::{Map, Value};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each step.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// Starts, ends and the like.
    Info,
    /// Odd, and nothing is lost.
    Warn,
    /// Something is lost, or a person is needed.
    Error,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];

    /// Gives its name in small letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Gives the level of this name, in letters of any case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// How bad it is.
    pub level: Level,
    /// What happened, without a newline.
    pub message: String,
    /// Which part of the plugin says so.
    pub module: Option<String>,
    /// When, as the plugin wrote it.
    pub timestamp: Option<String>,
    /// All other keys.
    pub fields: Map<String, Value>,
}

impl Record {
    /// Gives a record with nothing but level and message.
    #[must_use]
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            module: None,
            timestamp: None,
            fields: Map::new(),
        }
    }

    /// Sets the time, in microseconds since 1970 in UTC. A year that four digits cannot hold is left out.
    #[must_use]
    pub fn at(mut self, unix_micros: i64) -> Self {
        self.timestamp = DateTime::from_timestamp_micros(unix_micros)
            .map(|time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
            .filter(|text| text.len() == "2026-01-01T00:00:00.000000Z".len());
        self
    }

    /// Gives the line with its newline. Fields whose names begin with `@` are left out: they are hclog's.
    #[must_use]
    pub fn format(&self) -> String {
        let mut keys = Map::new();
        keys.insert("@level".to_owned(), self.level.name().into());
        keys.insert("@message".to_owned(), self.message.as_str().into());
        for (name, value) in [("@module", &self.module), ("@timestamp", &self.timestamp)] {
            if let Some(value) = value {
                keys.insert(name.to_owned(), value.as_str().into());
            }
        }
        for (name, value) in self
            .fields
            .iter()
            .filter(|(name, _)| !name.starts_with('@'))
        {
            keys.insert(name.clone(), value.clone());
        }
        format!("{}\n", Value::Object(keys))
    }
}

impl Record {
    /// Gives the line with its newline, no longer than this many bytes. If it would be longer, the longest texts
    /// in it are shortened to one length and end in `…`; if that is not enough, only level and message are left.
    /// So it is still JSON, which a line that is cut off is not. Below 512 bytes it may be longer all the same.
    #[must_use]
    pub fn format_within(&self, max_bytes: usize) -> String {
        let line = self.format();
        if line.len() <= max_bytes {
            return line;
        }
        let bare = Self {
            fields: Map::new(),
            ..self.clone()
        };
        [self, &bare]
            .into_iter()
            .find_map(|record| record.shortened_into(max_bytes))
            .unwrap_or_else(|| bare.shortened(SHORTEST_CUT).format())
    }

    /// The line with the longest texts that fit, if any do.
    fn shortened_into(&self, max_bytes: usize) -> Option<String> {
        let line = |most| self.shortened(most).format();
        let fits = |most| line(most).len() <= max_bytes;
        // The longer the texts may be, the longer is the line.
        let (mut fitting, mut too_long) = (SHORTEST_CUT, max_bytes.max(SHORTEST_CUT) + 1);
        if !fits(fitting) {
            return None;
        }
        while too_long - fitting > 1 {
            let middle = fitting.midpoint(too_long);
            if fits(middle) {
                fitting = middle;
            } else {
                too_long = middle;
            }
        }
        Some(line(fitting))
    }

    fn shortened(&self, most: usize) -> Self {
        let fields = self.fields.iter();
        Self {
            message: shortened(&self.message, most),
            fields: fields
                .map(|(name, value)| (name.clone(), shortened_value(value, most)))
                .collect(),
            ..self.clone()
        }
    }
}

/// Texts of up to so many bytes are never shortened.
const SHORTEST_CUT: usize = 32;

fn shortened_value(value: &Value, most: usize) -> Value {
    match value {
        Value::String(text) => shortened(text, most).into(),
        Value::Array(values) => values
            .iter()
            .map(|value| shortened_value(value, most))
            .collect(),
        Value::Object(keys) => keys
            .iter()
            .map(|(name, value)| (name.clone(), shortened_value(value, most)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Gives the text with no more than this many bytes.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub("…".len()));
    format!("{}…", &text[..end])
}

/// Reads the lines of one plugin; remembers whether it is crashing.
#[derive(Debug, Default)]
pub struct Reader {
    crashed: bool,
}

/// How a Go program begins its last words.
const CRASHES: [&str; 2] = ["panic: ", "fatal error: "];

impl Reader {
    /// Reads one line, with or without its newline. No line is refused.
    pub fn read(&mut self, line: &[u8]) -> Record {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let record = from_json(text).unwrap_or_else(|| from_prefix(text));
        self.crashed |= CRASHES.iter().any(|start| text.starts_with(start));
        Record {
            level: if self.crashed {
                Level::Error
            } else {
                record.level
            },
            ..record
        }
    }
}

fn from_json(text: &str) -> Option<Record> {
    if !text.starts_with('{') {
        return None;
    }
    let Value::Object(mut keys) = serde_json::from_str(text).ok()? else {
        return None;
    };
    let mut take = |name: &str| match keys.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let level = take("@level")?;
    let message = take("@message")?;
    let module = take("@module");
    let timestamp = take("@timestamp");
    Some(Record {
        level: Level::of_name(&level).unwrap_or(Level::Debug),
        message,
        module,
        timestamp,
        fields: keys,
    })
}

fn from_prefix(text: &str) -> Record {
    let found = text.strip_prefix('[').and_then(|rest| {
        let (name, message) = rest.split_once(']')?;
        // hclog pads short names, as in `[INFO ]`.
        Some((Level::of_name(name.trim_end())?, message.trim_start()))
    });
    match found {
        Some((level, message)) => Record::new(level, message),
        None => Record::new(Level::Debug, text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(line: &str) -> Record {
        Reader::default().read(line.as_bytes())
    }

    #[test]
    fn a_line_has_the_names_of_hclog() {
        let mut record = Record::new(Level::Info, "task started").at(1_785_500_000_123_456);
        record.module = Some("logmon".to_owned());
        record.fields.insert("task".to_owned(), json!("web"));
        record.fields.insert("@level".to_owned(), json!("trace"));
        assert_eq!(
            record.format(),
            "{\"@level\":\"info\",\"@message\":\"task started\",\"@module\":\"logmon\",\
             \"@timestamp\":\"2026-07-31T12:13:20.123456Z\",\"task\":\"web\"}\n"
        );
    }

    #[test]
    fn a_json_line_keeps_its_level_and_its_other_keys() {
        let line = r#"{"@level":"warn","@message":"slow","@module":"m","@timestamp":"t","n":3}"#;
        let record = read(line);
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.message, "slow");
        assert_eq!(record.module.as_deref(), Some("m"));
        assert_eq!(record.timestamp.as_deref(), Some("t"));
        assert_eq!(Value::Object(record.fields), json!({"n": 3}));
    }

    #[test]
    fn other_lines_have_the_level_in_brackets_or_are_debug() {
        let cases = [
            ("[TRACE] a", Level::Trace, "a"),
            ("[DEBUG] a", Level::Debug, "a"),
            ("[INFO ] a b", Level::Info, "a b"),
            ("[WARN]  a", Level::Warn, "a"),
            ("[ERROR] a\r\n", Level::Error, "a"),
            ("[LOUD] a", Level::Debug, "[LOUD] a"),
            ("[", Level::Debug, "["),
            ("{\"a\":1}", Level::Debug, "{\"a\":1}"),
            ("{broken", Level::Debug, "{broken"),
            ("", Level::Debug, ""),
        ];
        for (line, level, message) in cases {
            assert_eq!(read(line), Record::new(level, message), "{line}");
        }
        let strange = read(r#"{"@level":"loud","@message":"m"}"#);
        assert_eq!(strange.level, Level::Debug);
    }

    #[test]
    fn a_line_that_is_too_long_loses_no_more_than_it_must() {
        let mut record = Record::new(Level::Info, "m".repeat(100));
        record
            .fields
            .insert("text".to_owned(), "t".repeat(1000).into());
        let line = record.format_within(600);
        assert_eq!(line.len(), 600);
        let told = read(&line);
        assert_eq!(told.message, record.message);
        let text = told.fields["text"].as_str().unwrap();
        assert_eq!(text, format!("{}…", "t".repeat(text.len() - 3)));
        let many = (0..100).map(|number| (number.to_string(), json!(0)));
        record.fields.extend(many);
        assert_eq!(read(&record.format_within(512)).fields, Map::new());
    }

    #[test]
    fn from_a_crash_on_everything_is_an_error() {
        for start in ["panic: ", "fatal error: "] {
            let mut reader = Reader::default();
            let mut level = |line: &str| reader.read(line.as_bytes()).level;
            assert_eq!(level("[INFO] well"), Level::Info);
            assert_eq!(level(&format!("{start}nil map")), Level::Error);
            assert_eq!(level("goroutine 1 [running]:"), Level::Error);
            assert_eq!(level("[INFO] well"), Level::Error);
        }
    }

    #[test]
    fn a_time_that_four_digits_cannot_hold_is_left_out() {
        assert_eq!(Record::new(Level::Info, "m").at(i64::MAX).timestamp, None);
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(message in ".*", level in 0..5_usize, value in ".*") {
            let mut record = Record::new(Level::ALL[level], message.clone());
            record.fields.insert("key".to_owned(), value.into());
            let line = record.format();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read(&line), record);
        }

        #[test]
        fn a_line_that_is_too_long_is_shortened_and_stays_a_line(
            texts in proptest::collection::vec("(a|\n|\u{1}|ü|\u{10348}){0,2000}", 1..4),
            most in 512..4096_usize,
        ) {
            let mut record = Record::new(Level::Warn, texts[0].clone()).at(1_785_500_000_123_456);
            record.module = Some("logmon".to_owned());
            record.fields.insert("bytes".to_owned(), 7.into());
            record.fields.insert("short".to_owned(), "web.stdout".into());
            for (number, text) in texts.iter().enumerate() {
                record.fields.insert(format!("text{number}"), json!([{"in": text}]));
            }
            let line = record.format_within(most);
            prop_assert!(line.len() <= most, "{} bytes", line.len());
            let is_line = line.ends_with("}\n") && line.matches('\n').count() == 1;
            prop_assert!(is_line, "{}", line);
            let told = read(&line);
            prop_assert_eq!(told.level, Level::Warn);
            prop_assert_eq!(&told.timestamp, &record.timestamp);
            if record.format().len() <= most {
                prop_assert_eq!(told, record);
            } else if told.fields.is_empty() {
                prop_assert!(most < 1200, "its fields are missing");
            } else {
                prop_assert_eq!(&told.fields["bytes"], &json!(7));
                prop_assert_eq!(&told.fields["short"], &json!("web.stdout"));
                prop_assert!(line.contains('…'), "{}", line);
            }
        }

        #[test]
        fn no_line_is_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            Reader::default().read(&line);
        }
    }
}
