//! Edge: a thousand tasks in one process.

use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::support::{Place, lines, write_all};

/// As many tasks as the hard limit of descriptors leaves room for, at most a thousand.
fn task_count() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    usize::try_from(hard.saturating_sub(100) / 16)
        .unwrap()
        .min(1000)
}

/// What a task may cost (contract COST-2).
const COST_2_BYTES: u64 = 100_000;
/// What one may cost that was only started, with half as much to spare: on a busy machine more starts are under way at
/// once, and the allocator keeps what they needed.
const IDLE_BYTES: u64 = 5120;

/// The memory of the process that lies in no file (`proc_pid_smaps(5)`). That of files is shared with other
/// processes of the same program, which come and go.
fn anonymous_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

#[test]
fn a_thousand_tasks_are_started_written_to_rotated_and_stopped_byte_exact() {
    let place = Place::new();
    let server = place.serve();
    let count = task_count();
    assert!(
        count > 20,
        "too few descriptors for this test: {count} tasks"
    );
    let tasks: Vec<String> = (0..count).map(|number| format!("task{number}")).collect();
    let log_dir = |task: &str| place.path("logs").join(task);
    let empty_bytes = anonymous_bytes(server.pid());
    let mut client = place.client();
    for batch in tasks.chunks(100) {
        let mut requests = String::new();
        for task in batch {
            std::fs::create_dir(log_dir(task)).unwrap();
            let mut request = place.start_request(task, 4, 250);
            request["log_dir"] = json!(log_dir(task));
            request["id"] = json!(task.len());
            requests += &format!("{request}\n");
        }
        client.send(requests.as_bytes());
        for task in batch {
            let answer = client.answer();
            assert_eq!(answer["id"], task.len());
            assert_eq!(answer["ok"], true, "{answer}");
        }
    }
    // What a first task costs is spread over few if there are few.
    if count == 1000 {
        let per_task = (anonymous_bytes(server.pid()) - empty_bytes) / count as u64;
        assert!(per_task < IDLE_BYTES, "{per_task} bytes a task that waits");
    }
    for (number, task) in tasks.iter().enumerate() {
        // 2 lines a file: what is over 4 files is deleted.
        write_all(&place.writer(&format!("{task}.out")), &lines(number, 9));
        write_all(&place.writer(&format!("{task}.err")), &lines(number, 3));
    }
    // The memory of the pipes is the kernel's, and beside this figure.
    let per_task = (anonymous_bytes(server.pid()) - empty_bytes) / count as u64;
    assert!(per_task < COST_2_BYTES, "{per_task} bytes a task");
    let status = client.ask(&json!({"v": 1, "op": "status"}));
    assert_eq!(status["tasks"].as_array().unwrap().len(), count);
    for batch in tasks.chunks(100) {
        let mut requests = String::new();
        for task in batch {
            requests += &format!("{}\n", json!({"v": 1, "op": "stop", "task": task}));
        }
        client.send(requests.as_bytes());
        for task in batch {
            let answer = client.answer();
            assert_eq!(
                answer["stopped"]["stdout"]["written_bytes"], 900,
                "{task} {answer}"
            );
            assert_eq!(
                answer["stopped"]["stdout"]["rotations"], 5,
                "{task} {answer}"
            );
            assert_eq!(
                answer["stopped"]["stderr"]["written_bytes"], 300,
                "{task} {answer}"
            );
        }
    }
    for (number, task) in tasks.iter().enumerate() {
        let file = |stream: &str, index: usize| {
            let path = log_dir(task).join(format!("{task}.{stream}.{index}"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        assert_eq!(
            std::fs::read_dir(log_dir(task)).unwrap().count(),
            6,
            "{task}"
        );
        for index in 1..5 {
            let rest = if index == 4 { 1 } else { 2 };
            assert_eq!(
                file("stdout", index),
                lines(number + 2 * index, rest),
                "{task}"
            );
        }
        assert_eq!(file("stderr", 0), lines(number, 2), "{task}");
        assert_eq!(file("stderr", 1), lines(number + 2, 1), "{task}");
    }
    assert_eq!(server.stop(), Some(0));
}
