//! The life of a task: start, output, exit, and what is told of it.

use plugin::proto::NO_TIME;
use plugin::proto::driver::TaskState;
use serde_json::json;

use crate::stage::{Place, Stage, exit, number_in, refusal};
use crate::support::{Drain, LIMIT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_writes_into_its_fifos_and_its_exit_is_its_own() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let task = place.shell("echo out; echo err >&2; pwd; echo $WHO $DEVICE; env | wc -l; exit 7");
    let handle = stage.start(&task).await;
    assert_eq!(handle.version, 1);
    assert_eq!(handle.config.as_ref(), Some(&task));
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    let stdout = String::from_utf8(stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let folder = std::fs::canonicalize(place.path("web")).unwrap();
    assert_eq!(lines[..3], ["out", folder.to_str().unwrap(), "env gpu"]);
    // PATH, WHO, DEVICE, and what a shell adds: nothing of the plugin's own environment.
    assert!(lines[3].trim().parse::<u32>().unwrap() <= 7, "{stdout}");
    assert_eq!(stderr, b"err\n");
    stage.driver().destroy_task("a/web/1").await.unwrap();
    place.until_nothing_is_left();
    let why = refusal(stage.driver().inspect_task("a/web/1").await);
    assert!(why.contains("task not found"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_waiters_get_the_exit_and_one_that_went_away_holds_nobody() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    stage.start(&place.gated("GATE exit 3", "end")).await;
    let driver = stage.driver();
    let brief = std::time::Duration::from_millis(50);
    refusal(driver.wait_task("a/web/1", brief).await);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let driver = stage.driver();
            tokio::spawn(async move { driver.wait_task("a/web/1", LIMIT).await })
        })
        .collect();
    place.open("end");
    for waiter in waiters {
        let answer = waiter.await.unwrap().unwrap();
        assert_eq!(answer.result, Some(exit(3, 0)));
    }
    // Who comes later is told, too.
    assert_eq!(stage.exit("a/web/1").await, exit(3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_task_is_told_whole_and_one_that_ended_with_its_result() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let task = place.gated("echo $$ >../pid; GATE kill -9 $$", "end");
    stage.start(&task).await;
    // The host refuses an answer without task, result, started and completed.
    let running = stage.driver().inspect_task("a/web/1").await.unwrap();
    assert_eq!(running.task.state(), TaskState::Running);
    assert_eq!(running.task.completed_at, Some(NO_TIME));
    assert_eq!(running.task.result, Some(exit(0, 0)));
    assert_eq!(
        (running.task.id.as_str(), running.task.name.as_str()),
        ("a/web/1", "web")
    );
    let pid = number_in(&place.path("pid")).to_string();
    assert_eq!(running.answer.driver.unwrap().attributes["pid"], pid);
    place.open("end");
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
    let ended = stage.driver().inspect_task("a/web/1").await.unwrap();
    assert_eq!(ended.task.state(), TaskState::Exited);
    assert_eq!(ended.task.result, Some(exit(137, 9)));
    let times = [ended.task.started_at, ended.task.completed_at].map(|time| time.unwrap().seconds);
    assert!(
        times[0] > 1_600_000_000 && times[0] <= times[1] + 1,
        "{times:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_like_a_signals_is_none() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    stage.start(&place.shell("exit 143")).await;
    assert_eq!(stage.exit("a/web/1").await, exit(143, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_log_collection_the_task_has_the_null_device() {
    let (stage, place) = (Stage::new().await, Place::new());
    let mut task = place
        .shell("seen=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo \"$seen\" >../seen; exit 5");
    task.stdout_path = "/dev/null".to_owned();
    task.stderr_path = "/dev/null".to_owned();
    stage.start(&task).await;
    assert_eq!(stage.exit("a/web/1").await, exit(5, 0));
    let seen = std::fs::read_to_string(place.path("seen")).unwrap();
    assert_eq!(seen, "/dev/null\n/dev/null\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_is_an_error_that_says_why_and_leaves_nothing() {
    let (stage, place) = (Stage::new().await, Place::new());
    let refused = |task| {
        let driver = stage.driver();
        async move { refusal(driver.start_task(task).await) }
    };
    let why = refused(place.task(&json!({"command": "/no/such", "forwards": true}))).await;
    assert!(why.contains("cannot run /no/such"), "{why}");
    let mut task = place.shell("true");
    task.stdout_path = place.path("web").to_str().unwrap().to_owned();
    let why = refused(task).await;
    assert!(
        why.contains("neither a FIFO nor a character device"),
        "{why}"
    );
    let mut task = place.shell("true");
    task.alloc_dir = "/no/such".to_owned();
    let why = refused(task).await;
    assert!(
        why.contains("alloc_dir: there is no folder /no/such/web"),
        "{why}"
    );
    let mut task = place.shell("true");
    task.user = "nobody-of-this-name".to_owned();
    let why = refused(task).await;
    assert!(why.contains("user: cannot run a task as nobody-"), "{why}");
    place.until_nothing_is_left();
    // The id is free.
    let _drains = place.fifos.drains();
    stage.start(&place.gated("GATE", "end")).await;
    let why = refused(place.shell("true")).await;
    assert!(why.contains("was started already"), "{why}");
    place.open("end");
    assert_eq!(stage.exit("a/web/1").await, exit(0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_tasks_is_told_to_who_listens() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let mut events = stage.driver().task_events();
    let mut task = place.shell("exec sleep 1000");
    // Only what happens after the plugin has taken the call is told.
    let brief = std::time::Duration::from_millis(100);
    let mut number = 0;
    let first = loop {
        number += 1;
        task.id = number.to_string();
        stage.start(&task).await;
        if let Ok(event) = events.next(brief).await {
            break event.unwrap();
        }
        assert!(number < 200, "nothing is told");
    };
    assert_eq!(
        (first.message.as_str(), first.alloc_id.as_str()),
        ("started", "a")
    );
    let long = std::time::Duration::from_secs(30);
    stage.driver().stop_task(&task.id, long, "").await.unwrap();
    loop {
        let event = events.next(LIMIT).await.unwrap().unwrap();
        if event.message != "started" {
            assert_eq!(event.message, "stopped by SIGTERM");
            assert_eq!(event.task_id, task.id);
            break;
        }
    }
}
