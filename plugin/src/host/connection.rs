//! The one connection to a plugin (edge). It is opened once: a connection that opened itself again could
//! reach somebody else.

use std::io;
use std::net::Shutdown;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service;

use super::error::HostError;
use super::tap::{Tap, tapped};
#[cfg(feature = "tls")]
use super::wire;
use super::wire::Wire;

/// What calls are made on.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    socket: Arc<net::UnixStream>,
    tap: Option<Tap>,
}

impl Connection {
    /// The same, whose messages are told.
    pub(super) fn with_tap(self, tap: Option<Tap>) -> Self {
        Self { tap, ..self }
    }

    /// Closes it under all calls that are open, which fail then.
    pub(super) fn close(&self) {
        // ENOTCONN: the plugin was faster.
        drop(self.socket.shutdown(Shutdown::Both));
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, hyper::Error>> + Send>>;

    /// Is always ready: a closed connection is an error of the call, which then has its cause. hyper holds
    /// nothing back here.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(tap) = self.tap.clone() else {
            let answer = self.sender.send_request(request);
            return Box::pin(async { Ok(answer.await?.map(Body::new)) });
        };
        let path = request.uri().path().to_owned();
        let request = request.map(|body| tapped(&tap, &path, false, body));
        let answer = self.sender.send_request(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| tapped(&tap, &path, true, Body::new(body))))
        })
    }
}

/// An answer may have so many bytes. The original host takes 2 GiB, which nobody sends; this much a mistaken
/// plugin may make us hold.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The name that stands in requests; a plugin does not look at it.
pub(super) fn origin() -> Uri {
    Uri::from_static("http://unused")
}

/// Connects, and gives the number of the process that listens, if the kernel tells.
pub(super) async fn connect(
    path: &Path,
    within: Duration,
) -> Result<(UnixStream, Option<i32>), HostError> {
    let connected = timeout(within, UnixStream::connect(path)).await;
    let failed = |source| HostError::Connect {
        path: path.to_owned(),
        source,
    };
    let stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    // For the one who connects this is the process that called listen(2), see unix(7).
    let pid = stream.peer_cred().map_err(failed)?.pid();
    Ok((stream, pid))
}

/// Begins HTTP/2 on a socket. The task is the connection; it ends with the plugin or with the last call.
pub(super) async fn speak(
    stream: UnixStream,
    wire: &Wire,
    path: PathBuf,
    within: Duration,
) -> Result<(Connection, JoinHandle<()>), HostError> {
    let failed = |source| HostError::Connect {
        path: path.clone(),
        source,
    };
    let stream = stream.into_std().map_err(failed)?;
    let socket = Arc::new(stream.try_clone().map_err(failed)?);
    let stream = UnixStream::from_std(stream).map_err(failed)?;
    match wire {
        Wire::Plain => begin(stream, socket, path, within).await,
        #[cfg(feature = "tls")]
        Wire::Tls(connector) => {
            let stream = wire::encrypt(connector, stream, path.clone(), within).await?;
            begin(stream, socket, path, within).await
        }
    }
}

async fn begin<S>(
    stream: S,
    socket: Arc<net::UnixStream>,
    path: PathBuf,
    within: Duration,
) -> Result<(Connection, JoinHandle<()>), HostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new());
    let hands = timeout(within, http.handshake(TokioIo::new(stream))).await;
    let (sender, connection) = match hands {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => {
            let reason = error.to_string();
            return Err(HostError::Http { path, reason });
        }
        Err(_) => {
            let reason = format!("no answer within {within:?}");
            return Err(HostError::Http { path, reason });
        }
    };
    // What broke is told by the calls that it broke.
    let task = tokio::spawn(async move { drop(connection.await) });
    let connection = Connection {
        sender,
        socket,
        tap: None,
    };
    Ok((connection, task))
}
