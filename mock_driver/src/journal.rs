//! The journal: what the kernel took, and what happened beside it, one JSON line each: a core.
//!
//! ```text
//! {"at_us":81234567,"ev":"hello","pid":42,"role":"task","fd1":{…},"fd2":{…},"sig_ignored":[],"sig_blocked":[]}
//! {"at_us":81234990,"ev":"wrote","stream":"stdout","end":200,"bytes":100,"seq":1}
//! ```
//!
//! Times are `CLOCK_MONOTONIC` in microseconds. That clock is one for the whole system, so the
//! journals of several processes can be merged.

use serde::{Deserialize, Serialize};

use crate::stream::Stream;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, in microseconds of `CLOCK_MONOTONIC`.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What a journal line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "lowercase")]
pub enum Event {
    /// The process started; what it found.
    Hello {
        /// Its process id.
        pid: u32,
        /// What it is.
        role: Role,
        /// Its descriptor 1.
        fd1: FdFacts,
        /// Its descriptor 2.
        fd2: FdFacts,
        /// Numbers of the signals that it was started with ignored.
        sig_ignored: Vec<u8>,
        /// Numbers of the signals that it was started with blocked.
        sig_blocked: Vec<u8>,
    },
    /// One write is complete: the kernel has taken these bytes.
    Wrote {
        /// Where to.
        stream: Stream,
        /// Bytes taken on this stream so far, these included.
        end: u64,
        /// Bytes of this write.
        bytes: u64,
        /// The number of the last record that is now whole; the payload only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u32>,
    },
    /// The pipe is full and the writer waits.
    Blocked {
        /// Where.
        stream: Stream,
        /// Bytes that wait.
        bytes_pending: u64,
    },
    /// An open or a write failed.
    Error {
        /// Where.
        stream: Stream,
        /// The error's number.
        errno: i32,
        /// The error's name, such as `EPIPE`.
        name: String,
    },
    /// A FIFO was opened for writing.
    Opened {
        /// Which stream's.
        stream: Stream,
        /// The descriptor.
        fd: i32,
    },
    /// A stream's descriptor was closed.
    Closed {
        /// Which stream's.
        stream: Stream,
        /// The descriptor.
        fd: i32,
    },
    /// A gate was found open.
    Gate {
        /// The gate's name.
        name: String,
    },
    /// The script passed a mark.
    Mark {
        /// The mark's name.
        name: String,
    },
    /// The process is about to end.
    Exit {
        /// The status that it reports; 128 + n for signal n.
        code: i32,
        /// The signal that it ends itself with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
}

impl Event {
    /// The status that the process is about to report.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        if let Self::Exit { code, .. } = self {
            Some(*code)
        } else {
            None
        }
    }

    /// The number of the process that begins here.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        if let Self::Hello { pid, .. } = self {
            Some(*pid)
        } else {
            None
        }
    }

    /// How many bytes of the stream the kernel has taken in all, after this write to it.
    #[must_use]
    pub fn accepted(&self, of: Stream) -> Option<u64> {
        match self {
            Self::Wrote { stream, end, .. } if *stream == of => Some(*end),
            Self::Wrote { .. }
            | Self::Hello { .. }
            | Self::Blocked { .. }
            | Self::Error { .. }
            | Self::Opened { .. }
            | Self::Closed { .. }
            | Self::Gate { .. }
            | Self::Mark { .. }
            | Self::Exit { .. } => None,
        }
    }
}

/// Which part a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The payload: plays a script on its own descriptors 1 and 2.
    Task,
    /// A driver that plays a script.
    Play,
    /// A driver that forwards a command's output.
    Driver,
}

/// What a descriptor refers to, by fstat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FdFacts {
    /// The device that holds the inode; 0 if the descriptor is closed.
    pub dev: u64,
    /// The inode; 0 if the descriptor is closed.
    pub ino: u64,
    /// The kind of file.
    pub kind: FileKind,
    /// The device that it is, for a device file.
    pub rdev: u64,
}

/// The kind of file behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A named or an unnamed pipe.
    Fifo,
    /// A regular file.
    Regular,
    /// A character device, such as the null device or a terminal.
    Char,
    /// A block device.
    Block,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A socket.
    Socket,
    /// Nothing: the descriptor is closed.
    Closed,
}

/// The line was not one of a journal.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal line `{line}`")]
pub struct NotALine {
    /// The line, or its start.
    line: String,
    /// Why.
    source: serde_json::Error,
}

/// Reads one line, with or without its newline.
///
/// # Errors
/// If it is not a JSON object of the documented shape; a line cut by a crash is such a one.
pub fn parse_line(line: &str) -> Result<Line, NotALine> {
    serde_json::from_str(line.trim_end_matches('\n')).map_err(|source| NotALine {
        line: line.trim_end().chars().take(200).collect(),
        source,
    })
}

/// The line's text with its newline.
#[must_use]
pub fn render_line(line: &Line) -> String {
    // Maps with text keys and numbers always have a JSON form.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> FdFacts {
        FdFacts {
            dev: 12,
            ino: u64::MAX,
            kind: FileKind::Fifo,
            rdev: 0,
        }
    }

    #[test]
    fn every_event_reads_back_as_it_was_written() {
        let events = [
            Event::Hello {
                pid: 7,
                role: Role::Task,
                fd1: facts(),
                fd2: facts(),
                sig_ignored: vec![13],
                sig_blocked: vec![],
            },
            Event::Wrote {
                stream: Stream::Stdout,
                end: 200,
                bytes: 100,
                seq: Some(1),
            },
            Event::Wrote {
                stream: Stream::Stderr,
                end: 7,
                bytes: 7,
                seq: None,
            },
            Event::Blocked {
                stream: Stream::Stdout,
                bytes_pending: 4096,
            },
            Event::Error {
                stream: Stream::Stderr,
                errno: 32,
                name: "EPIPE".to_owned(),
            },
            Event::Opened {
                stream: Stream::Stdout,
                fd: 5,
            },
            Event::Closed {
                stream: Stream::Stdout,
                fd: 5,
            },
            Event::Gate {
                name: "go".to_owned(),
            },
            Event::Mark {
                name: "half\nway".to_owned(),
            },
            Event::Exit {
                code: 143,
                signal: Some(15),
            },
        ];
        for event in events {
            let line = Line { at_us: 5, event };
            let text = render_line(&line);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert_eq!(parse_line(&text).unwrap(), line);
        }
    }

    #[test]
    fn a_write_has_the_documented_text() {
        let line = Line {
            at_us: 81,
            event: Event::Wrote {
                stream: Stream::Stdout,
                end: 200,
                bytes: 100,
                seq: None,
            },
        };
        assert_eq!(
            render_line(&line),
            "{\"at_us\":81,\"ev\":\"wrote\",\"stream\":\"stdout\",\"end\":200,\"bytes\":100}\n"
        );
    }

    #[test]
    fn a_cut_line_is_refused_with_its_text() {
        let error = parse_line("{\"at_us\":81,\"ev\":\"wro").unwrap_err();
        assert!(error.to_string().contains("\"ev\":\"wro"), "{error}");
    }
}
