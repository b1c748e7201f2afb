//! Serving (edge): handshake, connections, and the end.

use std::env::VarError;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic_health::ServingStatus;

use super::capture::{Captured, SharedOutlet};
use super::go_plugin::{Broker, Controller, Stdio, stopped};
use super::socket::Socket;
use super::wire::Wire;
use super::{Log, ServeError, Services};
use crate::handshake::{APP_VERSION, Address, CLIENT_CERT, Invitation, Line, NotInvited};
use crate::hclog::Level;
use crate::proto::DESCRIPTORS;
use crate::proto::go_plugin::grpc_broker_server::GrpcBrokerServer;
use crate::proto::go_plugin::grpc_controller_server::GrpcControllerServer;
use crate::proto::go_plugin::grpc_stdio_server::GrpcStdioServer;
use crate::proto::go_plugin::stdio_data::Channel;

/// How long calls may take to end after a Shutdown, and output to be fetched. The original host waits 2 s
/// for the process.
const GRACE: Duration = Duration::from_secs(1);

/// A host that waits for a descriptor to become free asks again so soon.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What of the process goes to the host through `GRPCStdio` once the handshake is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Capture {
    /// Standard output. Standard error stays what it was, so that the host sees a panic.
    #[default]
    Stdout,
    /// Standard output and standard error. Only a [`Log`] still reaches what standard error was.
    StdoutAndStderr,
}

/// A program that a host has started as a plugin.
#[derive(Debug)]
pub struct Server {
    invitation: Invitation,
    capture: Capture,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Reads the environment. Do this first: a person who started the program is told so before it does
    /// anything.
    ///
    /// # Errors
    /// [`NotInvited`]; [`super::refuse`] tells it.
    pub fn invited() -> Result<Self, NotInvited> {
        Ok(Self {
            invitation: Invitation::read(variable)?,
            capture: Capture::default(),
            stop: watch::Sender::new(false),
        })
    }

    /// Chooses what goes to the host through `GRPCStdio`.
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = capture;
        self
    }

    /// Gives the log that the host reads. Call it before [`Server::serve`].
    ///
    /// # Errors
    /// [`ServeError::TakeOver`], if standard error is closed.
    pub fn log(&self, module: &str) -> Result<Log, ServeError> {
        let what = "standard error";
        Log::new(module).map_err(|source| ServeError::TakeOver { what, source })
    }

    /// Gives a future that ends when the host has asked the plugin to end. Streams that would go on for
    /// ever should end with it.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        stopped(self.stop.subscribe())
    }

    /// Answers calls until the host asks for the end; health, reflection, output and the end itself are
    /// added to the services, unless one of that name is among them: a plugin that is to be wrong may answer
    /// Shutdown itself. Must be called within a runtime of tokio with its timers and sockets.
    /// SIGINT does nothing from then on: a terminal sends it to plugins, too.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was served, and the socket is gone.
    pub async fn serve(self, services: Services) -> Result<(), ServeError> {
        let (wire, told) = Wire::asked_for(self.invitation.client_cert.as_deref())?;
        let log = self.log("plugin")?;
        let mut interrupts = signal(SignalKind::interrupt()).map_err(|source| {
            let what = "SIGINT";
            ServeError::TakeOver { what, source }
        })?;
        let outlet = SharedOutlet::default();
        let services = self.all(services, &outlet).await?;
        let socket = Socket::listen_in(&self.invitation.socket_dir)?;
        self.shake_hands(socket.path(), told, &log)?;
        let captured = self.take_over(&outlet)?;

        let mut connections = JoinSet::new();
        let mut stop = Box::pin(self.stopped());
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = socket.accept() => match accepted {
                    Ok(stream) => {
                        let (stop, services) = (self.stopped(), services.clone());
                        let wire = wire.clone();
                        connections.spawn(wire.serve(stream, services, stop, log.clone()));
                    }
                    Err(error) => {
                        let error = error.to_string().into();
                        log.write(Level::Warn, "a host cannot be let in", [("error", error)]);
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = interrupts.recv() => {}
            }
        }
        // Who comes now finds nobody; who is there gets the answers.
        drop(socket);
        let end = async {
            for pump in captured.give_back() {
                drop(timeout(GRACE / 4, pump).await);
            }
            outlet.lock().end();
            while connections.join_next().await.is_some() {}
        };
        drop(timeout(GRACE, end).await);
        Ok(())
    }

    async fn all(&self, services: Services, outlet: &SharedOutlet) -> Result<Services, ServeError> {
        let (health, health_server) = tonic_health::server::health_reporter();
        health
            .set_service_status("plugin", ServingStatus::Serving)
            .await;
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let own = Services::new()
            .with(health_server)
            .with(describe().build_v1().map_err(ServeError::Describe)?)
            .with(describe().build_v1alpha().map_err(ServeError::Describe)?)
            .with(GrpcStdioServer::new(Stdio(outlet.clone())))
            .with(GrpcBrokerServer::new(Broker(self.stop.subscribe())))
            .with(GrpcControllerServer::new(Controller(self.stop.clone())));
        Ok(services.and_others(own))
    }

    fn shake_hands(
        &self,
        socket: &Path,
        certificate: Option<String>,
        log: &Log,
    ) -> Result<(), ServeError> {
        if !self.invitation.speaks(APP_VERSION) {
            // The host compares the versions itself, and says it better.
            let theirs = format!("{:?}", self.invitation.versions).into();
            let fields = [("ours", APP_VERSION.into()), ("theirs", theirs)];
            log.write(Level::Error, "the host speaks other versions", fields);
        }
        let line = Line {
            app_version: APP_VERSION,
            address: Address::Unix(socket.to_owned()),
            server_cert: certificate,
            multiplexes: self.invitation.asks_for_multiplexing.then_some(false),
        };
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(line.format().as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(ServeError::Handshake)
    }

    fn take_over(&self, outlet: &SharedOutlet) -> Result<Captured, ServeError> {
        let mut captured = Captured::default();
        let what = "standard output";
        captured
            .add(Channel::Stdout, outlet)
            .map_err(|source| ServeError::TakeOver { what, source })?;
        if self.capture == Capture::StdoutAndStderr {
            let what = "standard error";
            captured
                .add(Channel::Stderr, outlet)
                .map_err(|source| ServeError::TakeOver { what, source })?;
        }
        Ok(captured)
    }
}

/// Gives the value of a variable. A certificate that is no text is not as good as none: the host would take
/// a connection without encryption for its own mistake.
fn variable(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value),
        Err(VarError::NotUnicode(value)) if name == CLIENT_CERT => {
            Some(value.to_string_lossy().into_owned())
        }
        Err(VarError::NotUnicode(_) | VarError::NotPresent) => None,
    }
}
