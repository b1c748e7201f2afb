//! The plugin stands still.

use nix::sys::signal::Signal;

use crate::Named;
use crate::stage::{Stage, is_gone, send};
use crate::support::{lines, write_all};

pub(crate) fn tests() -> Vec<Named> {
    vec![
        ("a_frozen_plugin_is_killed_and_replaced", at_work),
        (
            "a_frozen_plugin_of_before_is_killed_and_replaced",
            found_frozen,
        ),
        (
            "a_plugin_that_does_not_answer_its_start_is_killed_and_replaced",
            in_its_start,
        ),
        (
            "a_plugin_that_is_frozen_at_the_stop_is_killed_and_another_one_drains",
            at_the_stop,
        ),
    ]
}

fn at_work() {
    // This one is well, and is asked as often as the one that is not.
    let other = Stage::new();
    let _other_supervisor = other.start(&other.alone());
    let well = other.plugin().pid;
    let stage = Stage::new();
    let supervisor = stage.start(&stage.kept());
    let writer = stage.writer();
    let plugin = stage.plugin().pid;
    send(plugin, Signal::SIGSTOP);
    write_all(&writer, &lines(0, 10));
    let next = stage.another_plugin(plugin);
    assert!(is_gone(plugin), "there are two");
    stage.wait_for_log(&lines(0, 10));
    // The next one is asked, too.
    send(next, Signal::SIGSTOP);
    write_all(&writer, &lines(10, 10));
    stage.another_plugin(next);
    stage.wait_for_log(&lines(0, 20));
    assert_eq!(other.plugin().pid, well, "one that was well was replaced");
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

fn in_its_start() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.played("waits"));
    assert_eq!(stage.notes(), ["start web.stdout"; 2]);
    let played = stage.processes();
    let played = played.iter().filter(|(_, words)| words.contains("waits"));
    // The supervisor has the word on its command line, too.
    assert_eq!(played.count(), 2);
    assert_eq!(supervisor.stop(), Some(0));
}

fn found_frozen() {
    let stage = Stage::new();
    stage.start(&stage.kept()).kill();
    let plugin = stage.plugin().pid;
    send(plugin, Signal::SIGSTOP);
    let writer = stage.writer();
    write_all(&writer, &lines(0, 10));
    let supervisor = stage.start(&stage.kept());
    assert!(is_gone(plugin), "there are two");
    stage.wait_for_log(&lines(0, 10));
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

fn at_the_stop() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.kept());
    let plugin = stage.plugin().pid;
    let writer = stage.writer();
    send(plugin, Signal::SIGSTOP);
    write_all(&writer, &lines(0, 10));
    assert_eq!(supervisor.stop(), Some(0));
    assert!(is_gone(plugin));
    assert!(stage.log() == lines(0, 10));
    stage.assert_nothing_is_left();
}
