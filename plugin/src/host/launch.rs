//! Starting a plugin (edge): its environment, its handshake, its connection.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection;
use super::deadlines::Deadlines;
use super::error::HostError;
use super::leftover::Leftover;
use super::output::{self, FirstLine, Listener, Said, Tail};
use super::plugin::{Parts, Plugin};
use super::process::Process;
use super::tap::{Tap, Tapped};
use super::wire::Offer;
use crate::handshake::{
    Address, CLIENT_CERT, Line, LineError, MULTIPLEX_GRPC, SOCKET_DIR, environment,
};
use crate::reattach::Reattach;

/// How to start a plugin.
#[derive(Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    has_own_group: bool,
    deadlines: Deadlines,
    listener: Option<Listener>,
    tap: Option<Tap>,
    #[cfg(feature = "tls")]
    is_encrypted: bool,
}

impl Launch {
    /// Gives the start of a program without arguments, in the environment of this process and with
    /// nothing on its standard input.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            has_own_group: false,
            deadlines: Deadlines::default(),
            listener: None,
            tap: None,
            #[cfg(feature = "tls")]
            is_encrypted: false,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable. Those of the handshake win over it.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Has the plugin make its socket in this folder. Older servers of go-plugin know the variable `TMPDIR` only, so
    /// that names the folder, too, and the plugin's temporary files go there.
    ///
    /// A plugin that ends before it has told its socket leaves it, and nobody but the owner of the folder can
    /// remove it then. One that is to be found again needs its folder for as long as it lives, so no folder is made
    /// and removed here. The path of a socket has at most 107 bytes, see unix(7).
    #[must_use]
    pub fn socket_folder(self, folder: impl Into<OsString>) -> Self {
        let folder = folder.into();
        self.variable(SOCKET_DIR, &folder)
            .variable("TMPDIR", folder)
    }

    /// Starts it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Starts it in a process group of its own, so that a terminal's signals are for this process alone.
    #[must_use]
    pub fn group_of_its_own(mut self) -> Self {
        self.has_own_group = true;
        self
    }

