//! Commands within a task.

use std::time::Duration;

use plugin::host::Exec;
use plugin::proto::driver::exec_task_streaming_request::Setup;
use plugin::proto::driver::{ExecTaskStreamingIo, ExecTaskStreamingRequest, ExitResult};
use serde_json::json;

use crate::stage::{Place, Stage, exit, number_in, refusal};
use crate::support::{LIMIT, wait_until};

pub(crate) const LONG: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

/// A task that runs until it is stopped.
async fn running() -> (Stage, Place, [crate::support::Drain; 2]) {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    stage.start(&place.shell("exec sleep 1000")).await;
    (stage, place, drains)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_the_tasks_folder_and_environment_and_not_its_streams() {
    let (stage, place, drains) = running().await;
    let driver = stage.driver();
    let script = "pwd; echo $WHO $DEVICE; echo err >&2; exit 4";
    let answer = driver
        .exec_task("a/web/1", shell(script), LONG)
        .await
        .unwrap();
    let folder = std::fs::canonicalize(place.path("web")).unwrap();
    let out = format!("{}\nenv gpu\n", folder.display());
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), out);
    assert_eq!(answer.stderr, b"err\n");
    assert_eq!(answer.result, Some(exit(4, 0)));
    let answer = driver
        .exec_task("a/web/1", shell("kill -9 $$"), LONG)
        .await
        .unwrap();
    assert_eq!(answer.result, Some(exit(137, 9)));
    assert!(drains[0].has(b""));
    let why = refusal(driver.exec_task("a/web/1", Vec::new(), LONG).await);
    assert!(why.contains("command: it is empty"), "{why}");
    let why = refusal(
        driver
            .exec_task("a/web/1", vec!["/no/such".to_owned()], LONG)
            .await,
    );
    assert!(why.contains("cannot run /no/such"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_killed_when_its_time_is_over_and_what_it_said_is_told() {
    let (stage, place, _drains) = running().await;
    let brief = Duration::from_millis(300);
    let script = "echo begun; sleep 1000 & sleep 1000";
    let answer = stage
        .driver()
        .exec_task("a/web/1", shell(script), brief)
        .await
        .unwrap();
    assert_eq!(answer.stdout, b"begun\n");
    assert_eq!(answer.result, Some(exit(137, 9)));
    // The task and its executor are left.
    wait_until("the end of the command", || place.processes().len() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_leaves_behind_ends_with_it() {
    let (stage, place, _drains) = running().await;
    let script = "sleep 1000 & echo said; exit 2";
    let answer = stage
        .driver()
        .exec_task("a/web/1", shell(script), LONG)
        .await
        .unwrap();
    assert_eq!(answer.stdout, b"said\n");
    assert_eq!(answer.result, Some(exit(2, 0)));
    wait_until("the end of the command", || place.processes().len() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_says_too_much_is_ended() {
    let (stage, place, _drains) = running().await;
    let why = refusal(
        stage
            .driver()
            .exec_task("a/web/1", shell("exec yes"), LONG)
            .await,
    );
    assert!(why.contains("has more than 8388608 bytes"), "{why}");
    wait_until("the end of the command", || place.processes().len() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_ends_with_its_task_and_none_begins_behind_it() {
    let (stage, place, _drains) = running().await;
    let driver = stage.driver();
    let script = "echo $$ >../pid; exec sleep 1000";
    let command =
        tokio::spawn(async move { driver.exec_task("a/web/1", shell(script), LONG).await });
    number_in(&place.path("pid"));
    stage
        .driver()
        .kill_and_destroy_task("a/web/1")
        .await
        .unwrap();
    assert_eq!(command.await.unwrap().unwrap().result, Some(exit(137, 9)));
    place.until_nothing_is_left();
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    stage.start(&place.shell("true")).await;
    stage.exit("a/web/1").await;
    let why = refusal(
        stage
            .driver()
            .exec_task("a/web/1", shell("true"), LONG)
            .await,
    );
    assert!(why.contains("has ended"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_away_takes_its_command_along() {
    let (stage, place, _drains) = running().await;
    let driver = stage.driver();
    let script = "sleep 1000 & echo $! >../pid; wait";
    let call = tokio::spawn(async move { driver.exec_task("a/web/1", shell(script), LONG).await });
    let pid = number_in(&place.path("pid"));
    call.abort();
    wait_until("the end of the command", || crate::stage::is_gone(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_configured_is_played_for_any_other() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config = json!({
        "run_for": "1000s", "exec_command": {"stdout_string": "played", "stderr_string": "so", "exit_code": 6},
    });
    stage.start(&place.task(&config)).await;
    let answer = stage
        .driver()
        .exec_task("a/web/1", shell("exit 1"), LONG)
        .await
        .unwrap();
    assert_eq!(
        (answer.stdout.as_slice(), answer.stderr.as_slice()),
        (&b"played"[..], &b"so"[..])
    );
    assert_eq!(answer.result, Some(exit(6, 0)));
}

pub(crate) fn setup(script: &str, tty: bool) -> Setup {
    Setup {
        task_id: "a/web/1".to_owned(),
        command: shell(script),
        tty,
    }
}

pub(crate) async fn say(exec: &Exec, data: &[u8], close: bool) {
    let data = data.to_vec();
    let message = ExecTaskStreamingRequest {
        stdin: Some(ExecTaskStreamingIo { data, close }),
        ..ExecTaskStreamingRequest::default()
    };
    exec.input.send(message).await.unwrap();
}

/// What comes until the exit: stdout, stderr, how many streams were closed, and the exit.
pub(crate) async fn all(exec: &mut Exec) -> (Vec<u8>, Vec<u8>, usize, ExitResult) {
    let (mut out, mut err, mut closed) = (Vec::new(), Vec::new(), 0);
    loop {
        let answer = exec.output.next(LIMIT).await.unwrap().unwrap();
        for (io, all) in [(answer.stdout, &mut out), (answer.stderr, &mut err)] {
            let Some(io) = io else { continue };
            all.extend(io.data);
            closed += usize::from(io.close);
        }
        if answer.exited {
            assert_eq!(exec.output.next(LIMIT).await.unwrap(), None);
            return (out, err, closed, answer.result.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_hears_its_input_while_it_speaks() {
    let (stage, _place, _drains) = running().await;
    let script = "read name; echo hello $name; cat; echo end >&2; exit 3";
    let mut exec = stage.driver().exec_task_streaming(setup(script, false));
    say(&exec, b"you\n", false).await;
    let first = exec.output.next(LIMIT).await.unwrap().unwrap();
    assert_eq!(first.stdout.unwrap().data, b"hello you\n");
    say(&exec, b"more\n", false).await;
    say(&exec, b"last", true).await;
    let (out, err, closed, result) = all(&mut exec).await;
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (&b"more\nlast"[..], &b"end\n"[..])
    );
    assert_eq!((closed, result), (2, exit(3, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_listens_late_gets_all_that_a_command_said() {
    let (stage, place, _drains) = running().await;
    let script = "echo $$ >../pid; head -c 1000000 /dev/zero";
    let mut exec = stage.driver().exec_task_streaming(setup(script, false));
    number_in(&place.path("pid"));
    let begin = std::time::Instant::now();
    wait_until("time to pass", || begin.elapsed() > Duration::from_secs(1));
    let (out, _, closed, result) = all(&mut exec).await;
    assert_eq!((out.len(), closed, result), (1_000_000, 2, exit(0, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_breaks_off_ends_its_command() {
    let (stage, place, _drains) = running().await;
    let script = "sleep 1000 & echo $! >../pid; wait";
    let exec = stage.driver().exec_task_streaming(setup(script, false));
    let pid = number_in(&place.path("pid"));
    drop(exec);
    wait_until("the end of the command", || crate::stage::is_gone(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_refused_to_a_task_that_is_forwarded() {
    let (stage, _place, _drains) = running().await;
    let mut exec = stage.driver().exec_task_streaming(setup("true", true));
    let why = refusal(exec.output.next(LIMIT).await);
    assert!(why.contains("tty: this driver gives no terminal"), "{why}");
}
