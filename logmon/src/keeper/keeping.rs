//! Edge: what a logmon has kept for the case of its death, and who keeps it.
//!
//! Laws:
//! - What is to be kept is kept before the first byte is moved.
//! - The spare read end is opened on its own. The lock on the FIFO belongs to an opened FIFO and to all
//!   copies of its descriptor (flock(2)), so a copy of logmon's own would go on holding the lock after
//!   logmon's death. The bytes belong to the pipe, whichever end it is read by.
//! - When the keeper dies, another one is started and everything is deposited again.
//! - What logmon has drained is released; what it could not write stays kept for the next life.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fifo::Reader;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::client::Client;
use super::descriptor_store::DescriptorStore;
use super::error::KeeperError;
use super::key::Key;
use super::socket::Address;
use crate::relaunch;
use crate::watched::Watched;

/// How long a keeper may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(5);
/// The first pause between two tries to reach a keeper, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The keeper that serves at this path; it is started if there is none.
    Socket(PathBuf),
    /// The descriptor store of the service manager (`sd_notify(3)`, FDSTORE).
    Systemd,
}

impl Choice {
    /// Reads what stands on the command line: `systemd`, or the path of a socket.
    pub(crate) fn of_argument(text: PathBuf) -> Choice {
        if text.as_os_str() == "systemd" {
            Choice::Systemd
        } else {
            Choice::Socket(text)
        }
    }
}

/// What an earlier life left.
#[derive(Debug)]
pub(crate) struct Left {
    /// A read end of the FIFO that the path stood for then.
    pub(crate) reader: OwnedFd,
    /// The read end and the write end of the staging pipe, if there was one.
    pub(crate) staging: Option<(OwnedFd, OwnedFd)>,
}

/// What is kept of one stream.
#[derive(Debug)]
struct Kept {
    spare: Reader,
    /// Both ends of the staging pipe, or nothing.
    staging: Vec<OwnedFd>,
}

impl Kept {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let staging = self.staging.iter().map(AsFd::as_fd);
        std::iter::once(self.spare.as_fd()).chain(staging).collect()
    }

    /// How many bytes lie in the FIFO and in the staging pipe.
    fn waiting_bytes(&self) -> Result<usize, fifo::Error> {
        // One that can't be asked is no pipe of ours.
        let staged = self
            .staging
            .first()
            .map_or(0, |staging| fifo::fill_level(staging).unwrap_or_default());
        Ok(self.spare.fill_level()? + staged)
    }
}

/// Who keeps, as it is reached.
#[derive(Debug)]
enum Place {
    Keeper {
        address: Arc<Address>,
        /// None while the keeper is dead.
        client: Option<Client>,
        /// A keeper that this process has started; it is waited for when it is dead.
        child: Option<Child>,
    },
    Store(DescriptorStore),
}

impl Place {
    fn release(&mut self, key: &Key) -> Result<(), KeeperError> {
        match self {
            Place::Keeper {
                client: Some(client),
                ..
            } => client.release(key),
            Place::Keeper { .. } => Ok(()),
            Place::Store(store) => store.release(key),
        }
    }
}

#[derive(Debug)]
struct State {
    place: Place,
    kept: BTreeMap<Key, Kept>,
    /// What an earlier life has left: a task may rely on it.
    inherited: BTreeSet<Key>,
    /// What was not released at the end of its stream.
    left_bytes: usize,
}

