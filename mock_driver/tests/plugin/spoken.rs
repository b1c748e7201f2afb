//! Commands within a task of the executor that are spoken with while they run.

use plugin::host::Exec;
use plugin::proto::driver::ExecTaskStreamingRequest;
use plugin::proto::driver::exec_task_streaming_request::TerminalSize;
use serde_json::json;

use crate::commands::{LONG, all, say, setup};
use crate::stage::{Place, Stage, exit, is_gone, number_in, refusal};
use crate::support::{Drain, LIMIT, wait_until};

/// A command that runs until it is stopped.
async fn running() -> (Stage, Place, [Drain; 2]) {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    stage.start(&place.command("exec sleep 1000")).await;
    (stage, place, drains)
}

/// Hears stdout until it is long enough.
async fn hear(exec: &mut Exec, until: impl Fn(&str) -> bool) -> String {
    let mut heard = String::new();
    while !until(&heard) {
        let next = exec.output.next(LIMIT).await;
        let answer = next.unwrap_or_else(|error| panic!("{error}, behind {heard:?}"));
        let answer = answer.unwrap();
        assert!(!answer.exited, "behind {heard:?}");
        heard.push_str(str::from_utf8(&answer.stdout.unwrap().data).unwrap());
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_spoken_with_through_three_pipes_in_what_contains_its_task() {
    let (stage, place, _drains) = running().await;
    let pid = place.processes()[0];
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let script =
        "cat /proc/self/cgroup; read name; echo hello $name $WHO; pwd; cat; echo end >&2; exit 3";
    let mut exec = stage.driver().exec_task_streaming(setup(script, false));
    assert_eq!(
        hear(&mut exec, |heard| heard.len() >= groups.len()).await,
        groups
    );
    say(&exec, b"you\n", false).await;
    let folder = std::fs::canonicalize(place.path("web")).unwrap();
    let hello = format!("hello you env\n{}\n", folder.display());
    assert_eq!(
        hear(&mut exec, |heard| heard.len() >= hello.len()).await,
        hello
    );
    say(&exec, b"last", true).await;
    let (out, err, closed, result) = all(&mut exec).await;
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (&b"last"[..], &b"end\n"[..])
    );
    assert_eq!((closed, result), (2, exit(3, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_with_a_terminal_is_told_the_size_of_its_window_and_one_stream_has_all() {
    let (stage, _place, _drains) = running().await;
    // A signal with a trap ends the reading of a line, in some shells.
    let script = "trap 'stty size' WINCH; test -t 0 && test -t 1 && test -t 2 && echo ready; \
                  until read line; do :; done; echo \"<$line>\" >&2; cat; exit 4";
    let mut exec = stage.driver().exec_task_streaming(setup(script, true));
    assert_eq!(
        hear(&mut exec, |heard| heard.ends_with('\n')).await,
        "ready\r\n"
    );
    let tty_size = Some(TerminalSize {
        height: 50,
        width: 132,
    });
    let resize = ExecTaskStreamingRequest {
        tty_size,
        ..ExecTaskStreamingRequest::default()
    };
    exec.input.send(resize).await.unwrap();
    say(&exec, b"typed\n", false).await;
    let heard = hear(&mut exec, |heard| heard.ends_with("<typed>\r\n")).await;
    // A shell that reads may look at its signals before or behind the line.
    assert!(
        heard.contains("typed\r\n") && heard.contains("50 132\r\n"),
        "{heard:?}"
    );
    say(&exec, b"", true).await;
    let (_, err, closed, result) = all(&mut exec).await;
    assert_eq!((err.as_slice(), closed, result), (&b""[..], 1, exit(4, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_listens_late_gets_all_and_one_that_goes_away_ends_the_command() {
    let (stage, place, _drains) = running().await;
    let script = "echo $$ >../pid; head -c 1000000 /dev/zero";
    let mut exec = stage.driver().exec_task_streaming(setup(script, false));
    number_in(&place.path("pid"));
    let (out, _, closed, result) = all(&mut exec).await;
    assert_eq!((out.len(), closed, result), (1_000_000, 2, exit(0, 0)));
    for tty in [false, true] {
        let script = "sleep 1000 & echo $! >../child; wait";
        let exec = stage.driver().exec_task_streaming(setup(script, tty));
        let child = number_in(&place.path("child"));
        drop(exec);
        wait_until("the end of the command", || is_gone(child));
        std::fs::remove_file(place.path("child")).unwrap();
    }
    // One that says too much for a host that does not listen is ended with the call, too.
    let exec = stage
        .driver()
        .exec_task_streaming(setup("echo $$ >../child; exec yes", false));
    let child = number_in(&place.path("child"));
    drop(exec);
    wait_until("the end of the command", || is_gone(child));
    wait_until("the task alone", || place.processes().len() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_ends_with_its_task_and_with_the_plugin() {
    let (stage, place, _drains) = running().await;
    let script = "echo ready; exec sleep 1000";
    let mut exec = stage.driver().exec_task_streaming(setup(script, true));
    hear(&mut exec, |heard| heard == "ready\r\n").await;
    stage.driver().stop_task("a/web/1", LONG, "").await.unwrap();
    assert_eq!(all(&mut exec).await.3, exit(137, 9));
    let mut exec = stage.driver().exec_task_streaming(setup("true", true));
    let why = refusal(exec.output.next(LIMIT).await);
    assert!(why.contains("has ended"), "{why}");
    drop((stage, place));

    let (stage, place, _drains) = running().await;
    let script = "echo $$ >../child; exec sleep 1000";
    let _exec = stage.driver().exec_task_streaming(setup(script, true));
    let child = number_in(&place.path("child"));
    stage.kill();
    wait_until("the end of the command", || is_gone(child));
    assert_eq!(place.processes().len(), 1, "the task lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_is_played_and_what_is_not_there_is_told() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config = json!({
        "command": "sleep", "args": ["1000"], "exec_command": {"stdout_string": "played", "exit_code": 6},
    });
    stage.start(&place.task(&config)).await;
    let mut exec = stage.driver().exec_task_streaming(setup("exit 1", false));
    let (out, _, _, result) = all(&mut exec).await;
    assert_eq!((out.as_slice(), result), (&b"played"[..], exit(6, 0)));
    drop((stage, place));
    let (stage, _place, _drains) = running().await;
    let mut wrong = setup("true", false);
    wrong.command = vec!["/no/such".to_owned()];
    let mut exec = stage.driver().exec_task_streaming(wrong);
    let why = refusal(exec.output.next(LIMIT).await);
    assert!(why.contains("there is no program /no/such"), "{why}");
}
