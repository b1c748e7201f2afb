//! Edge: one client on a pair of sockets.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

/// How long a condition may take on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(20);

struct Client {
    socket: UnixStream,
    lines: Lines,
}

impl Client {
    fn of(tasks: &Tasks) -> Client {
        let (socket, served) = UnixStream::pair().unwrap();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        tokio::spawn(serve_client(served, place, tasks.clone()));
        Client {
            socket,
            lines: Lines::default(),
        }
    }

    async fn send(&self, requests: &[Value]) {
        let lines: String = requests.iter().map(|one| format!("{one}\n")).collect();
        write_all(&self.socket, lines.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(line) = self.lines.next_line().unwrap() {
                return serde_json::from_slice(line).unwrap();
            }
            let mut chunk = [0; 1000];
            let read = read_within(&self.socket, &mut chunk, false);
            let count = tokio::time::timeout_at(deadline, read).await;
            let count = count.expect("an answer in time").unwrap();
            assert!(count > 0, "the server has left");
            self.lines.push(&chunk[..count]);
        }
    }
}

fn start(folder: &Path, task: &str) -> Value {
    json!({
        "v": 1, "op": "start", "task": task, "log_dir": folder, "max_files": 3, "max_file_size": 1000,
        "stdout": {"fifo": folder.join(task), "name": format!("{task}.stdout")},
    })
}

fn about(op: &str, task: &str) -> Value {
    json!({"v": 1, "op": op, "task": task})
}

#[tokio::test]
async fn what_is_asked_of_another_task_does_not_wait_for_a_start_and_is_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new(None);
    let (stuck, calm) = (
        TaskId::parse("stuck").unwrap(),
        TaskId::parse("calm").unwrap(),
    );
    let mut client = Client::of(&tasks);
    client.send(&[start(folder.path(), "calm")]).await;
    assert_eq!(client.answer().await["ok"], true);

    tasks.begin_endless_start(&stuck);
    client
        .send(&[
            about("stop", "stuck"),
            start(folder.path(), "new"),
            about("stop", "calm"),
        ])
        .await;
    let deadline = Instant::now() + LIMIT;
    while tasks.ask(Some(&calm)).is_ok() || !folder.path().join("new").exists() {
        assert!(
            Instant::now() < deadline,
            "the stop waits for the start: {tasks:?}"
        );
        give_way().await;
        tokio::task::yield_now().await;
    }
    let early = client.socket.try_read(&mut [0; 10]);
    assert!(early.is_err(), "answered before its turn: {early:?}");
    tasks.end_start(&stuck);
    assert_eq!(client.answer().await["error"]["code"], "no-task");
    assert_eq!(client.answer().await["started"], json!({"stdout": "now"}));
    assert!(client.answer().await["stopped"].is_object());
    tasks.stop_all().await.unwrap();
}

#[tokio::test]
async fn what_is_asked_of_a_task_behind_its_start_is_done_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new(None);
    let mut client = Client::of(&tasks);
    client
        .send(&[
            start(folder.path(), "web"),
            about("status", "web"),
            json!({"v": 1, "op": "status"}),
            about("stop", "web"),
            start(folder.path(), "web"),
            json!({"v": 1, "op": "status"}),
        ])
        .await;
    let now = json!({"stdout": "now"});
    assert_eq!(client.answer().await["started"], now);
    for _ in 0..2 {
        let told = client.answer().await;
        assert!(told["tasks"][0]["streams"]["stdout"].is_object(), "{told}");
    }
    assert!(client.answer().await["stopped"]["stdout"].is_object());
    assert_eq!(client.answer().await["started"], now);
    let told = client.answer().await;
    assert!(told["tasks"][0]["streams"]["stdout"].is_object(), "{told}");
    tasks.stop_all().await.unwrap();
}

#[tokio::test]
async fn what_a_client_had_asked_for_is_done_although_it_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new(None);
    let web = TaskId::parse("web").unwrap();
    let client = Client::of(&tasks);
    tasks.begin_endless_start(&web);
    client.send(&[start(folder.path(), "web")]).await;
    drop(client);
    tasks.end_start(&web);
    let deadline = Instant::now() + LIMIT;
    while tasks.is_starting(&web) || tasks.ask(Some(&web)).is_err() {
        assert!(Instant::now() < deadline, "it is not started: {tasks:?}");
        tokio::task::yield_now().await;
    }
    tasks.stop_all().await.unwrap();
}
