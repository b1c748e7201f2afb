//! Edge: what a start leaves in the table, with real FIFOs.

use super::*;
use crate::config::both_streams;

fn tasks() -> Tasks {
    Tasks::new(None)
}

fn id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

/// How many tasks and how many hashes of streams the table has.
fn counts(tasks: &Tasks) -> (usize, usize) {
    let table = tasks.lock();
    assert_eq!(table.starting, 0);
    (table.tasks.len(), table.files.len())
}

#[tokio::test]
async fn a_refused_start_leaves_nothing_and_the_same_start_is_a_new_one_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["out", "err"] {
        std::fs::write(path(name), "no FIFO").unwrap();
    }
    let tasks = tasks();
    let start = |task: &str| tasks.start(id(task), both_streams(folder.path()));

    let (started, error) = start("web").await;
    assert_eq!(started, []);
    assert!(matches!(error, Some(Error::Fifo(_))), "{error:?}");
    assert_eq!(counts(&tasks), (0, 0));

    std::fs::remove_file(path("out")).unwrap();
    let (started, error) = start("web").await;
    assert_eq!(started, [(StreamKind::Stdout, Started::Now)]);
    assert!(matches!(error, Some(Error::Fifo(_))), "{error:?}");
    assert_eq!(counts(&tasks), (1, 1));

    std::fs::remove_file(path("err")).unwrap();
    let (started, error) = start("web").await;
    assert!(error.is_none(), "{error:?}");
    let expected = [
        (StreamKind::Stdout, Started::AlreadyRunning),
        (StreamKind::Stderr, Started::Now),
    ];
    assert_eq!(started, expected);
    assert_eq!(counts(&tasks), (1, 2));

    let (started, error) = start("other").await;
    assert_eq!(started, []);
    assert!(
        matches!(error, Some(Error::FilesOfOther { .. })),
        "{error:?}"
    );
    assert_eq!(counts(&tasks), (1, 2));

    tasks.stop(id("web")).unwrap().await.unwrap().unwrap();
    assert_eq!(counts(&tasks), (0, 0));
    let (started, error) = start("other").await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(started.len(), 2);
    tasks.stop_all().await.unwrap();
}

#[tokio::test]
async fn starts_under_way_count_as_if_they_had_their_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = tasks();
    // More than any limit has room for.
    let others = usize::MAX / 64;
    tasks.lock().starting = others;
    let (started, error) = tasks.start(id("web"), both_streams(folder.path())).await;
    assert_eq!(started, []);
    assert!(
        matches!(error, Some(Error::Descriptors { .. })),
        "{error:?}"
    );
    assert!(!folder.path().join("out").exists(), "nothing was begun");
    tasks.lock().starting = 0;
    assert_eq!(counts(&tasks), (0, 0));
}

impl Tasks {
    /// A task that is being started until [`Tasks::end_start`].
    pub(crate) fn begin_endless_start(&self, id: &TaskId) {
        let task = Task::Starting(Vec::new());
        self.lock().tasks.insert(id.clone(), task);
    }

    pub(crate) fn end_start(&self, id: &TaskId) {
        self.lock().tasks.remove(id);
        self.0.start_ended.notify_waiters();
    }
}
