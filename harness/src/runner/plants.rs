//! Things that nobody may touch: planted before a case and compared after it. (edge)

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use mock_driver::stream::Stream;

use crate::case::{CaseDir, log_name};
use crate::observe::standing;
use crate::scenario::{Place, Plant, PlantKind};

/// What the canary holds.
const CANARY: &str = "Nobody may read this through a link, change it or remove it.\n";
/// Bytes of a file that are kept for the comparison; files of the suite are smaller.
const MOST_KEPT: u64 = 1 << 20;

/// A thing as it was left.
pub(super) struct Planted {
    path: PathBuf,
    facts: Facts,
}

#[derive(PartialEq, Eq)]
struct Facts {
    kind: &'static str,
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    /// Seconds and nanoseconds; none for what changes by being used.
    modified: Option<(i64, i64)>,
    content: Vec<u8>,
}

impl Planted {
    /// Remembers what stands at a path now.
    pub(super) fn remember(path: PathBuf) -> Self {
        Self {
            facts: Facts::of(&path),
            path,
        }
    }

    /// The path, and what is different by now.
    pub(super) fn differences(&self) -> Vec<(String, String)> {
        let now = Facts::of(&self.path);
        let path = self.path.display().to_string();
        self.facts
            .differences(&now)
            .into_iter()
            .map(|what| (path.clone(), what))
            .collect()
    }
}

