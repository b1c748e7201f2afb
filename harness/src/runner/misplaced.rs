//! FIFOs that are not where a driver left them. (edge)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::case::CaseDir;
use crate::observe::standing;
use mock_driver::stream::Stream;

/// Both FIFOs, away from their paths.
pub(super) struct Misplaced {
    each: [Place; 2],
}

struct Place {
    path: PathBuf,
    away: PathBuf,
    /// What the host left at the path: `None` is nothing, else device and inode of another FIFO.
    instead: Option<(u64, u64)>,
}

impl Misplaced {
    /// Moves both FIFOs away, and makes others in their place if they are to look the same.
    pub(super) fn move_away(dir: &CaseDir, is_replaced: bool) -> io::Result<Self> {
        let [stdout, stderr] = Stream::BOTH.map(|stream| dir.fifo(stream));
        let folder = dir.path().join("elsewhere");
        fs::create_dir_all(&folder)?;
        let one = |path: PathBuf| Place::move_away(path, &folder, is_replaced);
        Ok(Self {
            each: [one(stdout)?, one(stderr)?],
        })
    }

    /// Moves them back. What somebody else put at a path meanwhile stays there, and is found by whoever
    /// looks at the FIFOs next.
    pub(super) fn move_back(&self) -> io::Result<()> {
        self.each.iter().try_for_each(Place::move_back)
    }
}

impl Place {
    fn move_away(path: PathBuf, folder: &Path, is_replaced: bool) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let away = folder.join(name);
        fs::rename(&path, &away)?;
        if is_replaced {
            fifo::create(&path, 0o600).map_err(io::Error::other)?;
        }
        let instead = identity(&path);
        Ok(Self {
            path,
            away,
            instead,
        })
    }

    fn move_back(&self) -> io::Result<()> {
        if identity(&self.path) == self.instead {
            fs::rename(&self.away, &self.path)?;
        }
        Ok(())
    }
}

/// Device and inode of what stands at a path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let is = standing(path);
    (is.kind != "nothing").then_some((is.dev, is.ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> (tempfile::TempDir, CaseDir, [Option<(u64, u64)>; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let dir = CaseDir::new(folder.path().to_owned());
        fs::create_dir(dir.fifos()).unwrap();
        for stream in Stream::BOTH {
            fifo::create(&dir.fifo(stream), 0o600).unwrap();
        }
        let were = are(&dir);
        (folder, dir, were)
    }

    fn are(dir: &CaseDir) -> [Option<(u64, u64)>; 2] {
        Stream::BOTH.map(|stream| identity(&dir.fifo(stream)))
    }

    #[test]
    fn fifos_that_were_away_or_replaced_come_back_as_they_were() {
        let (_folder, dir, were) = prepared();
        let gone = Misplaced::move_away(&dir, false).unwrap();
        assert_eq!(are(&dir), [None, None]);
        gone.move_back().unwrap();
        assert_eq!(are(&dir), were);

        let stale = Misplaced::move_away(&dir, true).unwrap();
        assert!(
            are(&dir)
                .iter()
                .zip(&were)
                .all(|(is, was)| is.is_some() && is != was)
        );
        stale.move_back().unwrap();
        assert_eq!(are(&dir), were);
    }

    #[test]
    fn what_somebody_put_at_the_path_meanwhile_stays_and_can_be_found() {
        let (_folder, dir, were) = prepared();
        let gone = Misplaced::move_away(&dir, false).unwrap();
        fs::write(dir.fifo(Stream::Stdout), "a log").unwrap();
        gone.move_back().unwrap();
        assert_eq!(standing(&dir.fifo(Stream::Stdout)).kind, "regular file");
        assert_eq!(are(&dir)[1], were[1]);
    }
}
