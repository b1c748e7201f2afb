//! How a host speaks with a plugin that it starts (edge): as Nomad does, or within TLS if that is asked for.

#[cfg(feature = "tls")]
use std::{io, path::PathBuf, time::Duration};

#[cfg(feature = "tls")]
use tokio::{net::UnixStream, time::timeout};
#[cfg(feature = "tls")]
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::error::HostError;
use super::output::Words;
use crate::handshake::Line;
#[cfg(feature = "tls")]
use crate::tls;

/// What a plugin is asked for when it is started.
pub(super) enum Offer {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tls::Own),
}

impl Offer {
    /// Gives the offer of TLS, with a certificate for this one plugin.
    #[cfg(feature = "tls")]
    pub(super) fn of_tls() -> Result<Self, HostError> {
        tls::Own::make().map(Self::Tls).map_err(not_made)
    }

    /// Gives the certificate of the host, in PEM, if the plugin is to know one.
    pub(super) fn certificate(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            #[cfg(feature = "tls")]
            Self::Tls(own) => Some(tls::to_pem(&own.certificate)),
        }
    }

    /// Gives what the plugin's answer makes of it. A plugin that does not answer with a certificate would be
    /// spoken to without encryption, so it is refused.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, reason = "there is one offer, and any answer fits")
    )]
    pub(super) fn answered(
        self,
        line: &Line,
        words: impl FnOnce() -> Words,
    ) -> Result<Wire, HostError> {
        match self {
            Self::Plain => Ok(Wire::Plain),
            #[cfg(feature = "tls")]
            Self::Tls(own) => {
                let Some(field) = &line.server_cert else {
                    let words = words();
                    return Err(HostError::NoCertificate { words });
                };
                let plugin = tls::from_field(field).map_err(|source| {
                    let words = words();
                    HostError::WrongCertificate { source, words }
                })?;
                tls::connector(own, plugin).map(Wire::Tls).map_err(not_made)
            }
        }
    }
}

/// What lies between the socket and HTTP/2.
pub(super) enum Wire {
    Plain,
    #[cfg(feature = "tls")]
    Tls(TlsConnector),
}

impl Wire {
    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
        }
    }
}

#[cfg(feature = "tls")]
fn not_made(error: impl std::fmt::Display) -> HostError {
    let reason = error.to_string();
    HostError::Certificate { reason }
}

/// Shakes hands within the socket: the plugin must have the certificate that it told, and its key.
#[cfg(feature = "tls")]
pub(super) async fn encrypt(
    connector: &TlsConnector,
    stream: UnixStream,
    path: PathBuf,
    within: Duration,
) -> Result<TlsStream<UnixStream>, HostError> {
    let hands = timeout(within, connector.connect(tls::server_name(), stream)).await;
    let hands = hands.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    hands.map_err(|source| {
        if tls::is_another_certificate(&source) {
            HostError::AnotherCertificate { path }
        } else {
            HostError::Encrypt { path, source }
        }
    })
}
