//! What a task uses.

use std::time::{Duration, Instant};

use plugin::proto::driver::cpu_usage::Fields as CpuField;
use plugin::proto::driver::memory_usage::Fields as MemoryField;

use crate::stage::{Place, Stage};
use crate::support::{LIMIT, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_task_is_told_with_its_processes_at_the_interval_that_is_asked_for() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script = "(while :; do :; done) & echo ready; while :; do :; done";
    stage.start(&place.shell(script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let interval = Duration::from_millis(200);
    let begin = Instant::now();
    let mut stats = stage.driver().task_stats("a/web/1", interval);
    // The host refuses an answer without stats, timestamp and aggregate.
    let mut busiest: f64 = 0.0;
    for _ in 0..4 {
        let answer = stats.next(LIMIT).await.unwrap().unwrap().stats.unwrap();
        assert_eq!(answer.id, "a/web/1");
        assert_eq!(answer.resource_usage_by_pid.len(), 2);
        let usage = answer.agg_resource_usage.unwrap();
        let (cpu, memory) = (usage.cpu.unwrap(), usage.memory.unwrap());
        assert!(cpu.measured_fields.contains(&CpuField::Percent.into()));
        assert!(memory.measured_fields.contains(&MemoryField::Rss.into()));
        assert!(
            memory.rss > 100_000 && memory.rss < 1_000_000_000,
            "{}",
            memory.rss
        );
        assert!(cpu.percent < 100.0 * 300.0, "{}", cpu.percent);
        busiest = busiest.max(cpu.percent);
    }
    assert!(busiest > 1.0, "{busiest}");
    assert!(begin.elapsed() >= 3 * interval, "{:?}", begin.elapsed());
    stage
        .driver()
        .stop_task("a/web/1", Duration::ZERO, "")
        .await
        .unwrap();
    // What is on its way may come first.
    while stats.next(LIMIT).await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_has_ended_is_told_once_and_whole() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    stage.start(&place.shell("true")).await;
    stage.exit("a/web/1").await;
    let mut stats = stage.driver().task_stats("a/web/1", Duration::ZERO);
    let answer = stats.next(LIMIT).await.unwrap().unwrap().stats.unwrap();
    let usage = answer.agg_resource_usage.unwrap();
    assert_eq!(
        (usage.cpu.unwrap().percent, usage.memory.unwrap().rss),
        (0.0, 0)
    );
    assert!(stats.next(LIMIT).await.unwrap().is_none());
}
