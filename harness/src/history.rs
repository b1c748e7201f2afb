//! The history of a played case: all that the judge and the reports see. (core)

use std::collections::BTreeMap;

use mock_driver::journal;
use mock_driver::stream::Stream;

use crate::case::Case;
use crate::trace::{Entry, Event};

/// A case, its trace, its journals and its files.
#[derive(Clone, Debug)]
pub struct History {
    /// What was to be played.
    pub case: Case,
    /// What happened, in order of time.
    pub entries: Vec<Entry>,
    /// The payload's journal per generation.
    pub task: BTreeMap<u32, Vec<journal::Line>>,
    /// The driver's own journal per generation, where it wrote one.
    pub driver: BTreeMap<u32, Vec<journal::Line>>,
    /// The retained files of stdout and stderr.
    pub files: BTreeMap<Stream, Vec<LogFile>>,
    /// The retained files of many tasks, by the task's number.
    pub many: BTreeMap<u32, BTreeMap<Stream, Vec<LogFile>>>,
    /// What logmon printed, and what it left beside the streams' files, where the case lets it drop
    /// output; else nothing.
    pub said: Vec<Said>,
}

/// A text of logmon's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The name of its file.
    pub place: String,
    /// The text.
    pub text: String,
}

/// One retained file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its index; files stand in the order of their indices.
    pub index: u64,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl History {
    /// Seconds from the first event to the last.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    pub fn seconds(&self) -> f64 {
        let first = self.entries.first().map_or(0, |entry| entry.at_us);
        let last = self.entries.last().map_or(0, |entry| entry.at_us);
        last.saturating_sub(first) as f64 / 1e6
    }

    /// Where the plan was stopped on purpose; none if it was played to its end.
    #[must_use]
    pub fn held(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| {
            if let Event::Held { at } = &entry.event {
                Some(at.as_str())
            } else {
                None
            }
        })
    }

    /// What the suite itself could not do.
    #[must_use]
    pub fn suite_errors(&self) -> Vec<String> {
        let error = |event: &Event| {
            if let Event::SuiteError { text } = event {
                Some(text.clone())
            } else {
                None
            }
        };
        let entries = self.entries.iter();
        entries.filter_map(|entry| error(&entry.event)).collect()
    }

    /// A stream's retained files, joined in the order of their indices.
    #[must_use]
    pub fn joined(&self, stream: Stream) -> Vec<u8> {
        self.files
            .get(&stream)
            .into_iter()
            .flatten()
            .flat_map(|file| file.bytes.iter().copied())
            .collect()
    }
}