impl Facts {
    fn of(path: &Path) -> Self {
        let kind = standing(path).kind;
        let facts = fs::symlink_metadata(path).ok();
        let number = |get: fn(&fs::Metadata) -> u64| facts.as_ref().map_or(0, get);
        let is_file = kind == "regular file";
        let content = match kind {
            "regular file" if number(MetadataExt::size) <= MOST_KEPT => {
                fs::read(path).unwrap_or_default()
            }
            "symbolic link" => fs::read_link(path)
                .map(|to| to.into_os_string().into_encoded_bytes())
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        Self {
            kind,
            inode: number(MetadataExt::ino),
            mode: facts.as_ref().map_or(0, |facts| facts.mode() & 0o7777),
            owner: facts
                .as_ref()
                .map_or((0, 0), |facts| (facts.uid(), facts.gid())),
            links: if is_file {
                number(MetadataExt::nlink)
            } else {
                0
            },
            modified: facts
                .as_ref()
                .filter(|_| is_file)
                .map(|facts| (facts.mtime(), facts.mtime_nsec())),
            content,
        }
    }

    fn differences(&self, now: &Self) -> Vec<String> {
        if now.kind != self.kind {
            return vec![format!(
                "was a {}, is {}",
                self.kind,
                if now.kind == "nothing" {
                    "gone"
                } else {
                    now.kind
                }
            )];
        }
        let mut found = Vec::new();
        let mut note = |differs: bool, text: String| {
            if differs {
                found.push(text);
            }
        };
        note(
            now.inode != self.inode,
            "was replaced by another one".into(),
        );
        note(
            now.mode != self.mode,
            format!("its mode was {:04o}, is {:04o}", self.mode, now.mode),
        );
        note(
            now.owner != self.owner,
            format!("its owner was {:?}, is {:?}", self.owner, now.owner),
        );
        note(
            now.links != self.links,
            format!("it had {} links, has {}", self.links, now.links),
        );
        let changed = now.content != self.content;
        note(
            changed,
            format!(
                "its content of {} B was changed, is {} B",
                self.content.len(),
                now.content.len()
            ),
        );
        note(
            !changed && now.modified != self.modified,
            "it was written to, with the same content".into(),
        );
        found
    }
}

/// Makes the canary and everything that the scenario plants, and remembers it.
pub(super) fn plant_all(dir: &CaseDir, plants: &[Plant]) -> io::Result<Vec<Planted>> {
    fs::write(dir.canary(), CANARY)?;
    let mut paths = Vec::new();
    for plant in plants {
        let path = path_of(dir, plant);
        match plant.kind {
            PlantKind::File | PlantKind::OldLog => fs::write(&path, content(plant))?,
            PlantKind::Folder => fs::create_dir(&path)?,
            PlantKind::SymlinkToCanary => symlink(dir.canary(), &path)?,
            PlantKind::HardLinkToCanary => fs::hard_link(dir.canary(), &path)?,
        }
        // An old log belongs to the stream: retention may delete it.
        if plant.kind != PlantKind::OldLog {
            paths.push(path);
        }
    }
    paths.push(dir.canary());
    // After the last hard link, so that the number of links is the final one.
    Ok(paths.into_iter().map(Planted::remember).collect())
}

/// Where the host put things that are no log of the task's.
pub(super) fn foreign_paths(dir: &CaseDir, plants: &[Plant]) -> Vec<PathBuf> {
    plants
        .iter()
        .filter(|plant| plant.kind != PlantKind::OldLog)
        .map(|plant| path_of(dir, plant))
        .collect()
}

fn path_of(dir: &CaseDir, plant: &Plant) -> PathBuf {
    let name = plant
        .name
        .replace("{stdout_name}", &log_name(Stream::Stdout))
        .replace("{stderr_name}", &log_name(Stream::Stderr));
    match plant.place {
        Place::Log => dir.log().join(name),
        Place::Fifo => dir.fifos().join(name),
    }
}

fn content(plant: &Plant) -> Vec<u8> {
    let mut content = plant.text.clone().into_bytes();
    let bytes = plant
        .bytes
        .map_or(0, |size| usize::try_from(size.0).unwrap_or(usize::MAX));
    if content.len() < bytes {
        content.resize(bytes, b'.');
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    fn planted(kind: PlantKind) -> (tempfile::TempDir, CaseDir, Vec<Planted>) {
        let folder = tempfile::tempdir().unwrap();
        let dir = CaseDir::new(folder.path());
        fs::create_dir(dir.log()).unwrap();
        let plant = Plant {
            place: Place::Log,
            name: "{stdout_name}.x".into(),
            kind,
            text: "hello".into(),
            bytes: Some(Size(9)),
        };
        let all = plant_all(&dir, &[plant]).unwrap();
        (folder, dir, all)
    }

    fn whats(all: &[Planted]) -> Vec<String> {
        all.iter()
            .flat_map(Planted::differences)
            .map(|(_, what)| what)
            .collect()
    }

    #[test]
    fn what_stays_as_it_is_has_no_difference() {
        for kind in [
            PlantKind::File,
            PlantKind::Folder,
            PlantKind::SymlinkToCanary,
            PlantKind::HardLinkToCanary,
        ] {
            let (_folder, _, all) = planted(kind);
            assert_eq!((whats(&all), all.len()), (vec![], 2), "{kind:?}");
        }
        assert_eq!(planted(PlantKind::OldLog).2.len(), 1);
    }

    #[test]
    fn every_change_is_named() {
        let (_folder, dir, all) = planted(PlantKind::File);
        let file = dir.log().join("demo.stdout.x");
        assert_eq!(fs::read(&file).unwrap(), b"hello....");
        fs::write(&file, "hell").unwrap();
        assert_eq!(whats(&all), ["its content of 9 B was changed, is 4 B"]);
        fs::remove_file(&file).unwrap();
        assert_eq!(whats(&all), ["was a regular file, is gone"]);
    }

    #[test]
    fn a_canary_changed_through_a_link_is_seen() {
        let (_folder, dir, all) = planted(PlantKind::SymlinkToCanary);
        fs::write(dir.log().join("demo.stdout.x"), "x").unwrap();
        assert_eq!(whats(&all).len(), 1);
        let (_folder, dir, all) = planted(PlantKind::HardLinkToCanary);
        fs::remove_file(dir.log().join("demo.stdout.x")).unwrap();
        assert_eq!(
            whats(&all),
            ["was a regular file, is gone", "it had 2 links, has 1"]
        );
    }
}
