//! Core: the names of log files, `NAME.INDEX`, and which names in a folder are ours.
//!
//! A stream's name is the part in front of the last dot, such as `web.stdout`. The index is a decimal
//! number in its only canonical form: digits, no sign, no leading zero, at most [`MAX_INDEX`].
//! Everything else that begins with the name belongs to somebody else: `web.stdout.007`,
//! `web.stdout.+1`, `web.stdout.1.stdout`, `web.stdout.9223372036854775807` (contract ROT-5).

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// The highest index of a log file: the largest number of nine digits.
///
/// At a million files a day it lasts for 2,700 years. A larger number in a folder was not written by
/// logmon, so it is foreign, and an index of ours plus one never overflows.
pub const MAX_INDEX: u32 = 999_999_999;

/// Bytes that a stream's name may have, so that it fits into a file name of 255 bytes with whatever is
/// put behind it.
pub const MAX_NAME_BYTES: usize = 200;

/// Bytes that a stream's name may have if a host of plugins gives it: a file name has at most 255 (NAME_MAX of
/// Linux, in `limits.h`), and a dot and the nine digits of [`MAX_INDEX`] are put behind it.
pub const MAX_HOST_NAME_BYTES: usize = 255 - 10;

/// Which of a task's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// The task's descriptor 1.
    Stdout,
    /// The task's descriptor 2.
    Stderr,
}

impl StreamKind {
    /// Gives the word for it, which is also the name of its option: `stdout` or `stderr`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            StreamKind::Stdout => "stdout",
            StreamKind::Stderr => "stderr",
        }
    }
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Bytes that a task's id may have.
pub const MAX_TASK_ID_BYTES: usize = 200;

/// What a task is called at the control socket, such as `web` or `0d5c/web`: not empty, no control
/// character, at most [`MAX_TASK_ID_BYTES`] bytes. It stands in no path. A task that a host of plugins has
/// started is called after its FIFOs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Box<str>);

impl TaskId {
    /// Accepts a text as a task's id.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<TaskId, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_TASK_ID_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        if text.contains(char::is_control) {
            return Err(NameError::ControlCharacter(text.to_owned()));
        }
        Ok(TaskId(text.into()))
    }

    /// Gives the id of a task that has no other name than the paths of its two FIFOs. Other paths give
    /// another id; it may be longer than [`MAX_TASK_ID_BYTES`].
    pub(crate) fn of_fifos(stdout: &Path, stderr: &Path) -> TaskId {
        // Quoted and escaped, so that it can be read back, and without `//` and `/./`.
        let [stdout, stderr] = [stdout, stderr].map(|fifo| fifo.components().collect::<PathBuf>());
        TaskId(format!("{stdout:?} and {stderr:?}").into())
    }

    /// Gives the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says why a text cannot be a stream's name or a task's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name is not UTF-8.
    #[error("the name {0:?} is not UTF-8")]
    NotUtf8(String),
    /// The name has a slash or a control character.
    #[error("the name {0:?} has a slash or a control character")]
    ForbiddenCharacter(String),
    /// The name has a control character.
    #[error("the name {0:?} has a control character")]
    ControlCharacter(String),
    /// The name begins with a dot.
    #[error("the name {0:?} begins with a dot")]
    LeadingDot(String),
    /// The name has a slash or a zero byte, which no file name can have.
    #[error("the name {0:?} has a slash or a zero byte, so no file can have it")]
    NoFileName(String),
    /// The name is longer than [`MAX_HOST_NAME_BYTES`].
    #[error(
        "the name has {0} bytes, the most is {MAX_HOST_NAME_BYTES}: an index of 10 is put behind it, and a file \
         name has at most 255"
    )]
    NoRoomForIndex(usize),
    /// The name is longer than [`MAX_NAME_BYTES`] or [`MAX_TASK_ID_BYTES`], which are the same.
    #[error("the name has {0} bytes, the most is {MAX_NAME_BYTES}")]
    TooLong(usize),
}

/// A stream's name, such as `web.stdout`: not empty, no slash, no zero byte, at most [`MAX_HOST_NAME_BYTES`] bytes.
/// One that is chosen for logmon has no control character and no leading dot either, and at most
/// [`MAX_NAME_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Box<str>);