/// Keeps the descriptors of streams somewhere else, too. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Keeping(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Arc<Mutex<State>>,
    /// Brings a dead keeper back.
    guard: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Reaches who keeps, and starts a keeper if there is none.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose I/O or time is not enabled.
    pub(crate) async fn open(choice: Choice) -> Result<Keeping, KeeperError> {
        let place = match choice {
            Choice::Systemd => Place::Store(DescriptorStore::open()?),
            Choice::Socket(path) => {
                let address = Arc::new(Address::open(&path)?);
                let mut child = None;
                let client = connect_or_start(&address, &mut child).await?;
                let client = Some(client);
                Place::Keeper {
                    address,
                    client,
                    child,
                }
            }
        };
        let is_process = matches!(place, Place::Keeper { .. });
        let state = Arc::new(Mutex::new(State {
            place,
            kept: BTreeMap::new(),
            inherited: BTreeSet::new(),
            left_bytes: 0,
        }));
        let guard = is_process.then(|| tokio::spawn(stand_by(state.clone())));
        Ok(Keeping(Arc::new(Shared { state, guard })))
    }

    /// Gives what an earlier life left for this FIFO. It stays kept.
    pub(crate) fn fetch(&self, fifo: &Path) -> Result<Option<Left>, KeeperError> {
        let key = key_of(fifo);
        let mut state = lock(&self.0.state);
        let descriptors = match &mut state.place {
            Place::Keeper {
                client: Some(client),
                ..
            } => client.fetch(&key)?,
            // The connection is lost. If nobody serves, the keeper has died, and left nothing.
            Place::Keeper { address, .. } => match Client::connect(address)? {
                Some(client) => client.fetch(&key)?,
                None => None,
            },
            Place::Store(store) => store.fetch(&key),
        };
        if descriptors.is_some() {
            state.inherited.insert(key);
        }
        Ok(descriptors.and_then(|descriptors| {
            let mut descriptors = descriptors.into_iter();
            let reader = descriptors.next()?;
            let staging = descriptors.next().zip(descriptors.next());
            Some(Left { reader, staging })
        }))
    }

    /// Has this spare read end of a FIFO kept, and these ends of its staging pipe, in place of what was
    /// kept for it before.
    pub(crate) fn hold(&self, spare: Reader, staging: Vec<OwnedFd>) -> Result<(), KeeperError> {
        let key = key_of(spare.path());
        let kept = Kept { spare, staging };
        let mut state = lock(&self.0.state);
        match &mut state.place {
            Place::Keeper {
                client: Some(client),
                ..
            } => client.deposit(&key, &kept.descriptors())?,
            // It gets everything as soon as it is back.
            Place::Keeper { .. } => {}
            Place::Store(store) => store.deposit(&key, &kept.descriptors())?,
        }
        state.kept.insert(key, kept);
        Ok(())
    }

    /// Takes back what this life has had kept, as it ends before it has begun to collect; what an earlier
    /// life left stays. The keeper ends if it then holds nothing.
    pub(crate) fn give_up(&self) {
        {
            let mut state = lock(&self.0.state);
            let State {
                place,
                kept,
                inherited,
                ..
            } = &mut *state;
            for key in kept.keys().filter(|key| !inherited.contains(key)) {
                if let Err(error) = place.release(key) {
                    debug!(error = chain(&error), "can't release what is kept");
                }
            }
            kept.clear();
        }
        self.end();
    }

    /// Takes back what this life has had kept for this FIFO, as its stream does not begin; what an earlier
    /// life left stays.
    pub(crate) fn take_back(&self, fifo: &Path) {
        let key = key_of(fifo);
        let mut state = lock(&self.0.state);
        state.kept.remove(&key);
        if !state.inherited.contains(&key)
            && let Err(error) = state.place.release(&key)
        {
            debug!(error = chain(&error), "can't release what is kept");
        }
    }

    /// Has nothing kept for this FIFO any more, as its stream is over, unless bytes wait in it: then they
    /// stay kept for the next life. Trouble is told, not returned.
    pub(crate) fn release(&self, fifo: &Path) {
        let key = key_of(fifo);
        let mut state = lock(&self.0.state);
        let waiting = state.kept.get(&key).map_or(Ok(0), Kept::waiting_bytes);
        if let Ok(waiting_bytes @ 1..) = waiting {
            state.left_bytes += waiting_bytes;
            warn!(fifo = %fifo.display(), waiting_bytes, "what was not written stays kept");
            return;
        }
        state.kept.remove(&key);
        if let Err(error) = state.place.release(&key) {
            warn!(fifo = %fifo.display(), error = chain(&error), "can't release what is kept");
        }
    }

    /// True when no FIFO that is kept has a byte or a process that could write one.
    pub(crate) fn is_deserted(&self) -> bool {
        lock(&self.0.state)
            .kept
            .values()
            .all(|kept| kept.spare.is_deserted().unwrap_or(false))
    }

    /// Ends the keeper if nothing is left in it and nobody else uses it; a dead one is not brought back any
    /// more. Gives how many bytes wait for the next life.
    pub(crate) fn end(&self) -> usize {
        if let Some(guard) = &self.0.guard {
            guard.abort();
        }
        let mut state = lock(&self.0.state);
        if let Place::Keeper { client, child, .. } = &mut state.place {
            match client.take().map(|client| client.end()) {
                Some(Ok(true)) => {
                    // It has said that it ends.
                    if let Some(mut child) = child.take() {
                        drop(child.wait());
                    }
                }
                Some(Ok(false)) => debug!("the keeper is still in use"),
                Some(Err(error)) => debug!(error = chain(&error), "the keeper was not told to end"),
                None => {}
            }
        }
        state.left_bytes
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(guard) = &self.guard {
            guard.abort();
        }
    }
}

