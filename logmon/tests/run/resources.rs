//! Edge: no growth and no spinning (contract COST-1, COST-3, HEAL-7).

use std::time::Duration;

use crate::subject::let_pass;
use crate::support::{Place, lines, wait_until, write_all};

#[test]
fn fifty_generations_add_no_thread_and_no_descriptor() {
    let place = Place::new();
    let mut command = place.command("5", "1MiB");
    // The second stream is never opened by a writer.
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stderr", place.path("err").display()));
    let logmon = place.start_command(command);
    let mut expected = Vec::new();
    let mut counts = Vec::new();
    for generation in 0..50 {
        place.write(&lines(generation, 2));
        expected.extend(lines(generation, 2));
        place.wait_for_log(&expected);
        counts.push((logmon.thread_count(), logmon.descriptors().len()));
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    assert_eq!(
        counts[0].0, 5,
        "the main one, two for streams of which one may hang, the guard, and who writes diagnostics to a file"
    );
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn it_does_not_spin_before_the_first_writer_nor_after_the_last() {
    let place = Place::new();
    let logmon = place.start("5", "1MiB");
    assert_idle(&logmon);
    place.write(&lines(0, 2));
    place.wait_for_log(&lines(0, 2));
    assert_idle(&logmon);
    let silent = place.writer();
    assert_idle(&logmon);
    write_all(&silent, b"x");
    wait_until("the byte is there", || place.log().ends_with(b"x"));
    assert_idle(&logmon);
}

#[track_caller]
fn assert_idle(logmon: &crate::subject::Logmon) {
    let before = logmon.cpu_ticks();
    let_pass(Duration::from_millis(300));
    let used = logmon.cpu_ticks() - before;
    assert!(used <= 2, "{used} ticks of 30");
}
