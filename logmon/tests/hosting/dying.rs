//! The plugin dies, its supervisor dies, or both.

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid};

use crate::Named;
use crate::playing::DEATHS;
use crate::stage::{Stage, is_gone, kill_9, send};
use crate::support::{lines, write_all};

pub(crate) fn tests() -> Vec<Named> {
    vec![
        ("a_stop_drains_and_leaves_nothing", stop),
        ("a_dead_plugin_is_started_again", dead_plugin),
        (
            "what_a_terminal_sends_is_for_the_supervisor",
            own_process_group,
        ),
        (
            "a_supervisor_finds_the_plugin_of_the_one_before",
            dead_supervisor,
        ),
        (
            "with_a_keeper_a_plugin_that_dies_without_a_supervisor_costs_nothing",
            both_with_a_keeper,
        ),
        (
            "without_a_keeper_logging_goes_on_after_both_have_died",
            both_without_a_keeper,
        ),
        (
            "a_plugin_that_dies_in_its_start_is_started_again",
            dies_in_its_start,
        ),
        ("bytes_that_were_lost_are_the_exit_code", loses),
    ]
}

fn stop() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.alone());
    write_all(&stage.writer(), &lines(0, 40));
    assert_eq!(supervisor.stop(), Some(0));
    assert!(stage.log() == lines(0, 40));
    stage.assert_nothing_is_left();
}

fn own_process_group() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.alone());
    let plugin = Pid::from_raw(stage.plugin().pid);
    assert_eq!(getpgid(Some(plugin)).unwrap(), plugin);
    send(supervisor.pid(), Signal::SIGINT);
    assert_eq!(supervisor.code(), Some(0));
    stage.assert_nothing_is_left();
}

fn dead_plugin() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.kept());
    let writer = stage.writer();
    let mut plugin = stage.plugin().pid;
    for life in 0..4 {
        write_all(&writer, &lines(2 * life, 1));
        stage.wait_for_log(&lines(0, 2 * life + 1));
        kill_9(plugin);
        write_all(&writer, &lines(2 * life + 1, 1));
        plugin = stage.another_plugin(plugin);
        stage.wait_for_log(&lines(0, 2 * life + 2));
    }
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

fn dead_supervisor() {
    let stage = Stage::new();
    stage.start(&stage.kept()).kill();
    let plugin = stage.plugin().pid;
    let writer = stage.writer();
    write_all(&writer, &lines(0, 2));
    stage.wait_for_log(&lines(0, 2));
    let supervisor = stage.start(&stage.kept());
    assert_eq!(stage.plugin().pid, plugin);
    write_all(&writer, &lines(2, 2));
    stage.wait_for_log(&lines(0, 4));
    // It is not the parent of this one, and still sees its end.
    kill_9(plugin);
    let next = stage.another_plugin(plugin);
    write_all(&writer, &lines(4, 2));
    stage.wait_for_log(&lines(0, 6));
    supervisor.kill();
    assert!(!is_gone(next));
    let supervisor = stage.start(&stage.kept());
    assert_eq!(stage.plugin().pid, next);
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

fn both_with_a_keeper() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.kept());
    let plugin = stage.plugin().pid;
    let writer = stage.writer();
    write_all(&writer, &lines(0, 10));
    supervisor.kill();
    write_all(&writer, &lines(10, 10));
    kill_9(plugin);
    write_all(&writer, &lines(20, 10));
    let supervisor = stage.start(&stage.kept());
    assert_ne!(stage.plugin().pid, plugin);
    stage.wait_for_log(&lines(0, 30));
    assert_eq!(supervisor.stop(), Some(0));
    // Nobody who could have known whose the socket was saw that plugin die.
    stage.assert_nothing_is_left();
}

fn both_without_a_keeper() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    write_all(&stage.writer(), &lines(0, 10));
    stage.wait_for_log(&lines(0, 10));
    kill_9(stage.plugin().pid);
    let supervisor = stage.start(&stage.alone());
    write_all(&stage.writer(), &lines(10, 10));
    stage.wait_for_log(&lines(0, 20));
    assert_eq!(supervisor.stop(), Some(0));
}

fn dies_in_its_start() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.played("dies"));
    let starts = vec!["start web.stdout"; DEATHS + 1];
    assert_eq!(stage.notes(), starts);
    // What it died of is told, with its code.
    let diagnostics = stage.place.diagnostics();
    assert!(diagnostics.contains("ended with code 9"), "{diagnostics}");
    assert_eq!(supervisor.stop(), Some(0));
    assert_eq!(stage.notes(), [starts, vec!["stop"]].concat());
}

fn loses() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.played("loses"));
    assert_eq!(supervisor.stop(), Some(71));
    let diagnostics = stage.place.diagnostics();
    assert!(diagnostics.contains("7 bytes could not"), "{diagnostics}");
}
