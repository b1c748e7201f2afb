//! Follows a payload's journal while it grows. (edge, with a core that takes in lines)

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mock_driver::journal::{self, Event, Role};
use mock_driver::stream::Stream;

/// The mark that a payload sets before it waits at a gate.
pub(super) const GATE_MARK: &str = "waits at gate ";

/// What a journal has said so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The process that keeps it, and its part.
    pub(super) writer: Option<(i32, Role)>,
    /// Bytes taken so far, per stream.
    pub(super) written: [u64; 2],
    /// The gate that it waits at.
    pub(super) gate: Option<String>,
    /// Whether it has said that it is about to end.
    pub(super) ended: bool,
    /// Lines so far; to see whether anything happens.
    pub(super) lines: u64,
}

impl Progress {
    /// Bytes taken so far on a stream.
    pub(super) fn of(&self, stream: Stream) -> u64 {
        self.written[stream.index()]
    }

    fn take(&mut self, event: Event) {
        self.lines += 1;
        match event {
            Event::Hello { pid, role, .. } => {
                let pid = i32::try_from(pid).ok();
                // A driver that plays keeps its journal with its own task as a second process.
                if self.writer.is_none() || role == Role::Task {
                    self.writer = pid.map(|pid| (pid, role));
                }
            }
            Event::Wrote { stream, end, .. } => self.written[stream.index()] = end,
            Event::Mark { name } => {
                if let Some(gate) = name.strip_prefix(GATE_MARK) {
                    self.gate = Some(gate.to_owned());
                }
            }
            Event::Gate { .. } => self.gate = None,
            Event::Exit { .. } => self.ended = true,
            Event::Blocked { .. }
            | Event::Error { .. }
            | Event::Opened { .. }
            | Event::Closed { .. } => {}
        }
    }
}

/// A journal's file and how far it was read.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
    /// What the lines said.
    pub(super) progress: Progress,
}

impl Tail {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
            partial: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Reads what is new. A file that is not there yet has nothing new; a line that is none is left
    /// to the judge, who reads the whole file.
    pub(super) fn read(&mut self) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        let mut fresh = Vec::new();
        if file.seek(SeekFrom::Start(self.offset)).is_err() || file.read_to_end(&mut fresh).is_err()
        {
            return;
        }
        self.offset += fresh.len() as u64;
        self.partial.extend_from_slice(&fresh);
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            return;
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        for line in String::from_utf8_lossy(&whole).lines() {
            if let Ok(line) = journal::parse_line(line) {
                self.progress.take(line.event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_growing_journal_is_followed_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut tail = Tail::new(&path);
        tail.read();
        let mut file = File::create(&path).unwrap();
        file.write_all(b"{\"at_us\":1,\"ev\":\"wrote\",\"stream\":\"stderr\",\"end\":7,\"bytes\":7}\n{\"at_us\":2,\"ev\":\"ma").unwrap();
        tail.read();
        assert_eq!(tail.progress.written, [0, 7]);
        assert_eq!((tail.progress.lines, &tail.progress.gate), (1, &None));
        file.write_all(b"rk\",\"name\":\"waits at gate go\"}\n")
            .unwrap();
        tail.read();
        assert_eq!(tail.progress.gate.as_deref(), Some("go"));
        file.write_all(b"{\"at_us\":3,\"ev\":\"gate\",\"name\":\"go\"}\n{\"at_us\":4,\"ev\":\"exit\",\"code\":0}\n").unwrap();
        tail.read();
        assert_eq!((&tail.progress.gate, tail.progress.ended), (&None, true));
    }
}
