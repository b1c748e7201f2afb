//! Standard output and standard error. (edge)
//!
//! A reader that went away (`harness list | head`) is no error: the run goes on, and its exit code
//! and report count.

use std::env;
use std::io::{self, IsTerminal, Write};

use super::args::{Colour, ProgressKind};
use crate::printable::{paintable, printable};
use crate::report::Paint;

/// Prints text on standard output. What subjects said in it does nothing to a terminal.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    drop(
        out.write_all(paintable(text).as_bytes())
            .and_then(|()| out.flush()),
    );
}

/// Prints a message on standard error, under the program's name.
pub(super) fn complain(text: &str) {
    drop(
        io::stderr()
            .lock()
            .write_all(format!("harness: {}\n", printable(text.trim_end())).as_bytes()),
    );
}

/// Whether standard output is coloured: as asked, else on a terminal unless NO_COLOR is set.
pub(super) fn paint(asked: Colour) -> Paint {
    let coloured = match asked {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            io::stdout().is_terminal()
                && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    };
    if coloured {
        Paint::Coloured
    } else {
        Paint::Plain
    }
}

/// What `auto` stands for: a bar on a terminal, lines elsewhere.
pub(super) fn progress(asked: ProgressKind) -> ProgressKind {
    match asked {
        ProgressKind::Auto if io::stderr().is_terminal() && io::stdout().is_terminal() => {
            ProgressKind::Bar
        }
        ProgressKind::Auto => ProgressKind::Lines,
        ProgressKind::Bar | ProgressKind::Lines | ProgressKind::None => asked,
    }
}
