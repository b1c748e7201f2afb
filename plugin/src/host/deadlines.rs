//! How long a host waits for what (core).

use std::time::Duration;

/// How long a host waits for each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of the process to its handshake.
    pub handshake: Duration,
    /// For the connection, and for each step of encrypting it.
    pub connect: Duration,
    /// For an answer to a call, where the call itself is not given a deadline.
    pub call: Duration,
    /// For the answer to Shutdown. A process that does not go is killed after it.
    pub shutdown: Duration,
    /// From the answer to Shutdown to the end of the process, the rest of its output included. It is killed after
    /// it.
    pub exit: Duration,
    /// From the kill to the end of the process.
    pub kill: Duration,
}

impl Default for Deadlines {
    /// Gives a minute for handshake and calls, as Nomad does, and two seconds for the rest.
    fn default() -> Self {
        let short = Duration::from_secs(2);
        let long = Duration::from_secs(60);
        Self {
            handshake: long,
            connect: short,
            call: long,
            shutdown: short,
            exit: short,
            kill: short,
        }
    }
}
