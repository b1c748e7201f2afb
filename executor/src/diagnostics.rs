//! What the program says on stderr (edge): one line for each message.

use std::fmt::Display;
use std::io::{self, Write};

/// Says something on stderr. Whether anybody hears it changes nothing: stderr may be closed, or its disk full, and the
/// task goes on. So nothing of this crate may use `eprintln!`, which panics then.
pub(crate) fn say(message: impl Display) {
    let line = format!("executor: {message}\n");
    drop(io::stderr().write_all(line.as_bytes()));
}
