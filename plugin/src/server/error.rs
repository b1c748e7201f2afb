//! Why a program is no plugin, and how it says so (edge: it writes to standard error).

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::handshake::{self, NotInvited};

/// What failed about serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host wants encryption.
    #[cfg(not(feature = "tls"))]
    #[error(
        "encrypt calls, as {} asks for: this program was built without TLS",
        handshake::CLIENT_CERT
    )]
    Encryption,
    /// What the host gives as its certificate is none.
    #[cfg(feature = "tls")]
    #[error("use {} as the certificate of the host", handshake::CLIENT_CERT)]
    HostCertificate(#[source] handshake::CertificateError),
    /// The plugin's own certificate could not be made.
    #[cfg(feature = "tls")]
    #[error("make a certificate, as {} asks for: {reason}", handshake::CLIENT_CERT)]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The path of the socket cannot stand in the handshake.
    #[error("tell the host of a socket in {}: only UTF-8 without | and new lines can be told", folder.display())]
    SocketPath {
        /// The folder that the host named.
        folder: PathBuf,
    },
    /// The socket could not be made.
    #[error("make a socket in {}", folder.display())]
    Socket {
        /// The folder that the host named.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The handshake could not be written: the host is gone, most likely.
    #[error("write the handshake to standard output")]
    Handshake(#[source] io::Error),
    /// Signals or standard output could not be taken over.
    #[error("take over {what}")]
    TakeOver {
        /// What of the process.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The description of the services could not be read.
    #[error("describe the services")]
    Describe(#[source] tonic_reflection::server::Error),
}

/// Tells a person in three lines on standard error that this is a plugin. Gives the exit code, 1.
#[must_use]
pub fn refuse(not_invited: &NotInvited) -> ExitCode {
    say(&not_invited.explanation());
    ExitCode::FAILURE
}

/// Tells the host on standard error why nothing is served. Gives the exit code, 1.
#[must_use]
pub fn fail(error: &ServeError) -> ExitCode {
    let mut text = format!("[ERROR] failed to {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text.push('\n');
    say(&text);
    ExitCode::FAILURE
}

/// Nobody may be there to read it.
fn say(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
