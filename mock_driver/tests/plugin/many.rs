//! Tasks side by side.

use crate::stage::{Place, Stage, exit};
use crate::support::Drain;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_tasks_run_side_by_side_and_each_has_its_own_output_and_exit() {
    const TASKS: i32 = 20;
    let stage = Stage::new().await;
    let places: Vec<Place> = (0..TASKS).map(|_| Place::new()).collect();
    let drains: Vec<_> = places.iter().map(|place| place.fifos.drains()).collect();
    let mut starts = Vec::new();
    for (number, place) in (0..).zip(&places) {
        let mut task = place.gated(
            &format!("echo {number}; GATE seq 1 2000; exit {number}"),
            "go",
        );
        task.id = format!("a/web/{number}");
        let driver = stage.driver();
        starts.push(tokio::spawn(async move { driver.start_task(task).await }));
    }
    for start in starts {
        start.await.unwrap().unwrap();
    }
    for place in &places {
        place.open("go");
    }
    let count: String = (1..=2000).map(|line| format!("{line}\n")).collect();
    for (number, [stdout, _]) in (0..).zip(drains) {
        let id = format!("a/web/{number}");
        assert_eq!(stage.exit(&id).await, exit(number, 0));
        let stdout = Drain::until_writers_are_gone(stdout);
        let all = String::from_utf8(stdout).unwrap();
        assert!(all == format!("{number}\n{count}"), "{} bytes", all.len());
        stage.driver().destroy_task(&id).await.unwrap();
    }
    for place in &places {
        place.until_nothing_is_left();
    }
}
