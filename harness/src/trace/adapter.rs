//! What can happen between the suite and a driver that it speaks to. (core)

use serde::{Deserialize, Serialize};

/// How a line about who waits for whom begins that tells what a driver was asked and has not answered.
pub const UNANSWERED: &str = "driver has not answered: ";

/// An event of such a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "adapter", rename_all = "snake_case")]
pub enum AdapterEvent {
    /// The driver broke the protocol, and was killed.
    Broke {
        /// The operation, if it is known.
        op: Option<String>,
        /// Whether an answer did not come in time.
        is_late: bool,
        /// What is wrong, a sentence.
        text: String,
        /// The lines that it is about, as they went over the wire.
        lines: Vec<String>,
    },
    /// The driver answered a start with an error.
    Refused {
        /// The generation that was to be started.
        generation: u32,
        /// Why, in the driver's words.
        text: String,
    },
    /// The driver was asked to leave its tasks alone, answered with their handles and ended.
    Detached {
        /// Its process.
        pid: i32,
    },
    /// The host killed the driver's process, and nothing else.
    Killed {
        /// Its process.
        pid: i32,
    },
    /// Another process of the driver was asked to take the tasks over.
    RecoverAsked {
        /// Its process.
        pid: i32,
    },
    /// It answered.
    Recovered {
        /// Milliseconds since it was asked.
        after_ms: u64,
        /// The generations that it took over.
        ok: Vec<u32>,
        /// Those that it did not; all of them, if it answered with an error.
        lost: Vec<LostTask>,
    },
}

impl AdapterEvent {
    /// Whether it is what was to come, and nothing that anybody injected.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        match self {
            // A start that nobody reads may be refused (FIFO-3).
            Self::RecoverAsked { .. } | Self::Refused { .. } => true,
            Self::Recovered { lost, .. } => lost.is_empty(),
            Self::Broke { .. } | Self::Detached { .. } | Self::Killed { .. } => false,
        }
    }
}

/// A task that a driver did not take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTask {
    /// The generation.
    pub generation: u32,
    /// Why, in the driver's words.
    pub reason: String,
    /// Whether the task's main process lived when the driver said so.
    pub is_alive: bool,
}
