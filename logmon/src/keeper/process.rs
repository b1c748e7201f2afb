//! Edge: the keeper's process. It waits for logmons, holds what they deposit and gives it back.
//!
//! It reads nothing and writes nothing of what passes through the pipes. It has one thread and no
//! runtime, so that little can go wrong in it and little memory is used while it waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::KeeperError;
use super::shelf::{Need, Shelf};
use super::socket::{Address, Listener, Packet, receive, send};
use super::wire::{Malformed, Refusal, Reply, Request};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;

/// A process that is connected.
#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    pid: i32,
    /// True once it has deposited or fetched.
    is_user: bool,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Stays,
    Closes,
    /// The keeper itself ends.
    Ends,
}

#[derive(Debug)]
struct Keeper {
    listener: Listener,
    connections: Vec<Connection>,
    shelf: Shelf<OwnedFd>,
    need: Need,
    started: Instant,
}

/// Serves at this path until nobody needs it any more. `ready` is called when it listens.
pub(crate) fn run(path: &Path, ready: impl FnOnce()) -> Result<(), KeeperError> {
    // A session of its own: what happens to the terminal or the group of who started it is not for it.
    // It fails for the leader of a group, which has been given a group of its own by somebody.
    let _session: nix::Result<nix::unistd::Pid> = nix::unistd::setsid();
    raise_limit();
    let listener = Address::open(path)?.serve()?;
    // It must not keep a folder busy for as long as it lives.
    let _moved: nix::Result<()> = nix::unistd::chdir("/");
    ready();
    Keeper {
        listener,
        connections: Vec::new(),
        shelf: Shelf::new(),
        need: Need::default(),
        started: Instant::now(),
    }
    .serve()
}

/// Three descriptors for each stream are soon more than the usual 1,024.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With a lower limit a deposit too much is refused, by name.
    let _raised: rustix::io::Result<()> = setrlimit(Resource::Nofile, raised);
}

impl Keeper {
    fn serve(mut self) -> Result<(), KeeperError> {
        loop {
            let stays = self.need.stays(
                self.shelf.len(),
                self.connections.len(),
                self.started.elapsed(),
            );
            let timeout = match stays {
                None => PollTimeout::NONE,
                Some(left) if left.is_zero() => return Ok(()),
                Some(left) => {
                    let left_ms = left.as_millis() + 1;
                    PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX)
                }
            };
            let ready = self.wait(timeout).map_err(|errno| KeeperError::Serve {
                path: self.listener.path(),
                source: errno.into(),
            })?;
            // From the last to the first, so that the numbers of those to come stay as they are.
            for number in (0..self.connections.len()).rev() {
                if !ready[number + 1] {
                    continue;
                }
                match self.hear(number) {
                    Next::Stays => {}
                    Next::Closes => drop(self.connections.swap_remove(number)),
                    Next::Ends => return Ok(()),
                }
            }
            if ready[0] {
                self.accept();
            }
        }
    }

    /// Waits; gives what is ready: the listener, then the connections.
    fn wait(&self, timeout: PollTimeout) -> nix::Result<Vec<bool>> {
        let may_accept = if self.connections.len() < MAX_CONNECTIONS {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        let mut waiting = vec![PollFd::new(self.listener.as_fd(), may_accept)];
        for connection in &self.connections {
            waiting.push(PollFd::new(connection.socket.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(waiting
            .iter()
            .map(|one| one.any().unwrap_or(false))
            .collect())
    }

    fn accept(&mut self) {
        // Short of descriptors or memory it is tried again with the next event.
        if let Ok(Some((socket, pid))) = self.listener.accept() {
            self.connections.push(Connection {
                socket,
                pid,
                is_user: false,
            });
        }
    }

    /// Takes one request and answers it.
    fn hear(&mut self, number: usize) -> Next {
        let packet = match receive(&self.connections[number].socket) {
            Ok(packet) => packet,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Stays,
            Err(_) => return Next::Closes,
        };
        if packet.bytes.is_empty() {
            return Next::Closes;
        }
        match Request::decode(&packet.bytes) {
            Ok(Request::Fetch { key }) => {
                self.connections[number].is_user = true;
                let connection = &self.connections[number];
                match self.shelf.get(&key) {
                    Some(held) => {
                        let held: Vec<BorrowedFd<'_>> = held.iter().map(AsFd::as_fd).collect();
                        let descriptors = u8::try_from(held.len()).unwrap_or(u8::MAX);
                        answer(connection, &Reply::Held { descriptors }, &held)
                    }
                    None => answer(connection, &Reply::NotHeld, &[]),
                }
            }
            Ok(Request::End) => {
                let is_in_use = self.shelf.len() > 0 || self.connections.len() > 1;
                let (reply, next) = if is_in_use {
                    (Reply::Refused(Refusal::InUse), Next::Stays)
                } else {
                    (Reply::Done, Next::Ends)
                };
                match answer(&self.connections[number], &reply, &[]) {
                    Next::Stays => next,
                    other @ (Next::Closes | Next::Ends) => other,
                }
            }
            Ok(request) => {
                let reply = self.handle(number, request, packet);
                answer(&self.connections[number], &reply, &[])
            }
            Err(Malformed::Version(_)) => {
                let reply = Reply::Refused(Refusal::OtherVersion);
                answer(&self.connections[number], &reply, &[])
            }
            Err(Malformed::Unreadable) => Next::Closes,
        }
    }

    fn handle(&mut self, number: usize, request: Request, packet: Packet) -> Reply {
        match request {
            Request::Ping => Reply::Pong {
                held: u32::try_from(self.shelf.len()).unwrap_or(u32::MAX),
                users: self
                    .connections
                    .iter()
                    .filter(|connection| connection.is_user)
                    .map(|connection| connection.pid)
                    .collect(),
            },
            Request::Deposit { key, descriptors } => {
                self.connections[number].is_user = true;
                if packet.is_cut || packet.descriptors.len() != usize::from(descriptors) {
                    return Reply::Refused(Refusal::Descriptors);
                }
                self.shelf.deposit(key, packet.descriptors)
            }
            Request::Release { key } => self.shelf.release(&key),
            Request::List { after } => self.shelf.list(after.as_ref()),
            Request::Fetch { .. } | Request::End => Reply::Refused(Refusal::Unreadable),
        }
    }
}

/// Answers; whoever does not take the answer is not served any more.
fn answer(connection: &Connection, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> Next {
    match send(&connection.socket, &reply.encode(), descriptors) {
        Ok(()) => Next::Stays,
        Err(_) => Next::Closes,
    }
}
