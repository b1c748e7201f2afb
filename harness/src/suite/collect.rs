//! Where the cases come from: the shipped files and the user's own. (edge)

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::scenario::{self, Scenario, ScenarioError};

/// Scenarios that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file or folder can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder holds no scenario.
    #[error("no *.toml file in {}; give a scenario file or a folder that holds some", path.display())]
    EmptyFolder {
        /// Which.
        path: PathBuf,
    },
    /// A file is not a scenario.
    #[error("can't use scenario {path}")]
    Scenario {
        /// The file.
        path: String,
        /// Why; names the key.
        source: ScenarioError,
    },
    /// Two cases have the same id.
    #[error("the id {id} stands in {first} and in {second}; an id names one case")]
    Twice {
        /// The id.
        id: String,
        /// A file.
        first: String,
        /// Another file.
        second: String,
    },
}

/// The shipped cases, every variant its own, ordered by file.
///
/// # Errors
/// A shipped file that can't be used is a bug of the suite; a test reads them all.
pub fn shipped_scenarios() -> Result<Vec<Scenario>, CollectError> {
    parse_all(
        scenario::shipped()
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    )
}

/// The shipped case with this id, if there is one. All are read once, at the first call, as a report asks for
/// each of its cases.
pub(crate) fn shipped_scenario(id: &str) -> Option<&'static Scenario> {
    static ALL: LazyLock<BTreeMap<String, Scenario>> = LazyLock::new(|| {
        let all = shipped_scenarios().unwrap_or_default();
        all.into_iter().map(|one| (one.id.clone(), one)).collect()
    });
    ALL.get(id)
}

/// The shipped files in the contract's order: each one's name, its path without `.toml`, and its
/// cases, one per variant.
///
/// # Errors
/// A shipped file that can't be used is a bug of the suite; a test reads them all.
pub fn shipped_files() -> Result<Vec<(&'static str, Vec<Scenario>)>, CollectError> {
    scenario::shipped()
        .into_iter()
        .map(|(path, text)| {
            let cases = scenario::expand(text, path).map_err(|source| CollectError::Scenario {
                path: path.to_owned(),
                source,
            })?;
            Ok((path.trim_end_matches(".toml"), cases))
        })
        .collect()
}

/// The cases of the user's files; a folder stands for the `*.toml` in it, by name.
///
/// # Errors
/// The first file that can't be read or used.
pub fn user_scenarios(paths: &[PathBuf]) -> Result<Vec<Scenario>, CollectError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(toml_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let texts: Vec<_> = files
        .into_iter()
        .map(|path| match fs::read_to_string(&path) {
            Ok(text) => Ok((path.display().to_string(), text)),
            Err(source) => Err(CollectError::Read { path, source }),
        })
        .collect::<Result<_, _>>()?;
    parse_all(texts.into_iter())
}

fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, CollectError> {
    let failed = |source| CollectError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(CollectError::EmptyFolder {
            path: folder.to_owned(),
        });
    }
    files.sort();
    Ok(files)
}

fn parse_all(texts: impl Iterator<Item = (String, String)>) -> Result<Vec<Scenario>, CollectError> {
    let mut all = Vec::new();
    let mut seen = BTreeMap::<String, String>::new();
    for (path, text) in texts {
        let scenarios =
            scenario::expand(&text, &path).map_err(|source| CollectError::Scenario {
                path: path.clone(),
                source,
            })?;
        for scenario in scenarios {
            if let Some(first) = seen.insert(scenario.id.clone(), path.clone()) {
                return Err(CollectError::Twice {
                    id: scenario.id,
                    first,
                    second: path,
                });
            }
            all.push(scenario);
        }
    }
    Ok(all)
}
