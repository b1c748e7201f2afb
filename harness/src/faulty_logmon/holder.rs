//! Holds FIFOs open while their logmon is dead: a process of its own. (edge)
//!
//! Each life of a logmon starts another holder, which writes its number into a file once it holds the
//! FIFOs; the one before sees that, and ends. It ends as well when the file is gone, which is how a
//! logmon that was stopped sends it away, and when no other life has come for a while.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fifo::Reader;
use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::unistd::getppid;

use super::collect::{CollectError, system};

/// How often a holder looks whether it is still needed.
const LOOK_MS: u16 = 10;
/// How long it waits for the next life.
const DESERTED: Duration = Duration::from_secs(10);

/// Starts a holder of these FIFOs that is known by the file at `mark`, and waits until it holds them.
pub(super) fn start(fifos: &[&Path], mark: &Path) -> Result<(), CollectError> {
    let failed = |source| CollectError::System {
        operation: "start a holder",
        source,
    };
    let mut holder = Command::new("/proc/self/exe")
        .args(["faulty-logmon", "none", "hold", "--mark"])
        .arg(mark)
        .args(fifos)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(said) = holder.stdout.take() {
        BufReader::new(said).read_line(&mut line).map_err(failed)?;
    }
    if line == "holds\n" {
        Ok(())
    } else {
        Err(failed(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Sends the holder away that is known by this file.
pub(super) fn dismiss(mark: &Path) {
    // One that can't be told ends when no other life comes.
    fs::remove_file(mark).ok();
}

/// The holder's process: opens the FIFOs, says so, and waits until it is needed no more.
pub(super) fn hold(fifos: &[PathBuf], mark: &Path) -> Result<(), CollectError> {
    let opened: Result<Vec<Reader>, fifo::Error> = fifos.iter().map(Reader::open).collect();
    let _held = opened.map_err(CollectError::Fifo)?;
    let failed = |source| CollectError::System {
        operation: "take the place of the last holder",
        source,
    };
    let logmon = getppid();
    let own = std::process::id().to_string();
    let written = mark.with_extension(&own);
    fs::write(&written, &own)
        .and_then(|()| fs::rename(&written, mark))
        .map_err(failed)?;
    println!("holds");
    io::stdout().flush().map_err(failed)?;
    let is_last = || fs::read_to_string(mark).is_ok_and(|last| last == own);
    let mut alone_since: Option<Instant> = None;
    while is_last() && alone_since.is_none_or(|since| since.elapsed() < DESERTED) {
        match poll(&mut [], PollTimeout::from(LOOK_MS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("wait")(errno)),
        }
        if getppid() != logmon {
            alone_since.get_or_insert_with(Instant::now);
        }
    }
    Ok(())
}