    /// Sets how long each step may take.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Asks the plugin to speak TLS, as Nomad never does. Both sides show a certificate that they made for this
    /// start, and take no other. Such a plugin can't be found again by [`Attach`](super::Attach).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// Sets who hears what the plugin says. While it runs nothing more is read, so it must not wait.
    #[must_use]
    pub fn listener(mut self, listener: impl Fn(Said) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Sets who is told of each message in both directions, for a transcript. It must not wait.
    #[must_use]
    pub fn tap(mut self, tap: impl Fn(Tapped<'_>) + Send + Sync + 'static) -> Self {
        self.tap = Some(Arc::new(tap));
        self
    }

    /// Starts the plugin, shakes hands, connects, and opens the two streams that a host opens. Must be called
    /// within a runtime of tokio with its timers and sockets.
    ///
    /// # Errors
    /// [`HostError`], which names the step; the process is dead then.
    ///
    /// # Cancel safety
    /// The process is killed.
    pub async fn start(self) -> Result<Plugin, HostError> {
        let offer = self.offer()?;
        let mut started = self.spawn(offer.certificate())?;
        let (bytes, rest) = started.hear_a_line(&self.deadlines).await?;
        let line = match Line::parse(&bytes) {
            Ok(line) => line,
            Err(source) => return Err(started.misspoke(&bytes, source)),
        };
        let wire = offer.answered(&line, || started.tail.words());
        // From here on the socket goes with the process, also if there is no connection to be had.
        let leftover = Leftover::of(&line.address, started.process);
        let wire = wire?;
        let path = match line.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => return Err(HostError::Network { address }),
        };
        started.tasks.push(tokio::spawn(output::drain(
            started.stdout,
            rest,
            self.listener.clone(),
        )));
        let (stream, _) = connection::connect(&path, self.deadlines.connect).await?;
        let (connection, task) =
            connection::speak(stream, &wire, path.clone(), self.deadlines.connect).await?;
        started.tasks.push(task);
        let birth = leftover.process.stat()?.birth;
        Ok(Plugin::new(Parts {
            reattach: Reattach {
                address: Address::Unix(path),
                pid: leftover.process.pid(),
            },
            leftover,
            birth,
            is_encrypted: wire.is_encrypted(),
            connection: connection.with_tap(self.tap),
            tail: started.tail,
            listener: self.listener,
            deadlines: self.deadlines,
            tasks: started.tasks,
        }))
    }

    #[cfg(feature = "tls")]
    fn offer(&self) -> Result<Offer, HostError> {
        if self.is_encrypted {
            Offer::of_tls()
        } else {
            Ok(Offer::Plain)
        }
    }

    #[cfg(not(feature = "tls"))]
    fn offer(&self) -> Result<Offer, HostError> {
        Ok(Offer::Plain)
    }

    fn spawn(&self, certificate: Option<String>) -> Result<Started, HostError> {
        let failed = |source| HostError::Start {
            program: self.program.clone(),
            source,
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            // What a host of this very process asked of it is not asked of the plugin.
            .env_remove(CLIENT_CERT)
            .env_remove(MULTIPLEX_GRPC)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(environment())
            .envs(certificate.map(|pem| (CLIENT_CERT, pem)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if self.has_own_group {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).expect("a pid is positive and fits");
        let process = Process::of_child(pid).inspect_err(|_| {
            // Nothing else holds it. That it is gone already is as good.
            drop(child.kill());
            drop(child.wait());
        })?;
        let stdout = child.stdout.take().expect("it was asked for");
        let stderr = child.stderr.take().expect("it was asked for");
        let receiver = |fd: OwnedFd| pipe::Receiver::from_owned_fd(fd).map_err(failed);
        let stdout = receiver(stdout.into())?;
        let tail = Tail::coming();
        let log = output::read_log(
            receiver(stderr.into())?,
            tail.clone(),
            self.listener.clone(),
        );
        Ok(Started {
            process,
            stdout,
            tail,
            tasks: Tasks(vec![tokio::spawn(log)]),
        })
    }
}

/// Tasks that end when this is dropped.
pub(super) struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    pub(super) fn push(&mut self, task: JoinHandle<()>) {
        self.0.push(task);
    }

    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// A plugin whose hands were not shaken.
struct Started {
    process: Process,
    stdout: pipe::Receiver,
    tail: Tail,
    tasks: Tasks,
}

impl Started {
    /// Gives the first line of standard output, and what was read behind it.
    async fn hear_a_line(
        &mut self,
        deadlines: &Deadlines,
    ) -> Result<(Vec<u8>, Vec<u8>), HostError> {
        let within = deadlines.handshake;
        let (first, rest) = match self.hear(within).await {
            Some(heard) => heard,
            None => {
                let words = self.tail.words();
                return Err(HostError::HandshakeDeadline { within, words });
            }
        };
        match first {
            FirstLine::Line(bytes) => Ok((bytes, rest)),
            FirstLine::Closed => Err(match self.process.end_within(deadlines.exit).await {
                Some(end) => {
                    let words = self.tail.last_words().await;
                    HostError::HandshakeEnd { end, words }
                }
                None => {
                    let words = self.tail.words();
                    HostError::HandshakeClosed { words }
                }
            }),
        }
    }

    /// Ends a plugin whose line is no handshake, and removes the socket if the line names it all the same.
    fn misspoke(self, line: &[u8], source: LineError) -> HostError {
        let words = self.tail.words();
        if let Some(path) = Line::socket(line) {
            drop(Leftover::of(&Address::Unix(path), self.process));
        }
        HostError::HandshakeLine { source, words }
    }

    /// Gives the first line. A child of the plugin may hold standard output open behind its end.
    async fn hear(&mut self, within: std::time::Duration) -> Option<(FirstLine, Vec<u8>)> {
        let heard = async {
            tokio::select! {
                biased;
                heard = output::first_line(&mut self.stdout) => heard,
                () = self.process.ended() => (FirstLine::Closed, Vec::new()),
            }
        };
        timeout(within, heard).await.ok()
    }
}
