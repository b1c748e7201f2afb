//! Reads a configuration that somebody wrote for a plugin: TOML or JSON, by the name of its file. (edge)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file that holds no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its name does not say what it is.
    #[error("{}: is it TOML or JSON? Give it a name that ends with .toml or .json", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// It is not what its name says.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// It holds a value that has no keys.
    #[error("{}: a configuration is an object of keys, and this is none", path.display())]
    NoObject {
        /// The file.
        path: PathBuf,
    },
}

/// Gives the object that stands in a file.
///
/// # Errors
/// [`FileError`], which names the file, and the line where it has one.
pub(crate) fn read(path: &Path) -> Result<Value, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |reason: String| FileError::Syntax {
        path: path.to_owned(),
        reason: reason.trim_end().to_owned(),
    };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let value: Value = match extension {
        Some("toml") => toml::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        Some("json") => serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        Some(_) | None => {
            return Err(FileError::Kind {
                path: path.to_owned(),
            });
        }
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(FileError::NoObject {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, text: &str) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn both_kinds_give_the_same_object() {
        let toml = told("a.toml", "command = \"sh\"\nargs = [\"-c\"]\n").unwrap();
        let json = told("a.json", r#"{"command": "sh", "args": ["-c"]}"#).unwrap();
        assert_eq!(toml, json);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_line() {
        assert!(
            told("a.hcl", "x")
                .unwrap_err()
                .contains("a.hcl: is it TOML or JSON?")
        );
        let wrong = told("a.toml", "a = 1\nb =\n").unwrap_err();
        assert!(
            wrong.contains("a.toml: ") && wrong.contains("line 2"),
            "{wrong}"
        );
        let wrong = told("a.json", "{\n\"a\": }").unwrap_err();
        assert!(wrong.contains("line 2"), "{wrong}");
        assert!(
            told("a.json", "[1]")
                .unwrap_err()
                .contains("is an object of keys")
        );
        assert!(
            read(Path::new("/nonexistent/a.toml"))
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/a.toml")
        );
    }
}
