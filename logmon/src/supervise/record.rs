//! Core: what a supervisor leaves for its successor, as text.
//!
//! ```text
//! logmon-supervise 1
//! boot 1b0d5f0e-6ac1-4c9a-9d0e-0c5b4d1f3a77      of the machine, as a pid means nothing after it
//! command 89ab01234567cdef                       what logmon was started with, as a number
//! logmon 4711 8893120                            pid and start time (proc_pid_stat(5), field 22)
//! reattach {"Protocol":"grpc",…}                 of a plugin only: where it is reached, as Nomad keeps it
//! end 0123456789abcdef                           checksum of the lines above
//! ```
//! A text that is cut off or changed is no record, and one of another version is none that this program
//! reads. Then the successor asks the keeper who uses it, or looks for the plugin among the processes.

use crate::fnv::fnv_1a;

/// The longest boot id that is believed.
const MAX_BOOT_BYTES: usize = 64;

/// A process that can't be mistaken for another one as long as the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) pid: i32,
    /// When it began, in clock ticks since the machine did.
    pub(crate) start_time: u64,
}

/// What is known of the logmon that was started last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The machine's boot id: letters, digits and dashes.
    pub(crate) boot: String,
    /// Stands for the words that logmon was started with.
    pub(crate) command: u64,
    /// The process.
    pub(crate) logmon: Identity,
    /// Where a plugin is reached, one line without its newline.
    pub(crate) reattach: Option<String>,
}

/// Why a text is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRecord {
    /// It is cut off, changed or something else.
    #[error("it is cut off, or no state of logmon")]
    Broken,
    /// Another version of this program has written it.
    #[error("it has version {0:?}, and this logmon reads version {VERSION}")]
    Version(String),
}

/// The version of the text.
const VERSION: &str = "1";

impl Record {
    /// Gives the text.
    pub(crate) fn encode(&self) -> String {
        let Identity { pid, start_time } = self.logmon;
        let mut text = format!(
            "logmon-supervise {VERSION}\nboot {}\ncommand {:016x}\nlogmon {pid} {start_time}\n",
            self.boot, self.command,
        );
        if let Some(reattach) = &self.reattach {
            text.push_str(&format!("reattach {reattach}\n"));
        }
        let checksum = fnv_1a(text.as_bytes());
        text.push_str(&format!("end {checksum:016x}\n"));
        text
    }

    /// Reads a text.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Record, NoRecord> {
        let text = std::str::from_utf8(bytes).map_err(|_| NoRecord::Broken)?;
        let version = text
            .split_once('\n')
            .and_then(|(first, _)| first.strip_prefix("logmon-supervise "));
        match version {
            Some(VERSION) => Record::read(text).ok_or(NoRecord::Broken),
            Some(other) => Err(NoRecord::Version(other.chars().take(20).collect())),
            None => Err(NoRecord::Broken),
        }
    }

    fn read(text: &str) -> Option<Record> {
        let mut lines = text.lines().skip(1).peekable();
        let mut value = |name: &str| {
            let line = lines.next_if(|line| line.starts_with(name))?;
            line.strip_prefix(name)?.strip_prefix(' ')
        };
        let boot = value("boot")?;
        let command = u64::from_str_radix(value("command")?, 16).ok()?;
        let (pid, start_time) = value("logmon")?.split_once(' ')?;
        let record = Record {
            boot: boot.to_owned(),
            command,
            logmon: Identity {
                pid: pid.parse().ok().filter(|pid| *pid > 0)?,
                start_time: start_time.parse().ok()?,
            },
            reattach: value("reattach").map(str::to_owned),
        };
        let is_boot_id = (1..=MAX_BOOT_BYTES).contains(&boot.len())
            && boot
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        // The same text again: nothing is missing, changed or added.
        (is_boot_id && record.encode() == text).then_some(record)
    }
}

/// Gives the number that stands for these words.
pub(crate) fn command_number<'a>(words: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut all = Vec::new();
    for word in words {
        all.extend(word);
        all.push(0);
    }
    fnv_1a(&all)
}

/// Reads the start time from the text of `/proc/PID/stat`; the name of the program, in parentheses, may
/// have any characters.
pub(crate) fn start_time(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // The first field after the name is the third one.
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Record> {
        let reattach = proptest::option::of("\\{[ -~]{0,200}\\}");
        let start = (1_i32.., any::<u64>());
        ("[a-f0-9-]{1,64}", any::<u64>(), start, reattach).prop_map(
            |(boot, command, (pid, start_time), reattach)| Record {
                boot,
                command,
                logmon: Identity { pid, start_time },
                reattach,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_that_is_read_back_is_the_same(record in records()) {
            prop_assert_eq!(Record::decode(record.encode().as_bytes()), Ok(record));
        }

        #[test]
        fn a_cut_off_record_is_none(record in records(), at: proptest::sample::Index) {
            let text = record.encode();
            prop_assert!(Record::decode(&text.as_bytes()[..at.index(text.len())]).is_err());
        }

        #[test]
        fn a_changed_record_is_none(record in records(), at: proptest::sample::Index, byte: u8) {
            let mut bytes = record.encode().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            prop_assert!(Record::decode(&bytes).is_err());
        }

        #[test]
        fn garbage_is_none(bytes: Vec<u8>) {
            prop_assert!(Record::decode(&bytes).is_err());
            prop_assert!(start_time(&bytes).is_none_or(|_| bytes.contains(&b')')));
        }
    }

    #[test]
    fn a_record_of_another_version_is_told_from_a_broken_one() {
        let told = |bytes: &[u8]| Record::decode(bytes).unwrap_err().to_string();
        let other = told(b"logmon-supervise 2\nwhatever\n");
        assert_eq!(
            other,
            "it has version \"2\", and this logmon reads version 1"
        );
        for broken in [
            "",
            "logmon-supervise 1",
            "logmon-supervise 1\nboot x\ncomm",
            "x\n",
        ] {
            assert_eq!(
                told(broken.as_bytes()),
                "it is cut off, or no state of logmon"
            );
        }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("4711 (a ) b (c)) S {}", fields.join(" "));
        assert_eq!(start_time(stat.as_bytes()), Some(22));
    }

    #[test]
    fn words_are_not_joined() {
        let number =
            |words: &[&'static str]| command_number(words.iter().map(|word| word.as_bytes()));
        assert_ne!(number(&["ab", "c"]), number(&["a", "bc"]));
        assert_ne!(number(&["a"]), number(&["a", ""]));
    }
}
