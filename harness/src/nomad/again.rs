//! Another start of what a log collector collects already: asked of its host by a second command, over a socket.
//! (edge)
//!
//! One line each way: the limits as JSON, and `done` or why not.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin::host::CallError;
use plugin::proto::logmon::StartRequest;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::suite::error_chain;

/// How long the host may take. Whoever waits for the answer gives up before: a plugin that does not answer is no
/// plugin that refuses.
const ANSWER: Duration = Duration::from_secs(60);
/// How long who asks may take to say what it wants.
const QUESTION: Duration = Duration::from_secs(1);
/// How long nobody is let in after accept(2) failed, which is for want of descriptors or memory: nothing tells when
/// there are some again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// The answer if it is started.
const DONE: &str = "done";

/// What may differ from the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherLimits {
    /// Files that are kept of a stream.
    pub(crate) max_files: u32,
    /// The largest size of a file, in units of 1,048,576 bytes.
    pub(crate) max_file_size_mb: u32,
}

impl OtherLimits {
    /// The first start with these limits.
    pub(super) fn in_place(self, first: &StartRequest) -> StartRequest {
        StartRequest {
            max_files: self.max_files,
            max_file_size_mb: self.max_file_size_mb,
            ..first.clone()
        }
    }
}

/// Where nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("listen at {}", path.display())]
pub(super) struct Deaf {
    path: PathBuf,
    source: io::Error,
}

/// Why there is no other start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgainError {
    /// The host can't be asked.
    #[error("ask at {}", path.display())]
    Ask {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plugin refuses, or the host has no answer of it.
    #[error("{0}")]
    Refused(String),
}

/// Asks the host of a log collector to start it once more, with these limits.
///
/// # Errors
/// [`AgainError`].
pub(crate) fn start_again(socket: &Path, limits: &OtherLimits) -> Result<(), AgainError> {
    let answer = ask(socket, limits).map_err(|source| AgainError::Ask {
        path: socket.to_owned(),
        source,
    })?;
    match answer.trim_end() {
        DONE => Ok(()),
        refusal => Err(AgainError::Refused(refusal.to_owned())),
    }
}

fn ask(socket: &Path, limits: &OtherLimits) -> io::Result<String> {
    let mut host = Blocking::connect(socket)?;
    host.set_read_timeout(Some(ANSWER))?;
    let question = serde_json::to_string(limits)?;
    host.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(host).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// Where a host is asked.
#[derive(Debug)]
pub(super) struct Again(UnixListener);

impl Again {
    /// Listens there; what an earlier host left is removed.
    pub(super) fn listen(socket: &Path) -> Result<Self, Deaf> {
        let deaf = |source| Deaf {
            path: socket.to_owned(),
            source,
        };
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(deaf(error)),
            Ok(()) | Err(_) => {}
        }
        UnixListener::bind(socket).map(Self).map_err(deaf)
    }

    /// The next one who asks.
    ///
    /// # Cancel safety
    /// Cancel safe: nobody is taken then.
    pub(super) async fn next(&self) -> Asker {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return Asker(stream),
                // Who asks waits in the queue, or is not there any more.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            }
        }
    }
}

/// Somebody who asks for another start.
#[derive(Debug)]
pub(super) struct Asker(UnixStream);

impl Asker {
    /// Has it started, and answers. Who goes away before that has asked for nothing; and there is no answer if
    /// the plugin gives none.
    pub(super) async fn answered_by<F>(mut self, start: impl FnOnce(&OtherLimits) -> F)
    where
        F: Future<Output = Result<(), CallError>>,
    {
        let mut line = String::new();
        let mut reader = AsyncBufReader::new(&mut self.0);
        let Ok(Ok(_)) = timeout(QUESTION, reader.read_line(&mut line)).await else {
            return;
        };
        let answer = match serde_json::from_str(&line) {
            Err(error) => format!("this is no question: {error}"),
            Ok(limits) => match start(&limits).await {
                Ok(()) => DONE.to_owned(),
                Err(CallError::Deadline { .. }) => std::future::pending().await,
                Err(refusal) => error_chain(&refusal).replace('\n', "; "),
            },
        };
        self.0
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::tempdir;

    use super::*;

    const LIMITS: OtherLimits = OtherLimits {
        max_files: 3,
        max_file_size_mb: 1,
    };

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    }

    /// What whoever asks is answered, and what the host was asked.
    fn asked(answer: Result<(), CallError>) -> (Result<(), String>, OtherLimits) {
        let folder = tempdir().unwrap();
        let socket = folder.path().join("again");
        runtime().block_on(async {
            let again = Again::listen(&socket).unwrap();
            let asker = thread::spawn({
                let socket = socket.clone();
                move || start_again(&socket, &LIMITS).map_err(|error| error.to_string())
            });
            let mut heard = None;
            let start = |limits: &OtherLimits| {
                heard = Some(*limits);
                std::future::ready(answer)
            };
            again.next().await.answered_by(start).await;
            (asker.join().unwrap(), heard.unwrap())
        })
    }

    #[test]
    fn an_answer_of_the_plugin_is_the_answer() {
        assert_eq!(asked(Ok(())), (Ok(()), LIMITS));
        let refusal = CallError::Disconnected {
            call: "Start",
            reason: "two\nlines".into(),
        };
        let told = "call Start: the connection broke: two; lines";
        assert_eq!(asked(Err(refusal)).0, Err(told.to_owned()));
    }

    #[test]
    fn a_socket_where_nobody_listens_is_named() {
        let folder = tempdir().unwrap();
        let socket = folder.path().join("again");
        let error = start_again(&socket, &LIMITS).unwrap_err();
        assert_eq!(error.to_string(), format!("ask at {}", socket.display()));
    }

    #[test]
    fn what_an_earlier_host_left_is_no_obstacle_and_a_missing_folder_is_named() {
        let folder = tempdir().unwrap();
        let socket = folder.path().join("again");
        let runtime = runtime();
        let _inside = runtime.enter();
        drop(Again::listen(&socket).unwrap());
        assert!(socket.exists());
        Again::listen(&socket).unwrap();
        let error = Again::listen(&folder.path().join("none/again")).unwrap_err();
        assert!(error.to_string().contains("none/again"), "{error}");
    }

    #[test]
    fn only_the_limits_differ_from_the_first_start() {
        let first = StartRequest {
            log_dir: "/logs".into(),
            max_files: 10,
            max_file_size_mb: 10,
            ..StartRequest::default()
        };
        let other = LIMITS.in_place(&first);
        assert_eq!((other.max_files, other.max_file_size_mb), (3, 1));
        assert_eq!(other.log_dir, "/logs");
    }
}
