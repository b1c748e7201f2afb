//! How connections are served (edge): as they come, or within TLS if the host asked for it.

use std::convert::Infallible;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;

use super::{Log, ServeError, Services};
#[cfg(feature = "tls")]
use crate::{hclog::Level, tls};

/// What lies between the socket and HTTP/2.
#[derive(Clone)]
pub(super) enum Wire {
    Plain,
    #[cfg(feature = "tls")]
    Tls(TlsAcceptor),
}

impl Wire {
    /// Gives what the host asks for by its certificate, in PEM, and the certificate that it is to be told.
    #[cfg(feature = "tls")]
    pub(super) fn asked_for(host: Option<&str>) -> Result<(Self, Option<String>), ServeError> {
        let Some(pem) = host else {
            return Ok((Self::Plain, None));
        };
        let host = tls::from_pem(pem).map_err(ServeError::HostCertificate)?;
        let own = tls::Own::make().map_err(not_made)?;
        let told = tls::to_field(&own.certificate);
        let acceptor = tls::acceptor(own, host).map_err(not_made)?;
        Ok((Self::Tls(acceptor), Some(told)))
    }

    /// Gives what the host asks for.
    #[cfg(not(feature = "tls"))]
    pub(super) fn asked_for(host: Option<&str>) -> Result<(Self, Option<String>), ServeError> {
        match host {
            None => Ok((Self::Plain, None)),
            Some(_) => Err(ServeError::Encryption),
        }
    }

    /// Serves one connection until it is closed, or until its calls have ended after a stop. One that never
    /// says a word, as a host makes to see whether anybody is there, is a connection as well.
    pub(super) async fn serve(
        self,
        stream: UnixStream,
        services: Services,
        stop: impl Future<Output = ()>,
        #[cfg_attr(
            not(feature = "tls"),
            expect(unused_variables, reason = "nobody is turned away")
        )]
        log: Log,
    ) {
        match self {
            Self::Plain => speak(stream, services, stop).await,
            #[cfg(feature = "tls")]
            Self::Tls(acceptor) => {
                let mut stop = Box::pin(stop);
                tokio::select! {
                    accepted = acceptor.accept(stream) => match accepted {
                        Ok(stream) => speak(stream, services, stop).await,
                        Err(error) => turned_away(&log, &error),
                    },
                    () = &mut stop => {}
                }
            }
        }
    }
}

#[cfg(feature = "tls")]
fn not_made(error: impl std::fmt::Display) -> ServeError {
    let reason = error.to_string();
    ServeError::Certificate { reason }
}

/// Who leaves without a word has only looked whether anybody is there.
#[cfg(feature = "tls")]
fn turned_away(log: &Log, error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::UnexpectedEof {
        let error = error.to_string().into();
        log.write(Level::Warn, "somebody is turned away", [("error", error)]);
    }
}

async fn speak<S>(stream: S, services: Services, stop: impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(|request| {
        let services = services.clone();
        async move { Ok::<_, Infallible>(services.answer(request).await) }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    // A driver has two open calls for each task, all on one connection: the original sets no limit.
    http.timer(TokioTimer::new()).max_concurrent_streams(None);
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(stream), answer));
    // How a connection ended is the host's to tell.
    tokio::select! {
        ended = &mut connection => drop(ended),
        () = stop => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}
