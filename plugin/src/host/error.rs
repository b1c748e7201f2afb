//! What goes wrong with a plugin (core): each variant is one step, and says what the plugin did.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status};

use super::identity::StatError;
use super::output::Words;
use super::process::End;
use crate::failure::{self, Missing};
use crate::handshake::{CertificateError, LineError};

/// What failed about starting or finding a plugin. `words` is the end of its standard error.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The program cannot be started.
    #[error("start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A process cannot be watched.
    #[error("watch process {pid}")]
    Watch {
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// No line came.
    #[error("shake hands: no line came on standard output within {within:?}{words}")]
    HandshakeDeadline {
        /// How long the host waited.
        within: Duration,
        /// What it said on standard error.
        words: Words,
    },
    /// The plugin ended before it said a line.
    #[error("shake hands: the plugin {end} before its handshake{words}")]
    HandshakeEnd {
        /// How it ended.
        end: End,
        /// What it said on standard error.
        words: Words,
    },
    /// The plugin closed its standard output before it said a line, and lives on.
    #[error("shake hands: the plugin closed its standard output before its handshake{words}")]
    HandshakeClosed {
        /// What it said on standard error.
        words: Words,
    },
    /// The line is no handshake.
    #[error("shake hands{words}")]
    HandshakeLine {
        /// What stood there.
        source: LineError,
        /// What it said on standard error.
        words: Words,
    },
    /// This side's certificate could not be made.
    #[error("make a certificate for the connection: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The plugin was asked to speak TLS, and answered as if it was not.
    #[error("shake hands: TLS was asked for, and the plugin answered without a certificate{words}")]
    NoCertificate {
        /// What it said on standard error.
        words: Words,
    },
    /// The plugin was asked to speak TLS, and answered with something that is no certificate.
    #[error("use the sixth field of the handshake as the plugin's certificate{words}")]
    WrongCertificate {
        /// What stood there.
        source: CertificateError,
        /// What it said on standard error.
        words: Words,
    },
    /// Whoever listens is not the plugin, or the plugin told a certificate that it does not use.
    #[error("speak TLS on {}: another certificate is shown there than the handshake told", path.display())]
    AnotherCertificate {
        /// The socket.
        path: PathBuf,
    },
    /// TLS is not spoken, or not with us.
    #[error("speak TLS on {}", path.display())]
    Encrypt {
        /// The socket.
        path: PathBuf,
        /// Why; a time-out, too.
        source: io::Error,
    },
    /// The plugin listens where this host does not go.
    #[error("connect to {address}: only Unix sockets are supported")]
    Network {
        /// Host and port.
        address: String,
    },
    /// The socket cannot be connected to.
    #[error("connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why; a time-out, too.
        source: io::Error,
    },
    /// The connection does not speak HTTP/2.
    #[error("speak HTTP/2 on {}: {reason}", path.display())]
    Http {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nothing has the number of the plugin's process.
    #[error("find the plugin again: there is no process {pid}")]
    Vanished {
        /// The process that was saved.
        pid: i32,
    },
    /// Another process has the number of the plugin's process.
    #[error(
        "find the plugin again: process {pid} is {found} and started later than the plugin did"
    )]
    Reused {
        /// The process that was saved.
        pid: i32,
        /// The name of who has the number now.
        found: String,
    },
    /// Another process listens on the plugin's socket.
    #[error("find the plugin again: on {} listens process {pid} ({found}), and not {expected}", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who listens; 0 if it is in another PID namespace.
        pid: i32,
        /// Its name.
        found: String,
        /// Who should.
        expected: i32,
    },
    /// What the kernel tells about the process cannot be read.
    #[error("learn when process {pid} started")]
    Stat {
        /// The process.
        pid: i32,
        /// Why.
        source: StatError,
    },
}

/// What failed about a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came.
    #[error("call {call}: no answer within {within:?}")]
    Deadline {
        /// The call.
        call: &'static str,
        /// How long the host waited.
        within: Duration,
    },
    /// The plugin ended.
    #[error("call {call}: the plugin {end}{words}")]
    Ended {
        /// The call.
        call: &'static str,
        /// How it ended.
        end: End,
        /// What it said on standard error.
        words: Words,
    },
    /// The connection is gone, and the plugin is not.
    #[error("call {call}: the connection broke: {reason}")]
    Disconnected {
        /// The call.
        call: &'static str,
        /// What broke.
        reason: String,
    },
    /// The plugin answered with an error.
    #[error("call {call}: the plugin answered {:?}: {}", status.code(), status.message())]
    Refused {
        /// The call.
        call: &'static str,
        /// What it answered.
        status: Box<Status>,
    },
    /// The answer lacks something that the original host takes for granted.
    #[error("call {}: the answer has no {}", .0.call, .0.field)]
    Missing(Missing),
    /// The answer lacks the result of the task beside the error that it tells. The original host reads the result
    /// first, whatever the error is.
    #[error("call {call}: the answer has no result beside its error: {err}")]
    NoResult {
        /// The call.
        call: &'static str,
        /// The error that it tells.
        err: String,
    },
}

impl CallError {
    /// Gives the code of the plugin's answer, if it was an error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.status().map(Status::code)
    }

    /// Says whether trying again may help, if the plugin told.
    #[must_use]
    pub fn is_recoverable(&self) -> Option<bool> {
        self.status().and_then(failure::is_recoverable)
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            Self::Deadline { .. }
            | Self::Ended { .. }
            | Self::Disconnected { .. }
            | Self::Missing(_)
            | Self::NoResult { .. } => None,
        }
    }
}

/// What failed about ending a plugin.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The process lives on after SIGKILL: the kernel holds it.
    #[error("end process {pid}: it lives {within:?} after SIGKILL")]
    LivesOn {
        /// The process.
        pid: i32,
        /// How long the host waited.
        within: Duration,
    },
    /// The process cannot be killed.
    #[error("kill process {pid}")]
    Kill {
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
}
