//! A plugin's program that ends with this process, however that ends. (edge)

use std::time::Duration;

use plugin::host::{Deadlines, Launch};

use super::loaded::hear;

/// The words that start it.
#[derive(Clone, Debug)]
pub(crate) struct Tied {
    first: String,
    rest: Vec<String>,
}

impl Tied {
    /// Of the words that start a program so that it ends with this process, and the program with its arguments.
    pub(crate) fn new(tying: Vec<String>, program: String, arguments: Vec<String>) -> Self {
        let mut words = tying.into_iter().chain([program]).chain(arguments);
        // There is the program at least.
        let first = words.next().unwrap_or_default();
        Self {
            first,
            rest: words.collect(),
        }
    }

    /// How it is started: it may take `begin` until it speaks, `call` for an answer, and `go` until it is gone.
    pub(super) fn launch(&self, begin: Duration, call: Duration, go: Duration) -> Launch {
        Launch::new(&self.first)
            .arguments(&self.rest)
            .deadlines(Deadlines {
                handshake: begin,
                connect: begin,
                call,
                shutdown: go,
                exit: go,
                kill: go,
            })
            .listener(hear)
    }
}
