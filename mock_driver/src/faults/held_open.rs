//! Descriptors of the FIFOs that a driver has no need for: an edge.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fifo::Writer;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::opening;
use crate::fault::Policy;

/// How long the fault waits for a reader whose FIFO it can leak.
const READER_WITHIN: Duration = Duration::from_secs(1);

/// Opens both FIFOs by a blocking open(2), one after the other. A stop is not looked at until
/// both have a reader.
pub(crate) fn both_blocking(paths: [&Path; 2]) -> Result<Vec<OwnedFd>> {
    let open = |path: &Path| {
        open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
            .with_context(|| format!("cannot open {}", path.display()))
    };
    paths.into_iter().map(open).collect()
}

/// Whether somebody reads both FIFOs.
pub(crate) fn are_read(paths: &[impl AsRef<Path>; 2]) -> bool {
    paths.iter().all(|path| Writer::try_open(path).is_ok())
}

/// Opens what stands at both paths as a driver does that follows links: where nobody reads, it fails
/// (ENXIO, fifo(7)).
pub(crate) fn both_through_links(paths: [&Path; 2]) -> Result<Vec<OwnedFd>> {
    let open = |path: &Path| {
        let fd =
            opening::anything(path).with_context(|| format!("cannot open {}", path.display()))?;
        let facts = fstat(&fd).with_context(|| format!("cannot look at {}", path.display()))?;
        let kind = SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT;
        ensure!(kind == SFlag::S_IFIFO, "{} is no FIFO", path.display());
        Ok(fd)
    };
    paths.into_iter().map(open).collect()
}

/// A descriptor of the FIFO that the task inherits beside its own, if the policy says so and
/// somebody reads.
pub(crate) fn for_the_task(policy: &Policy, path: &Path) -> Result<Vec<OwnedFd>> {
    if !policy.task_gets_fifo {
        return Ok(Vec::new());
    }
    inheritable(path)
}

/// A descriptor of a task's FIFO that whoever is started later inherits, if this is the fault and somebody reads.
pub(crate) fn for_the_next_task(leaks: bool, path: &Path) -> Vec<OwnedFd> {
    if !leaks {
        return Vec::new();
    }
    inheritable(path).unwrap_or_default()
}

fn inheritable(path: &Path) -> Result<Vec<OwnedFd>> {
    let Ok(writer) = Writer::open_within(path, READER_WITHIN) else {
        return Ok(Vec::new());
    };
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot share the FIFO")?;
    Ok(vec![writer.into()])
}
