//! What can happen in a case with many tasks in one logmon. (core)

use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use super::Exit;

/// An event of such a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "many", rename_all = "snake_case")]
pub enum ManyEvent {
    /// A command about a task ended, or had to be killed.
    Commanded {
        /// The task.
        task: u32,
        /// What it was to do.
        order: Order,
        /// How it ended; none if it was killed because it was late.
        exit: Option<Exit>,
        /// Milliseconds since its start.
        after_ms: u64,
        /// The end of what it printed.
        said: String,
        /// Bytes in the files of stdout and stderr when it had ended, for a stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<[u64; 2]>,
    },
    /// The host has written to the FIFOs of these tasks.
    Wrote {
        /// How many tasks.
        tasks: u32,
        /// Bytes on all their streams, since the last time.
        bytes: u64,
    },
    /// A FIFO did not take in time what the host was to write.
    NotWritten {
        /// The task.
        task: u32,
        /// The stream.
        stream: Stream,
        /// Bytes that it had taken.
        bytes: u64,
        /// Bytes that there were to write.
        of: u64,
        /// Whether somebody had it open for reading.
        is_read: bool,
    },
    /// A FIFO that the host has written to still held bytes when it was to be empty.
    NotRead {
        /// The task.
        task: u32,
        /// The stream.
        stream: Stream,
        /// Bytes in it.
        bytes: u64,
        /// Milliseconds waited.
        within_ms: u64,
    },
    /// What was written had not come into the files.
    NotLogged {
        /// The task.
        task: u32,
        /// The stream.
        stream: Stream,
        /// How long it was waited for.
        within_ms: u64,
    },
    /// How much of a started task's output its FIFOs took, at the end.
    Sent {
        /// The task.
        task: u32,
        /// Bytes of stdout and of stderr.
        bytes: [u64; 2],
    },
    /// logmon's processes as they are.
    Measured {
        /// When.
        when: When,
        /// Tasks that it was given so far and that were not taken away.
        tasks: u32,
        /// Its processes.
        processes: u64,
        /// Their threads.
        threads: u64,
        /// Their open descriptors.
        fds: u64,
        /// Their memory that lies in no file, in bytes: proportional where it is shared.
        memory_bytes: u64,
        /// Their page tables, in bytes, which are the kernel's.
        page_table_bytes: u64,
    },
    /// What lay in the FIFO of a task that was not started, at the end.
    Left {
        /// The task.
        task: u32,
        /// The stream.
        stream: Stream,
        /// Bytes that lay there.
        bytes: u64,
        /// Bytes that the host had written.
        of: u64,
        /// Whether they are the same.
        is_same: bool,
    },
}

/// What a command about a task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Give the task to logmon.
    Start,
    /// Take it away.
    Stop,
}

impl Order {
    /// `start` or `stop`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// When a logmon with many tasks is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before the first start.
    Before,
    /// After the last start.
    Started,
    /// After the last byte was written.
    Written,
    /// After the last stop.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Entry, Event, parse};

    #[test]
    fn an_event_is_one_line_that_is_read_back() {
        let event = ManyEvent::Commanded {
            task: 7,
            order: Order::Stop,
            exit: Some(Exit::Code(0)),
            after_ms: 3,
            said: String::new(),
            written: Some([10, 20]),
        };
        let entry = Entry {
            at_us: 5,
            event: Event::Many(event),
        };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(parse(&format!("{line}\n")).unwrap(), [entry], "{line}");
    }
}