/// Starts a keeper again each time it dies, and deposits everything again.
async fn stand_by(state: Arc<Mutex<State>>) {
    loop {
        if let Err(error) = until_it_is_gone(&state).await {
            warn!(error = chain(&error), "can't watch the keeper");
            sleep(LONGEST_PAUSE).await;
        }
        warn!("the keeper is gone; starting another one");
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        while let Err(error) = bring_back(&state).await {
            warn!(error = chain(&error), "can't bring the keeper back");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let took_us = begun.elapsed().as_micros();
        info!(took_us, "everything is kept again");
    }
}

async fn until_it_is_gone(state: &Mutex<State>) -> Result<(), KeeperError> {
    let watched = {
        let state = lock(state);
        let Place::Keeper {
            client: Some(client),
            ..
        } = &state.place
        else {
            return Ok(());
        };
        client
            .watchable()
            .and_then(Watched::new)
            .map_err(|source| KeeperError::Watch { source })?
    };
    watched
        .connection_closed()
        .await
        .map_err(|source| KeeperError::Watch { source })?;
    if let Place::Keeper { client, .. } = &mut lock(state).place {
        *client = None;
    }
    Ok(())
}

async fn bring_back(state: &Mutex<State>) -> Result<(), KeeperError> {
    let (address, mut child) = {
        let mut state = lock(state);
        match &mut state.place {
            Place::Keeper { address, child, .. } => (address.clone(), child.take()),
            Place::Store(_) => return Ok(()),
        }
    };
    let connected = connect_or_start(&address, &mut child).await;
    let mut state = lock(state);
    let State { place, kept, .. } = &mut *state;
    if let Place::Keeper {
        client, child: old, ..
    } = place
    {
        *old = child;
        let back = connected?;
        for (key, kept) in kept.iter() {
            back.deposit(key, &kept.descriptors())?;
        }
        *client = Some(back);
    }
    Ok(())
}

/// Connects to the keeper; starts one if nobody serves. `child` is the one started last, if any.
async fn connect_or_start(
    address: &Address,
    child: &mut Option<Child>,
) -> Result<Client, KeeperError> {
    let deadline = Instant::now() + START_LIMIT;
    let mut pause = FIRST_PAUSE;
    loop {
        let trouble = match Client::connect(address) {
            // A keeper may be about to end; one that answers stays for who is connected.
            Ok(Some(client)) => match client.ping() {
                Ok(keeper) => {
                    debug!(
                        pid = keeper.pid,
                        held = keeper.held,
                        "connected to the keeper"
                    );
                    return Ok(client);
                }
                Err(error @ KeeperError::Gone { .. }) => error,
                Err(error) => return Err(error),
            },
            Ok(None) => KeeperError::Silent {
                path: address.path(),
            },
            Err(error) => return Err(error),
        };
        if Instant::now() > deadline {
            return Err(trouble);
        }
        let is_starting = match child {
            Some(started) => matches!(started.try_wait(), Ok(None)),
            None => false,
        };
        if !is_starting {
            *child = Some(start(address).map_err(|source| KeeperError::Start { source })?);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn start(address: &Address) -> io::Result<Child> {
    let path = std::path::absolute(address.path())?;
    relaunch::command(["keeper".into(), "--socket".into(), path.into_os_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// The same key for the same path, whatever the current folder is and however its folder is reached.
fn key_of(fifo: &Path) -> Key {
    let absolute = std::path::absolute(fifo).unwrap_or_else(|_| fifo.to_owned());
    let folder = absolute
        .parent()
        .and_then(|folder| folder.canonicalize().ok());
    let whole = match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    };
    Key::of_fifo(&whole)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing between locking and unlocking leaves it half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