impl StreamName {
    /// Accepts a text as a stream's name.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn parse(text: &OsStr) -> Result<StreamName, NameError> {
        let Some(text) = text.to_str() else {
            return Err(NameError::NotUtf8(text.to_string_lossy().into_owned()));
        };
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        if text.contains(|c: char| c == '/' || c.is_control()) {
            return Err(NameError::ForbiddenCharacter(text.to_owned()));
        }
        if text.starts_with('.') {
            return Err(NameError::LeadingDot(text.to_owned()));
        }
        Ok(StreamName(text.into()))
    }

    /// Accepts a text as a stream's name that a host of plugins gives. It is made from the name of a task, and
    /// for that Nomad forbids the slashes alone. So all is taken that a file can be called; no name of a file is
    /// `.` or `..`, as an index is put behind it.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::NoFileName`], [`NameError::NoRoomForIndex`].
    pub fn of_host(text: &str) -> Result<StreamName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.contains(['/', '\0']) {
            return Err(NameError::NoFileName(text.to_owned()));
        }
        if text.len() > MAX_HOST_NAME_BYTES {
            return Err(NameError::NoRoomForIndex(text.len()));
        }
        Ok(StreamName(text.into()))
    }

    /// Gives the name of the file with this index.
    #[must_use]
    pub fn file_name(&self, index: u32) -> String {
        format!("{}.{index}", self.0)
    }

    /// Gives the index of a file of this stream, or none when the name is not canonical or not of this
    /// stream.
    #[must_use]
    pub fn index_of(&self, file_name: &[u8]) -> Option<u32> {
        let digits = self.suffix_of(file_name)?;
        let canonical = match digits {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.len() < 9 && rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !canonical {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Gives the name of the file beside the log files that says what is missing in them, such as
    /// `web.stdout.gaps`. It ends in no digit, so it is no log file of any stream.
    #[must_use]
    pub fn gap_file_name(&self) -> String {
        format!("{}.gaps", self.0)
    }

    /// Gives the name that such a file has when the next one is begun, such as `web.stdout.gaps.old`.
    #[must_use]
    pub fn old_gap_file_name(&self) -> String {
        format!("{}.gaps.old", self.0)
    }

    /// True for the two names of the files that say what is missing in this stream's log.
    #[must_use]
    pub fn is_gap_file(&self, file_name: &[u8]) -> bool {
        self.suffix_of(file_name)
            .is_some_and(|suffix| [&b"gaps"[..], b"gaps.old"].contains(&suffix))
    }

    /// True when the name begins with this stream's name and a dot, whatever follows.
    #[must_use]
    pub fn is_prefix_of(&self, file_name: &[u8]) -> bool {
        self.suffix_of(file_name).is_some()
    }

    /// Gives the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn suffix_of<'a>(&self, file_name: &'a [u8]) -> Option<&'a [u8]> {
        file_name
            .strip_prefix(self.0.as_bytes())?
            .strip_prefix(b".")
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> StreamName {
        StreamName::parse(OsStr::new(text)).unwrap()
    }

    #[test]
    fn only_the_canonical_decimal_form_is_an_index() {
        let stream = name("web.stdout");
        assert_eq!(stream.index_of(b"web.stdout.0"), Some(0));
        assert_eq!(stream.index_of(b"web.stdout.10"), Some(10));
        assert_eq!(stream.index_of(b"web.stdout.999999999"), Some(MAX_INDEX));
        for foreign in [
            "web.stdout",
            "web.stdout.",
            "web.stdout.00",
            "web.stdout.007",
            "web.stdout.+1",
            "web.stdout.-1",
            "web.stdout.1 ",
            "web.stdout. 1",
            "web.stdout.1.stdout",
            "web.stdout.1.gz",
            "web.stdout.0x1",
            "web.stdout.1000000000",
            "web.stdout.4294967296",
            "web.stdout.9223372036854775807",
            "web.stdout.18446744073709551615",
            "web.stdout.18446744073709551616",
            "web.stderr.0",
            "web.stdout.1\n",
            "web.stdout.\u{0661}",
            "WEB.stdout.1",
            "xweb.stdout.1",
            "",
        ] {
            assert_eq!(stream.index_of(foreign.as_bytes()), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_task_that_is_a_prefix_of_another_one_owns_none_of_its_files() {
        let web = name("web");
        assert_eq!(web.index_of(b"web.stdout.1.stdout"), None);
        assert_eq!(web.index_of(b"web.stdout.1"), None);
        assert_eq!(web.index_of(b"web-audit.1"), None);
        assert_eq!(name("web.1").index_of(b"web.1"), None);
        assert_eq!(web.index_of(b"web.1"), Some(1));
    }

    #[test]
    fn a_task_is_called_anything_that_can_be_printed() {
        for text in ["web", "0d5c/web", "..", "a b", "\u{fc}ber", "\"{}\\"] {
            assert_eq!(TaskId::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(TaskId::parse(""), Err(NameError::Empty));
        assert!(matches!(
            TaskId::parse("a\nb"),
            Err(NameError::ControlCharacter(_))
        ));
        assert!(matches!(
            TaskId::parse(&"a".repeat(201)),
            Err(NameError::TooLong(201))
        ));
    }

    #[test]
    fn unsafe_names_are_refused_by_their_fault() {
        assert_eq!(StreamName::parse(OsStr::new("")), Err(NameError::Empty));
        for text in ["a/b", "/", "a\nb", "a\0b"] {
            assert_eq!(
                StreamName::parse(OsStr::new(text)),
                Err(NameError::ForbiddenCharacter(text.to_owned()))
            );
        }
        assert!(matches!(
            StreamName::parse(OsStr::new("..")),
            Err(NameError::LeadingDot(_))
        ));
        assert!(matches!(
            StreamName::parse(OsStr::new(&"a".repeat(201))),
            Err(NameError::TooLong(201))
        ));
        assert!(StreamName::parse(OsStr::new(&"a".repeat(200))).is_ok());
    }

    #[test]
    fn a_host_may_give_any_name_that_a_file_can_have() {
        for text in [
            ".",
            "..",
            ".web.stdout",
            "a\nb",
            "\t",
            " ",
            &"a".repeat(245),
        ] {
            let stream = StreamName::of_host(text).unwrap();
            let file = stream.file_name(MAX_INDEX);
            assert!(file.len() <= 255 && !file.contains('/'));
            assert!(stream.old_gap_file_name().len() <= 255);
            assert_eq!(stream.index_of(file.as_bytes()), Some(MAX_INDEX));
        }
        assert_eq!(StreamName::of_host(""), Err(NameError::Empty));
        for text in ["a/b", "../x", "/", "a\0b"] {
            let refused = Err(NameError::NoFileName(text.to_owned()));
            assert_eq!(StreamName::of_host(text), refused);
        }
        let long = "a".repeat(246);
        let refused = Err(NameError::NoRoomForIndex(246));
        assert_eq!(StreamName::of_host(&long), refused);
    }

    proptest! {
        #[test]
        fn every_index_comes_back_from_its_file_name(index in 0..=MAX_INDEX, text in "[a-z][a-z.0-9-]{0,20}") {
            let stream = name(&text);
            prop_assert_eq!(stream.index_of(stream.file_name(index).as_bytes()), Some(index));
        }

        #[test]
        fn a_name_that_gives_an_index_is_the_one_that_we_would_write(file in "(web\\.|web\\.stdout\\.)?[0-9+. -]{0,12}") {
            let stream = name("web");
            if let Some(index) = stream.index_of(file.as_bytes()) {
                prop_assert_eq!(stream.file_name(index), file);
            }
        }

        #[test]
        fn no_file_belongs_to_two_streams(a in "[a-c.0-1]{1,6}", b in "[a-c.0-1]{1,6}", index in 0u32..20) {
            prop_assume!(a != b);
            let [a, b] = [a, b].map(|text| StreamName::of_host(&text).unwrap());
            let file = a.file_name(index);
            prop_assert_eq!(b.index_of(file.as_bytes()), None);
        }

        #[test]
        fn a_gap_file_is_no_log_file_and_belongs_to_one_stream(a in "[a-c.gapsold0-1]{1,8}", b in "[a-c.gapsold0-1]{1,8}") {
            prop_assume!(a != b);
            let [a, b] = [a, b].map(|text| StreamName::of_host(&text).unwrap());
            let files = [a.gap_file_name(), a.old_gap_file_name()];
            for file in &files {
                prop_assert!(a.is_gap_file(file.as_bytes()));
                prop_assert!(!b.is_gap_file(file.as_bytes()));
                prop_assert_eq!(a.index_of(file.as_bytes()), None);
                prop_assert_eq!(b.index_of(file.as_bytes()), None);
            }
            prop_assert!(!files.contains(&b.gap_file_name()) && !files.contains(&b.old_gap_file_name()));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(file in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _index: Option<u32> = name("web").index_of(&file);
        }
    }
}
