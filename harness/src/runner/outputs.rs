//! Bounds and counts what a subject prints itself. (edge)

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that a subject may print before its output is cut.
const LIMIT: u64 = 4 << 20;
/// Bytes that are kept of it.
const KEPT: u64 = 64 << 10;
/// So many bytes of one line count as a line: who never ends one prints all the same.
const LONG_LINE: usize = 4_096;
/// What stands at the end of an output that was cut.
const CUT_OFF: &[u8] = b"\n[harness: what followed was cut off]\n";

/// The lines of every output so far, also of what was cut off.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    counted: BTreeMap<PathBuf, Counted>,
}

/// How far an output was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Bytes of the file that were looked at.
    bytes: u64,
    lines: u64,
    /// Bytes of the open line that have not counted as one.
    open: usize,
}

impl Outputs {
    /// The lines that were printed into a file since it was made; 0 if it can't be read.
    pub(super) fn lines(&mut self, path: &Path) -> u64 {
        let counted = self.counted.entry(path.to_owned()).or_default();
        // What could be read counts; the rest is read at the next look.
        count(path, counted).ok();
        counted.lines
    }

    /// Cuts a file that is too large down to its beginning, which is what messages quote, and says so
    /// at its end. Its lines count on.
    pub(super) fn bound(&mut self, path: &Path) -> io::Result<()> {
        if fs::metadata(path)?.len() > LIMIT {
            self.lines(path);
            let mut file = File::options().append(true).open(path)?;
            file.set_len(KEPT)?;
            file.write_all(CUT_OFF)?;
            let counted = self.counted.entry(path.to_owned()).or_default();
            counted.bytes = KEPT + CUT_OFF.len() as u64;
        }
        Ok(())
    }
}

fn count(path: &Path, counted: &mut Counted) -> io::Result<()> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(counted.bytes))?;
    // Who prints without a pause would have no end to be reached.
    let mut file = file.take(end.saturating_sub(counted.bytes));
    let mut chunk = vec![0; 64 << 10];
    loop {
        let bytes = file.read(&mut chunk)?;
        if bytes == 0 {
            return Ok(());
        }
        counted.bytes += bytes as u64;
        for (index, piece) in chunk[..bytes].split(|&byte| byte == b'\n').enumerate() {
            if index > 0 {
                counted.lines += 1;
                counted.open = 0;
            }
            counted.open += piece.len();
            counted.lines += (counted.open / LONG_LINE) as u64;
            counted.open %= LONG_LINE;
        }
    }
}

/// A new file for what a pipe brings. It is appended to, so that what was cut off in between does not
/// come back as a hole.
pub(super) fn output_file(path: &Path) -> io::Result<File> {
    File::create(path)?;
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_counts_as_the_lines_that_it_could_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut outputs = Outputs::default();
        fs::write(&path, "x".repeat(10_000)).unwrap();
        assert_eq!(outputs.lines(&path), 2);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all("y".repeat(3_000).as_bytes()).unwrap();
        assert_eq!(outputs.lines(&path), 3);
        file.write_all(b"\nshort\nopen").unwrap();
        assert_eq!(outputs.lines(&path), 5);
    }

    #[test]
    fn lines_that_were_cut_off_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logmon.1.stderr");
        let mut outputs = Outputs::default();
        assert_eq!(outputs.lines(&path), 0, "there is no file yet");
        let mut file = output_file(&path).unwrap();
        let line = "write failed: no space left on device, tried again at once\n";
        let (mut printed, mut cuts) = (0, 0);
        while cuts < 3 {
            file.write_all(line.repeat(1_000).as_bytes()).unwrap();
            printed += 1_000;
            outputs.bound(&path).unwrap();
            let bytes = fs::metadata(&path).unwrap().len();
            assert!(bytes <= LIMIT, "{bytes}");
            cuts += u32::from(bytes == KEPT + CUT_OFF.len() as u64);
            assert_eq!(outputs.lines(&path), printed);
        }
        let text = fs::read(&path).unwrap();
        assert!(text.ends_with(CUT_OFF));
        assert_eq!(text.iter().position(|&byte| byte == 0), None, "a hole");
    }

    #[test]
    fn an_output_that_is_cut_goes_on_behind_the_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logmon.1.stderr");
        let mut file = output_file(&path).unwrap();
        let mut outputs = Outputs::default();
        file.write_all(&vec![b'x'; LIMIT as usize + 1]).unwrap();
        outputs.bound(&path).unwrap();
        file.write_all(b"last words\n").unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(text[KEPT as usize..], [CUT_OFF, b"last words\n"].concat());
        let cut_off = LIMIT / LONG_LINE as u64;
        assert_eq!(outputs.lines(&path), cut_off + 1);
    }
}
