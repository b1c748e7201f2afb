//! Edge: the life of `logmon serve`: it listens, hands clients to their sessions, and drains at the end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::geteuid;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::answer::Failure;
use super::listener::ControlSocket;
use super::metrics_http::{Connection, serve_scrape};
use super::session::{serve_client, turn_away};
use super::tasks::Tasks;
use crate::error::Error;
use crate::keeper::Choice;
use crate::run::keeping;

/// How many clients may be connected at once.
pub(crate) const MAX_CLIENTS: usize = 16;
/// How many scrapes of metrics may be under way at once.
pub(crate) const MAX_SCRAPES: usize = 4;
/// Pause before the next client when there are no descriptors: the readiness of the socket stays.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where metrics are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// At a TCP address.
    Tcp(SocketAddr),
    /// At a Unix socket, with the same care as the control socket.
    Unix(PathBuf),
}

impl std::str::FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Metrics, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path".into()),
            Some(path) => Ok(Metrics::Unix(path.into())),
            None => text
                .parse()
                .map(Metrics::Tcp)
                .map_err(|_| "neither ADDRESS:PORT, such as 127.0.0.1:9150, nor unix:PATH".into()),
        }
    }
}

/// Serves until the future ends; gives the bytes that were lost by the stop, or
/// wait at the keeper.
pub(crate) async fn serve(
    control: PathBuf,
    metrics: Option<Metrics>,
    keeper: Option<Choice>,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<u64, Error> {
    let control = ControlSocket::listen(&control)?;
    let metrics = metrics.map(MetricsSocket::listen).transpose()?;
    let keeping = keeping(keeper).await?;
    let tasks = Tasks::new(keeping.clone());
    ready();
    tokio::select! {
        () = shutdown => {}
        () = accept_clients(&control, &tasks) => {}
        () = accept_scrapes(metrics.as_ref(), &tasks) => {}
    }
    // Nobody is served any more, and a new server must wait for the lock until all is drained.
    let stopped = tasks.stop_all().await;
    let left_bytes = keeping.map_or(0, |keeping| keeping.end() as u64);
    Ok(stopped? + left_bytes)
}

/// A socket for metrics.
enum MetricsSocket {
    Tcp(TcpListener),
    Unix(ControlSocket),
}

impl MetricsSocket {
    fn listen(metrics: Metrics) -> Result<MetricsSocket, Error> {
        match metrics {
            Metrics::Unix(path) => ControlSocket::listen(&path).map(MetricsSocket::Unix),
            Metrics::Tcp(address) => listen_tcp(address)
                .map(MetricsSocket::Tcp)
                .map_err(|source| Error::MetricsAddress { address, source }),
        }
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    // The standard library sets SO_REUSEADDR, so a restart does not wait for old connections.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    info!(address = %listener.local_addr()?, "metrics");
    TcpListener::from_std(listener)
}

async fn accept_clients(control: &ControlSocket, tasks: &Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut reserve = spare().ok();
    loop {
        let client = match control.listener().accept().await {
            Ok((client, _address)) => client,
            Err(error) => {
                if is_shortage(&error) {
                    // One descriptor is kept to tell a client why it is not served.
                    drop(reserve.take());
                    let again = timeout(ACCEPT_PAUSE, control.listener().accept());
                    if let Ok(Ok((client, _address))) = again.await {
                        turn_away(&client, Failure::too_many_clients());
                    }
                    reserve = spare().ok();
                }
                warn!(%error, "can't accept a client");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Some(failure) = stranger(&client) {
            turn_away(&client, failure);
            continue;
        }
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let tasks = tasks.clone();
                tokio::spawn(serve_client(client, place, tasks));
            }
            Err(_) => turn_away(&client, Failure::too_many_clients()),
        }
    }
}

/// Only this process's own user and root may control it (`SO_PEERCRED`, unix(7)).
fn stranger(client: &UnixStream) -> Option<Failure> {
    match client.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == geteuid().as_raw() => None,
        Ok(peer) => Some(Failure::not_allowed(peer.uid())),
        Err(_) => Some(Failure::not_allowed(u32::MAX)),
    }
}

async fn accept_scrapes(metrics: Option<&MetricsSocket>, tasks: &Tasks) {
    let places = Arc::new(Semaphore::new(MAX_SCRAPES));
    loop {
        // A place first: who comes too many waits in the socket's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = match metrics {
            None => std::future::pending().await,
            Some(MetricsSocket::Tcp(listener)) => listener
                .accept()
                .await
                .map(|(client, _)| spawn_scrape(client, tasks, place)),
            Some(MetricsSocket::Unix(socket)) => match socket.listener().accept().await {
                Ok((client, _)) if stranger(&client).is_some() => Ok(()),
                Ok((client, _)) => {
                    spawn_scrape(client, tasks, place);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = accepted {
            warn!(%error, "can't accept a scrape");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn spawn_scrape<C: Connection + Send + Sync + 'static>(
    client: C,
    tasks: &Tasks,
    place: OwnedSemaphorePermit,
) {
    let tasks = tasks.clone();
    tokio::spawn(async move {
        serve_scrape(client, tasks).await;
        drop(place);
    });
}

fn is_shortage(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A descriptor for nothing.
fn spare() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/dev/null")?.into())
}
