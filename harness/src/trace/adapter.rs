//! What can happen between the suite and a driver that it speaks to. (core)

use serde::{Deserialize, Serialize};

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
}
