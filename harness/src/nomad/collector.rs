//! A log collector that is a plugin, as a command that collects one task: started, told of the FIFOs, stopped.
//! (edge)
//!
//! The process that reads is the plugin, and this one is its host. So the line `ready` names the plugin's
//! process: that is the one to kill or to stop. When it dies this process does too, by the same signal. SIGTERM
//! is for the host, which then asks for a Stop and for the end, as Nomad does. Meanwhile a second command may ask the
//! host for another Start of the same.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use plugin::host::{End, Ended, Manner, Plugin};
use plugin::proto::logmon::StartRequest;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::again::{Again, Asker, OtherLimits};
use super::sockets::SocketFolder;
use super::tied::Tied;
use crate::suite::error_chain;

/// How long the plugin may take to begin, and to answer a Start: MON-1 with a loaded machine's share.
const BEGIN: Duration = Duration::from_secs(4);
/// How long a Stop may take: MON-7 has 2 s.
const STOP: Duration = Duration::from_secs(3);
/// A look at whether it lives is over after this; then there is another one.
const WATCH: Duration = Duration::from_secs(3_600);
/// How long it may take to go.
const GO: Duration = Duration::from_secs(2);

/// What is to be collected, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Collecting {
    /// The plugin.
    pub(crate) plugin: Tied,
    /// What Start is told.
    pub(crate) start: StartRequest,
    /// Where somebody may ask for another start.
    pub(crate) again: Option<PathBuf>,
}

/// Why nothing was collected, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectingError {
    /// There is no runtime to wait in.
    #[error("wait for a plugin")]
    Runtime(#[from] io::Error),
    /// The plugin can't be loaded, or refuses.
    #[error("{0}")]
    Refused(String),
    /// It did not stop in order.
    #[error("{0}")]
    NotStopped(String),
}

/// Starts the plugin, has it collect, says `ready` with the number of its process, and stops it at SIGTERM.
///
/// # Errors
/// [`CollectingError`].
pub(crate) fn collect(collecting: &Collecting) -> Result<(), CollectingError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(host(collecting))
}

async fn host(collecting: &Collecting) -> Result<(), CollectingError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let refused =
        |error: &(dyn std::error::Error + 'static)| CollectingError::Refused(error_chain(error));
    let sockets = SocketFolder::of_the_case();
    let plugin = sockets
        .applied(collecting.plugin.launch(BEGIN, BEGIN, GO))
        .start()
        .await
        .map_err(|error| refused(&error))?;
    let started = plugin.log_mon().start(collecting.start.clone()).await;
    if let Err(error) = started {
        let error = refused(&error);
        // What it says of its end changes nothing about the refusal.
        drop(plugin.end().await);
        return Err(error);
    }
    let again = collecting.again.as_deref().map(Again::listen).transpose();
    let again = match again {
        Ok(again) => again,
        Err(error) => {
            drop(plugin.end().await);
            return Err(refused(&error));
        }
    };
    say_ready(plugin.reattach().pid)?;
    loop {
        tokio::select! {
            _ = terminated.recv() => return stop(plugin).await,
            end = died(&plugin) => {
                // No drop follows the signal.
                drop(plugin);
                drop(sockets);
                return die_too(end);
            }
            asker = asked(again.as_ref()) => {
                let start = |limits: &OtherLimits| {
                    let request = limits.in_place(&collecting.start);
                    let log_mon = plugin.log_mon();
                    async move { log_mon.start(request).await }
                };
                tokio::select! {
                    _ = terminated.recv() => return stop(plugin).await,
                    () = asker.answered_by(start) => {}
                }
            }
        }
    }
}

/// Who asks next; nobody ever does if nobody can.
async fn asked(again: Option<&Again>) -> Asker {
    match again {
        Some(again) => again.next().await,
        None => std::future::pending().await,
    }
}

/// How the plugin ended, which nobody had asked for.
async fn died(plugin: &Plugin) -> End {
    loop {
        if let Some(end) = plugin.end_within(WATCH).await {
            return end;
        }
    }
}

/// Ends as the plugin did: to the suite they are one logmon.
fn die_too(end: End) -> Result<(), CollectingError> {
    if let End::Signal(number) = end
        && let Some(signal) = Signal::from_named_raw(number)
    {
        kill_process(getpid(), signal).map_err(io::Error::from)?;
    }
    Err(CollectingError::NotStopped(format!("the plugin {end}")))
}

fn say_ready(pid: i32) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {pid}").and_then(|()| out.flush())
}

async fn stop(plugin: Plugin) -> Result<(), CollectingError> {
    let stopped = tokio::time::timeout(STOP, plugin.log_mon().stop()).await;
    let ended = plugin.end().await;
    let wrong = match stopped {
        Err(_) => Some(format!("call Stop: no answer within {STOP:?}")),
        Ok(Err(error)) => Some(error_chain(&error)),
        Ok(Ok(())) => match ended {
            Err(error) => Some(error_chain(&error)),
            Ok(Ended {
                manner: Manner::Killed,
                took,
                ..
            }) => Some(format!("call Shutdown: it lived on after {took:?}")),
            Ok(Ended {
                manner: Manner::Asked,
                ..
            }) => None,
        },
    };
    match wrong {
        Some(wrong) => Err(CollectingError::NotStopped(wrong)),
        None => Ok(()),
    }
}
