//! Notices when a FIFO is closed by somebody who could write to it. (edge)

use std::path::Path;

use mock_driver::stream::Stream;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::stage::Stage;
use crate::observe::now_us;
use crate::trace::Event;

/// A watch on both FIFOs: `inotify(7)` tells of each close of a file opened for writing, by whomever.
pub(super) struct Closings {
    inotify: Inotify,
    watches: [WatchDescriptor; 2],
    /// When the last look was begun: what happened before has been told.
    looked_us: u64,
}

impl Closings {
    /// Watches from here on. The FIFOs must be there.
    pub(super) fn watch(paths: [&Path; 2]) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let watch = |path| inotify.add_watch(path, AddWatchFlags::IN_CLOSE_WRITE);
        let [stdout, stderr] = paths;
        let watches = [watch(stdout)?, watch(stderr)?];
        Ok(Self {
            inotify,
            watches,
            looked_us: now_us(),
        })
    }

    /// The stream of each close since the last call, oldest first.
    fn take(&self) -> nix::Result<Vec<Stream>> {
        let mut closed = Vec::new();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(closed),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            let is_lost = |event: &InotifyEvent| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
            if events.iter().any(is_lost) {
                return Err(Errno::EOVERFLOW);
            }
            let written = events
                .iter()
                .filter(|event| event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE));
            closed.extend(written.filter_map(|event| {
                let is_of = |stream: &Stream| self.watches[stream.index()] == event.wd;
                Stream::BOTH.into_iter().find(is_of)
            }));
        }
    }
}

impl Stage {
    /// Records the closes since the last time.
    pub(super) fn note_closings(&mut self) {
        let Some(closings) = &mut self.closings else {
            return;
        };
        let now = now_us();
        let after_us = std::mem::replace(&mut closings.looked_us, now);
        match closings.take() {
            Ok(closed) => {
                for stream in closed {
                    self.trace.add(Event::WriteEndClosed { stream, after_us });
                }
            }
            Err(errno) => {
                self.closings = None;
                self.suite_error(&format!("watch the FIFOs: {errno}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fifo::{Reader, Writer};

    #[test]
    fn each_close_of_a_writer_is_told_and_a_readers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["out", "err"].map(|name| folder.path().join(name));
        for path in &paths {
            fifo::create(path, 0o600).unwrap();
        }
        let closings = Closings::watch([&paths[0], &paths[1]]).unwrap();
        let readers = paths.each_ref().map(|path| Reader::open(path).unwrap());
        assert_eq!(closings.take(), Ok(vec![]));
        for path in [&paths[1], &paths[0], &paths[1]] {
            drop(Writer::try_open(path).unwrap());
        }
        drop(readers);
        assert_eq!(
            closings.take(),
            Ok(vec![Stream::Stderr, Stream::Stdout, Stream::Stderr])
        );
        assert_eq!(closings.take(), Ok(vec![]));
    }
}
