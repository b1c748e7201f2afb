//! The task restarts, and the plugin is told again what it collects.

use crate::Named;
use crate::stage::{Stage, is_gone};
use crate::support::{lines, wait_until, write_all};

pub(crate) fn tests() -> Vec<Named> {
    vec![
        (
            "a_task_that_restarts_is_collected_again_by_a_plugin_that_ends_with_the_last_writer",
            generations,
        ),
        (
            "a_plugin_that_does_not_want_to_be_told_again_is_let_be_and_told_of_once",
            refuses_again,
        ),
        ("a_good_plugin_is_told_again_without_a_word", nothing_to_do),
    ]
}

fn generations() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.played("copies"));
    let plugin = stage.plugin().pid;
    for generation in 0..3 {
        let writers = stage.writers();
        for writer in &writers {
            write_all(writer, &lines(5 * generation, 5));
        }
        let expected = lines(0, 5 * (generation + 1));
        wait_until("both streams are read", || {
            ["stdout", "stderr"]
                .iter()
                .all(|end| stage.log_of(end) == expected)
        });
        drop(writers);
        // Before that, nobody has noticed that one task has ended and another one has begun.
        wait_until("both copies have ended", || {
            stage.ends_of_file() == 2 * (generation + 1)
        });
    }
    assert_eq!(stage.plugin().pid, plugin, "it was replaced");
    assert_eq!(supervisor.stop(), Some(0));
    assert_eq!(stage.notes(), ["start web.stdout", "stop"]);
    stage.assert_nothing_is_left();
}

fn refuses_again() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.played("refuses-again"));
    let plugin = stage.plugin().pid;
    wait_until("it was told again twice", || stage.told_again() >= 2);
    wait_until("a third time, so the second is done", || {
        stage.told_again() >= 3
    });
    assert_eq!(stage.plugin().pid, plugin, "it was replaced");
    assert!(!is_gone(plugin));
    assert_eq!(supervisor.stop(), Some(0));
    let diagnostics = stage.place.diagnostics();
    assert_eq!(diagnostics.matches("not twice").count(), 1, "{diagnostics}");
    assert_eq!(stage.notes(), ["start web.stdout", "stop"]);
}

/// Nothing changes for a stream that runs (contract MON-4), whatever the other one does.
fn nothing_to_do() {
    let stage = Stage::new();
    let other = Stage::new();
    let _other_supervisor = other.start(&other.played("copies"));
    let supervisor = stage.start(&stage.alone());
    let [stdout, stderr] = stage.writers();
    drop(stderr);
    let mut written = 0;
    // The other one is told as often as this one, and says so.
    wait_until("both were told again", || {
        write_all(&stdout, &lines(written, 1));
        written += 1;
        other.told_again() >= 3
    });
    stage.wait_for_log(&lines(0, written));
    assert_eq!(supervisor.stop(), Some(0));
    let diagnostics = stage.place.diagnostics();
    assert_eq!(
        diagnostics.matches("AlreadyRunning").count(),
        0,
        "{diagnostics}"
    );
    stage.assert_nothing_is_left();
}
