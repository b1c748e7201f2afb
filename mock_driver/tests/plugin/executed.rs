//! Commands that the executor runs: real ones, which write into the FIFOs themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use plugin::proto::driver::cpu_usage::Fields as CpuField;
use plugin::proto::driver::memory_usage::Fields as MemoryField;
use serde_json::json;

use crate::recovery::{changed, first_lines, numbered, script};
use crate::stage::{Place, Stage, exit, is_gone, number_in, refusal, signal};
use crate::support::{Drain, LIMIT, wait_until};

const LONG: Duration = Duration::from_secs(30);

/// The process that keeps the task.
async fn warden(stage: &Stage) -> i32 {
    let told = stage.driver().inspect_task("a/web/1").await.unwrap();
    told.answer.driver.unwrap().attributes["executor_pid"]
        .parse()
        .unwrap()
}

async fn destroy(stage: &Stage, place: &Place) {
    let warden = warden(stage).await;
    let driver = stage.driver();
    driver.kill_and_destroy_task("a/web/1").await.unwrap();
    place.until_nothing_is_left();
    assert!(is_gone(warden), "process {warden} keeps nothing");
}

/// Says that a test is skipped, and why.
fn skip(name: &str, why: &str) {
    eprintln!("skipped: {name}: {why}");
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_writes_into_its_fifos_itself_and_its_exit_is_its_own() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let task = place.command(
        "readlink /proc/$$/fd/1 /proc/$$/fd/2; pwd; echo $WHO $DEVICE; env | wc -l; echo err >&2; exit 7",
    );
    let handle = stage.start(&task).await;
    assert_eq!(handle.config.as_ref(), Some(&task));
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    let stdout = String::from_utf8(stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let folder = std::fs::canonicalize(place.path("web")).unwrap();
    assert_eq!(
        lines[..4],
        [
            &task.stdout_path,
            &task.stderr_path,
            folder.to_str().unwrap(),
            "env gpu"
        ]
    );
    // PATH, WHO, DEVICE, and what a shell adds: nothing of the plugin's own environment.
    assert!(lines[4].trim().parse::<u32>().unwrap() <= 7, "{stdout}");
    assert_eq!(stderr, b"err\n");
    stage.driver().destroy_task("a/web/1").await.unwrap();
    place.until_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_survives_the_plugin_and_the_next_one_finds_it() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage.start(&place.command(&script(&place))).await;
    wait_until("the first lines", || drains[0].has(&first_lines()));
    let pid = number_in(&place.path("pid"));
    stage.kill();
    place.open("away");
    wait_until("the gap", || place.path("done").exists());
    // Another plugin may have another fault: it is none of a command's that runs.
    let stage = Stage::with(&["--fault", "guesses-success"]).await;
    stage.driver().recover_task(handle.clone()).await.unwrap();
    stage.driver().recover_task(handle).await.unwrap();
    let told = stage.driver().inspect_task("a/web/1").await.unwrap();
    let attributes = told.answer.driver.unwrap().attributes;
    assert_eq!(attributes["pid"], pid.to_string());
    place.open("back");
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert!(stdout == numbered(), "{} bytes", stdout.len());
    let pids = std::fs::read_to_string(place.path("pids")).unwrap();
    assert_eq!(pids, format!("{pid}\n"));
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_command_that_nobody_saw_is_told_by_the_next_plugin() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    let task = place.gated_command("echo ready; GATE kill -TERM $$", "end");
    let handle = stage.start(&task).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let warden = warden(&stage).await;
    stage.kill();
    place.open("end");
    wait_until("the end of all", || is_gone(warden));
    let stage = Stage::new().await;
    stage.driver().recover_task(handle).await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_lost_is_an_error_and_a_stranger_is_none_of_it() {
    let place = Place::new();
    let _drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage.start(&place.command("exec sleep 1000")).await;
    let (warden, pid) = (warden(&stage).await, place.processes()[0]);
    stage.kill();
    let stage = Stage::new().await;
    for (bad, words) in [
        (
            changed(&handle, |json| json["kept"]["boot"] = "x".into()),
            "the machine was started again",
        ),
        (
            changed(&handle, |json| json["kept"] = json!({"pid": 1})),
            "the handle is none of this driver",
        ),
        (
            changed(&handle, |json| json["version"] = 9.into()),
            "it has version 9, not 1 or 2",
        ),
    ] {
        // A lost task's folder is removed.
        let away = place.executors_folder_away();
        let why = refusal(stage.driver().recover_task(bad).await);
        assert!(why.contains(words), "{why}");
        away.bring_back();
    }
    assert!(!is_gone(warden) && !is_gone(pid), "both were left alone");
    stage.driver().recover_task(handle.clone()).await.unwrap();
    // The one who would tell stands still until there is nothing more to see.
    signal(warden, Signal::SIGSTOP);
    for pid in [pid, warden] {
        signal(pid, Signal::SIGKILL);
        wait_until("the end of a process", || is_gone(pid));
    }
    let answer = stage.driver().wait_task("a/web/1", LIMIT).await.unwrap();
    assert!(
        answer.err.contains("was killed and left no word"),
        "{answer:?}"
    );
    stage.kill();
    let stage = Stage::new().await;
    let why = refusal(stage.driver().recover_task(handle).await);
    assert!(why.contains("was killed and left no word"), "{why}");
    let why = refusal(stage.driver().inspect_task("a/web/1").await);
    assert!(why.contains("task not found"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_keeper_is_killed_ends_with_it() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let task = place.command("sleep 1000 & echo ready; wait");
    stage.start(&task).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    assert_eq!(place.processes().len(), 2);
    signal(warden(&stage).await, Signal::SIGKILL);
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
    wait_until("the end of all", || place.processes().is_empty());
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lives_on_of_a_command_holds_no_pipe_of_the_plugin() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let task = place.command("echo ready; exec sleep 1000");
    stage.start(&task).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let links = |pid: i32| -> BTreeSet<_> {
        let all = (0..64).filter_map(|fd| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok());
        all.map(|link| link.to_string_lossy().into_owned())
            .collect()
    };
    let own: BTreeSet<_> = (0..3)
        .filter_map(|fd| {
            let plugin = stage.plugin.reattach().pid;
            std::fs::read_link(format!("/proc/{plugin}/fd/{fd}")).ok()
        })
        .map(|link| link.to_string_lossy().into_owned())
        .filter(|link| link.starts_with("pipe:"))
        .collect();
    assert_eq!(own.len(), 2);
    for pid in [warden(&stage).await, place.processes()[0]] {
        let shared: Vec<_> = links(pid).intersection(&own).cloned().collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_a_command_its_time_and_leaves_nothing_of_it() {
    let script = "trap 'echo asked; exit 4' INT; trap '' TERM; setsid sleep 1000 & echo $! >../child; \
                  echo ready; while :; do sleep 0.01; done";
    for (name, limit, ends, says) in [
        ("SIGINT", LONG, exit(4, 0), &b"ready\nasked\n"[..]),
        ("", Duration::from_millis(200), exit(137, 9), b"ready\n"),
        ("INT", Duration::ZERO, exit(137, 9), b"ready\n"),
    ] {
        let (stage, place) = (Stage::new().await, Place::new());
        let drains = place.fifos.drains();
        stage.start(&place.command(script)).await;
        wait_until("the task", || drains[0].has(b"ready\n"));
        let child = number_in(&place.path("child"));
        let driver = stage.driver();
        let waiter = tokio::spawn(async move { driver.wait_task("a/web/1", LIMIT).await });
        let driver = stage.driver();
        driver.stop_task("a/web/1", limit, name).await.unwrap();
        assert!(is_gone(child), "it had left the process group");
        let answer = waiter.await.unwrap().unwrap();
        assert_eq!((answer.err.as_str(), answer.result), ("", Some(ends)));
        driver.stop_task("a/web/1", limit, name).await.unwrap();
        let [stdout, _] = drains.map(Drain::until_writers_are_gone);
        assert_eq!(stdout, says);
        destroy(&stage, &place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_reaches_a_command_and_only_force_destroys_one_that_runs() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.01; done";
    stage.start(&place.command(script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let driver = stage.driver();
    driver.signal_task("a/web/1", "SIGHUP").await.unwrap();
    wait_until("the signal", || drains[0].has(b"ready\nhup\n"));
    let why = refusal(driver.signal_task("a/web/1", "SIGNONE").await);
    assert!(why.contains("signal: there is no \"SIGNONE\""), "{why}");
    let why = refusal(driver.destroy_task("a/web/1").await);
    assert!(why.contains("running"), "{why}");
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_begins_where_it_is_told_and_without_a_log_it_has_the_null_device() {
    let (stage, place) = (Stage::new().await, Place::new());
    let elsewhere = place.path("else where");
    std::fs::create_dir(&elsewhere).unwrap();
    let script = "seen=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo \"$seen\" >seen; exit 5";
    let mut task = place.task(&json!({
        "command": "sh", "args": ["-c", script], "work_dir": elsewhere.to_str().unwrap(),
    }));
    task.stdout_path = "/dev/null".to_owned();
    task.stderr_path = "/dev/null".to_owned();
    stage.start(&task).await;
    assert_eq!(stage.exit("a/web/1").await, exit(5, 0));
    let seen = std::fs::read_to_string(elsewhere.join("seen")).unwrap();
    assert_eq!(seen, "/dev/null\n/dev/null\n");
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_as_the_user_of_the_request() {
    const NAME: &str = "a_command_runs_as_the_user_of_the_request";
    if !is_root() {
        return skip(NAME, "only root can run a task as somebody else");
    }
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    place.open_to_all();
    let mut task = place.command("id -un; id -Gn; echo $USER; echo again >/dev/stdout; pwd");
    task.user = "nobody".to_owned();
    stage.start(&task).await;
    assert_eq!(stage.exit("a/web/1").await, exit(0, 0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    let stdout = String::from_utf8(stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let groups = std::process::Command::new("id")
        .args(["-Gn", "nobody"])
        .output();
    let groups = String::from_utf8(groups.unwrap().stdout).unwrap();
    assert_eq!(lines[..4], ["nobody", groups.trim_end(), "nobody", "again"]);
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_be_started_is_refused_by_name_and_leaves_nothing() {
    let (stage, place) = (Stage::new().await, Place::new());
    let refused = |task| {
        let driver = stage.driver();
        async move { refusal(driver.start_task(task).await) }
    };
    for (config, words) in [
        (
            json!({"command": "sh", "script": "exit_code = 1"}),
            "command, script: both are set",
        ),
        (
            json!({"command": "/no/such"}),
            "there is no program /no/such; looked for it at ",
        ),
        (
            json!({"command": "sh", "work_dir": "/no/such"}),
            "work_dir: there is no folder /no/such",
        ),
    ] {
        let _drains = place.fifos.drains();
        let why = refused(place.task(&config)).await;
        assert!(why.contains(words), "{config}: {why}");
    }
    let mut task = place.command("true");
    task.user = "nobody-of-this-name".to_owned();
    let why = refused(task).await;
    assert!(
        why.contains("user: there is no user \"nobody-of-this-name\""),
        "{why}"
    );
    for path in ["", "web"] {
        let mut task = place.command("true");
        task.stderr_path = path.to_owned();
        let why = refused(task).await;
        let words = format!("stderr_path: {path:?} is no absolute path");
        assert!(why.contains(&words), "{why}");
    }
    let mut task = place.command("true");
    task.stdout_path = place.path("web").to_str().unwrap().to_owned();
    let why = refused(task).await;
    assert!(why.contains("can't open stdout"), "{why}");
    place.until_nothing_is_left();
    // The id is free.
    let _drains = place.fifos.drains();
    stage.start(&place.command("exec sleep 1000")).await;
    let why = refused(place.command("true")).await;
    assert!(why.contains("was started already"), "{why}");
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_of_a_command_that_nobody_waits_for_any_more_starts_nothing() {
    let (stage, place) = (Stage::new().await, Place::new());
    let task = place.command("touch ../ran; exec sleep 1000");
    let driver = stage.driver();
    // It waits for a reader of the FIFOs.
    let call = tokio::spawn({
        let task = task.clone();
        async move { driver.start_task(task).await }
    });
    wait_until("the warden", || place.has_own("executor"));
    call.abort();
    place.until_nothing_is_left();
    let _drains = place.fifos.drains();
    let driver = stage.driver();
    wait_until("the id is free", || {
        let runtime = tokio::runtime::Handle::current();
        let start = driver.start_task(task.clone());
        tokio::task::block_in_place(|| runtime.block_on(start)).is_ok()
    });
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_uses_is_measured_by_the_executor_and_the_rest_is_left_out() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script = "(while :; do :; done) & echo ready; while :; do :; done";
    stage.start(&place.command(script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let driver = stage.driver();
    let mut stats = driver.task_stats("a/web/1", Duration::from_millis(200));
    let mut busiest: f64 = 0.0;
    for number in 0..4 {
        let answer = stats.next(LIMIT).await.unwrap().unwrap().stats.unwrap();
        assert_eq!(answer.id, "a/web/1");
        assert_eq!(answer.resource_usage_by_pid.len(), 2);
        let usage = answer.agg_resource_usage.unwrap();
        let (cpu, memory) = (usage.cpu.unwrap(), usage.memory.unwrap());
        let has_percent = cpu.measured_fields.contains(&CpuField::Percent.into());
        // Between what moments it was used is known from the second on.
        assert_eq!(has_percent, number > 0, "{cpu:?}");
        let measured: BTreeSet<i32> = memory.measured_fields.iter().copied().collect();
        let wanted = [MemoryField::Rss, MemoryField::Swap].map(i32::from);
        assert_eq!(measured, BTreeSet::from(wanted));
        assert!(
            memory.rss > 100_000 && memory.rss < 1_000_000_000,
            "{}",
            memory.rss
        );
        assert_eq!((memory.max_usage, memory.usage), (0, 0));
        busiest = busiest.max(cpu.percent);
    }
    assert!(busiest > 1.0, "{busiest}");
    driver
        .stop_task("a/web/1", Duration::ZERO, "")
        .await
        .unwrap();
    while stats.next(LIMIT).await.unwrap().is_some() {}
    // One that has ended is told once, and nothing of it is measured.
    let mut stats = driver.task_stats("a/web/1", Duration::ZERO);
    let answer = stats.next(LIMIT).await.unwrap().unwrap().stats.unwrap();
    let usage = answer.agg_resource_usage.unwrap();
    let (cpu, memory) = (usage.cpu.unwrap(), usage.memory.unwrap());
    assert!(cpu.measured_fields.is_empty() && memory.measured_fields.is_empty());
    assert!(stats.next(LIMIT).await.unwrap().is_none());
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_within_runs_beside_the_first_one_in_what_contains_it() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let task = place.command("cat /proc/self/cgroup; echo; exec sleep 1000");
    stage.start(&task).await;
    wait_until("the task", || drains[0].so_far().ends_with(b"\n\n"));
    let driver = stage.driver();
    let script = "cat /proc/self/cgroup; echo; pwd; echo $WHO $DEVICE; echo err >&2; exit 4";
    let answer = driver
        .exec_task("a/web/1", shell(script), LONG)
        .await
        .unwrap();
    let groups = String::from_utf8(drains[0].so_far()).unwrap();
    let folder = std::fs::canonicalize(place.path("web")).unwrap();
    let says = format!("{groups}{}\nenv gpu\nerr\n", folder.display());
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), says);
    assert_eq!((answer.stderr, answer.result), (vec![], Some(exit(4, 0))));
    let answer = driver.exec_task("a/web/1", shell("kill -9 $$"), LONG).await;
    assert_eq!(answer.unwrap().result, Some(exit(137, 9)));
    let why = refusal(driver.exec_task("a/web/1", Vec::new(), LONG).await);
    assert!(why.contains("command: it is empty"), "{why}");
    let none = vec!["/no/such".to_owned()];
    let why = refusal(driver.exec_task("a/web/1", none, LONG).await);
    assert!(why.contains("there is no program /no/such"), "{why}");
    destroy(&stage, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_within_ends_with_its_time_its_call_and_its_task() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    stage.start(&place.command("exec sleep 1000")).await;
    let driver = stage.driver();
    let script = "echo begun; sleep 1000 & sleep 1000";
    let mut brief = Duration::from_millis(300);
    loop {
        let answer = driver.exec_task("a/web/1", shell(script), brief).await;
        let answer = answer.unwrap();
        assert_eq!(answer.result, Some(exit(137, 9)));
        if answer.stdout == b"begun\n" {
            break;
        }
        // A busy machine lets it not even begin.
        assert_eq!(answer.stdout, b"");
        brief *= 2;
        assert!(brief < LONG, "a shell does not begin");
    }
    wait_until("the end of the command", || place.processes().len() == 1);

    let script = "sleep 1000 & echo $! >../pid; wait";
    let call = tokio::spawn({
        let driver = stage.driver();
        async move { driver.exec_task("a/web/1", shell(script), LONG).await }
    });
    let pid = number_in(&place.path("pid"));
    call.abort();
    wait_until("the end of the command", || is_gone(pid));

    let script = "echo said; echo $$ >../last; exec sleep 1000";
    let call = tokio::spawn(async move { driver.exec_task("a/web/1", shell(script), LONG).await });
    number_in(&place.path("last"));
    destroy(&stage, &place).await;
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.stdout, b"said\n");
    assert_eq!(answer.result, Some(exit(137, 9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_is_configured_with_beside_is_as_of_any_task() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config = json!({
        "command": "sleep", "args": ["1000"], "signal_error": "not now", "exit_err_msg": "out of luck",
        "exec_command": {"stdout_string": "played", "exit_code": 6},
    });
    stage.start(&place.task(&config)).await;
    let driver = stage.driver();
    let answer = driver.exec_task("a/web/1", shell("exit 1"), LONG).await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.stdout, answer.result),
        (b"played".to_vec(), Some(exit(6, 0)))
    );
    let why = refusal(driver.signal_task("a/web/1", "SIGKILL").await);
    assert!(why.contains("not now"), "{why}");
    driver.stop_task("a/web/1", LONG, "").await.unwrap();
    let answer = driver.wait_task("a/web/1", LIMIT).await.unwrap();
    assert_eq!(answer.result, Some(exit(143, 15)));
    assert_eq!(answer.err, "out of luck");
    let why = refusal(driver.exec_task("a/web/1", shell("true"), LONG).await);
    assert!(why.contains("has ended"), "{why}");
}
