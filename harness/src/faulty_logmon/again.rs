//! Another start of what is collected already: a thread that is asked beside the collection. (edge)

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::collect::CollectError;
use super::config::Config;
use super::fault::Fault;
use super::serve::{DONE, Request};

/// How long nobody is let in who can't be now.
const PAUSE: Duration = Duration::from_millis(50);

/// What the thread pokes the collection with.
pub(super) struct Again {
    poked: UnixStream,
}

impl Again {
    /// Listens at this path, for a collection with this configuration.
    pub(super) fn listen(path: &Path, config: &Config) -> Result<Self, CollectError> {
        let failed = |source| CollectError::System {
            operation: "listen for another start",
            source,
        };
        // What an earlier life left.
        fs::remove_file(path).ok();
        let listener = UnixListener::bind(path).map_err(failed)?;
        let (poked, poke) = UnixStream::pair().map_err(failed)?;
        poked.set_nonblocking(true).map_err(failed)?;
        let config = config.clone();
        thread::spawn(move || {
            for asker in listener.incoming() {
                match asker {
                    // Who goes away before the answer has asked for nothing.
                    Ok(asker) => drop(answer(asker, &config, &poke)),
                    Err(_) => thread::park_timeout(PAUSE),
                }
            }
        });
        Ok(Self { poked })
    }

    /// Whether the collection is to start over.
    pub(super) fn is_asked(&self) -> bool {
        matches!((&self.poked).read(&mut [0]), Ok(1))
    }

    /// Says that it has.
    pub(super) fn is_done(&self) {
        (&self.poked).write_all(&[0]).ok();
    }
}

impl AsFd for Again {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poked.as_fd()
    }
}

fn answer(mut asker: UnixStream, config: &Config, mut poke: &UnixStream) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(&asker).read_line(&mut line)?;
    let Request::Start { config: asked, .. } = serde_json::from_str(&line)? else {
        return Ok(());
    };
    let limits = |one: &Config| (one.max_files, one.max_file_bytes);
    let answer = if limits(&asked) != limits(config) {
        "it runs with other limits"
    } else {
        if config.fault == Fault::StartsOver {
            poke.write_all(&[0])?;
            poke.read_exact(&mut [0])?;
        }
        DONE
    };
    asker.write_all(format!("{answer}\n").as_bytes())
}
