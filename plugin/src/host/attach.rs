//! Finding a plugin again (edge). Its socket and the number of its process were saved; both may be
//! somebody else's by now.

use std::sync::Arc;

use super::connection;
use super::deadlines::Deadlines;
use super::error::HostError;
use super::identity::Birth;
use super::launch::Tasks;
use super::leftover::Leftover;
use super::output::{Listener, Said, Tail};
use super::plugin::{Parts, Plugin};
use super::process::{self, Process};
use super::wire::Wire;
use crate::handshake::Address;
use crate::reattach::Reattach;

/// How to find a plugin.
#[derive(Clone)]
pub struct Attach {
    reattach: Reattach,
    birth: Option<Birth>,
    deadlines: Deadlines,
    listener: Option<Listener>,
}

impl Attach {
    /// Gives the way to a plugin. Without the start of its process, as Nomad does not keep it, a later
    /// process of the same number that listens on the same socket is taken for it. A plugin that speaks TLS
    /// can't be found again; what was kept of one says so when it is read, see [`crate::reattach`].
    #[must_use]
    pub fn new(reattach: Reattach, birth: Option<Birth>) -> Self {
        Self {
            reattach,
            birth,
            deadlines: Deadlines::default(),
            listener: None,
        }
    }

    /// Sets how long each step may take.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets who hears what the plugin says over the connection. Its standard error is not to be had.
    #[must_use]
    pub fn listener(mut self, listener: impl Fn(Said) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Connects, after making sure that it is the plugin. There is no handshake.
    ///
    /// # Errors
    /// [`HostError`]; nobody was killed.
    pub async fn start(self) -> Result<Plugin, HostError> {
        let pid = self.reattach.pid;
        // Held from here on, so that the number stays whose it is while it is looked at.
        let process = Process::find(pid)?;
        let stat = process.stat()?;
        if stat.is_zombie {
            return Err(HostError::Vanished { pid });
        }
        if self.birth.is_some_and(|birth| birth != stat.birth) {
            let found = stat.name;
            return Err(HostError::Reused { pid, found });
        }
        let path = match &self.reattach.address {
            Address::Unix(path) => path.clone(),
            Address::Tcp(address) => {
                let address = address.clone();
                return Err(HostError::Network { address });
            }
        };
        let (stream, peer) = connection::connect(&path, self.deadlines.connect).await?;
        let peer = peer.unwrap_or_default();
        if peer != pid {
            let found = process::stat(peer).map_or_else(|_| "unknown".to_owned(), |stat| stat.name);
            return Err(HostError::Stranger {
                path,
                pid: peer,
                found,
                expected: pid,
            });
        }
        let (connection, task) =
            connection::speak(stream, &Wire::Plain, path, self.deadlines.connect).await?;
        let mut tasks = Tasks::none();
        tasks.push(task);
        process.take();
        let leftover = Leftover::of(&self.reattach.address, process);
        Ok(Plugin::new(Parts {
            reattach: self.reattach,
            leftover,
            birth: stat.birth,
            is_encrypted: false,
            connection,
            tail: Tail::none(),
            listener: self.listener,
            deadlines: self.deadlines,
            tasks,
        }))
    }
}
