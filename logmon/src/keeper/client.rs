//! Edge: one connection to a keeper. Each question waits for its answer, and not for long.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::KeeperError;
use super::key::Key;
use super::socket::{Address, Packet, receive, send};
use super::wire::{Refusal, Reply, Request};

/// How long an answer may take. A keeper answers within microseconds unless it is stopped.
const LIMIT: Duration = Duration::from_secs(1);

/// A connection to a living keeper.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    path: PathBuf,
    pid: i32,
}

/// Who is at the other end, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeper {
    /// Its process.
    pub(crate) pid: i32,
    /// How many streams it holds.
    pub(crate) held: u32,
    /// The processes that use it.
    pub(crate) users: Vec<i32>,
}

/// Asks the keeper that serves at this path who it is; gives none if nobody serves.
pub(crate) fn keeper_at(socket: &Path) -> Result<Option<Keeper>, KeeperError> {
    match Client::connect(&Address::open(socket)?)? {
        Some(client) => match client.ping() {
            // It has just ended, as nobody needed it.
            Err(KeeperError::Gone { .. }) => Ok(None),
            answer => answer.map(Some),
        },
        None => Ok(None),
    }
}

/// Names what the keeper at this path holds, in order; gives none if nobody serves.
pub(crate) fn held_at(socket: &Path) -> Result<Option<Vec<(Key, u8)>>, KeeperError> {
    Client::connect(&Address::open(socket)?)?
        .map(|client| client.list())
        .transpose()
}

impl Client {
    /// Connects to the keeper that serves here; gives none if nobody does.
    pub(crate) fn connect(address: &Address) -> Result<Option<Client>, KeeperError> {
        let path = address.path();
        Ok(address
            .connect()?
            .map(|(socket, pid)| Client { socket, path, pid }))
    }

    /// Asks who is there.
    pub(crate) fn ping(&self) -> Result<Keeper, KeeperError> {
        let reply = self.ask(&Request::Ping, &[])?.0;
        let Reply::Pong { held, users } = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(Keeper {
            pid: self.pid,
            held,
            users,
        })
    }

    /// Has descriptors held under a key, in place of what it stood for.
    pub(crate) fn deposit(
        &self,
        key: &Key,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), KeeperError> {
        let request = Request::Deposit {
            key: key.clone(),
            descriptors: u8::try_from(descriptors.len()).unwrap_or(u8::MAX),
        };
        let reply = self.ask(&request, descriptors)?.0;
        if reply == Reply::Done {
            Ok(())
        } else {
            Err(self.unexpected(&reply))
        }
    }

    /// Gives copies of what is held under a key, in the order of the deposit; none if nothing is.
    pub(crate) fn fetch(&self, key: &Key) -> Result<Option<Vec<OwnedFd>>, KeeperError> {
        let (reply, descriptors) = self.ask(&Request::Fetch { key: key.clone() }, &[])?;
        if matches!(reply, Reply::Held { .. }) {
            Ok(Some(descriptors))
        } else if reply == Reply::NotHeld {
            Ok(None)
        } else {
            Err(self.unexpected(&reply))
        }
    }

    /// Has what is held under a key closed. It is no error if nothing is.
    pub(crate) fn release(&self, key: &Key) -> Result<(), KeeperError> {
        let reply = self.ask(&Request::Release { key: key.clone() }, &[])?.0;
        if reply == Reply::Done || reply == Reply::NotHeld {
            Ok(())
        } else {
            Err(self.unexpected(&reply))
        }
    }

    /// Names all that is held, in order, with the number of descriptors.
    pub(crate) fn list(&self) -> Result<Vec<(Key, u8)>, KeeperError> {
        let mut keys: Vec<(Key, u8)> = Vec::new();
        loop {
            let after = keys.last().map(|(key, _)| key.clone());
            let request = Request::List {
                after: after.clone(),
            };
            let reply = self.ask(&request, &[])?.0;
            let Reply::Keys(next) = reply else {
                return Err(self.unexpected(&reply));
            };
            let Some((first, _)) = next.first() else {
                return Ok(keys);
            };
            if Some(first) <= after.as_ref() {
                return Err(self.strange());
            }
            keys.extend(next);
        }
    }

    /// Has the keeper end, if it holds nothing and nobody else is connected; gives whether it does.
    pub(crate) fn end(&self) -> Result<bool, KeeperError> {
        let reply = self.ask(&Request::End, &[])?.0;
        if reply == Reply::Done {
            Ok(true)
        } else if reply == Reply::Refused(Refusal::InUse) {
            Ok(false)
        } else {
            Err(self.unexpected(&reply))
        }
    }

    /// A second descriptor of the connection, to watch for its end.
    pub(crate) fn watchable(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), KeeperError> {
        let answer = self.exchange(request, descriptors);
        if answer.is_err() {
            // A late answer would be taken for that of the next question, so there is none; whoever
            // watches the connection sees its end.
            let _over: rustix::io::Result<()> =
                rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        }
        answer
    }

    fn exchange(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), KeeperError> {
        let gone = |source| KeeperError::Gone {
            path: self.path.clone(),
            source,
        };
        send(&self.socket, &request.encode(), descriptors).map_err(gone)?;
        let packet = self.next_packet(Instant::now() + LIMIT)?;
        let reply = Reply::decode(&packet.bytes).map_err(|_| self.strange())?;
        let announced = match &reply {
            Reply::Held { descriptors } => usize::from(*descriptors),
            Reply::Pong { .. }
            | Reply::Done
            | Reply::NotHeld
            | Reply::Keys(_)
            | Reply::Refused(_) => 0,
        };
        if packet.is_cut || packet.descriptors.len() != announced {
            // The limit of open files is reached, here and not there.
            return Err(gone(Errno::EMFILE.into()));
        }
        Ok((reply, packet.descriptors))
    }

    fn next_packet(&self, deadline: Instant) -> Result<Packet, KeeperError> {
        let gone = |source| KeeperError::Gone {
            path: self.path.clone(),
            source,
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KeeperError::Silent {
                    path: self.path.clone(),
                });
            }
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(gone(errno.into())),
            }
            match receive(&self.socket) {
                Ok(packet) if packet.bytes.is_empty() => {
                    return Err(gone(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(packet) => return Ok(packet),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(gone(error)),
            }
        }
    }

    fn unexpected(&self, reply: &Reply) -> KeeperError {
        match reply {
            Reply::Refused(refusal) => KeeperError::Refused {
                path: self.path.clone(),
                why: refusal.to_string(),
            },
            Reply::Pong { .. }
            | Reply::Done
            | Reply::Held { .. }
            | Reply::NotHeld
            | Reply::Keys(_) => self.strange(),
        }
    }

    fn strange(&self) -> KeeperError {
        KeeperError::Strange {
            path: self.path.clone(),
        }
    }
}
