//! Tests of the mock driver as a plugin of Nomad whose tasks are real commands.

use predicates::str::contains;
use tempfile::tempdir;

use crate::nomad::{DECLARED, TASK, run_declaring};

#[test]
fn a_command_of_the_plugin_holds_the_fifos_itself_unless_it_is_forwarded() {
    let words = [
        "--plugin-args",
        "mock-driver plugin",
        "--filter",
        "data/smoke",
    ];
    let forwards = format!("forwards,{DECLARED}");
    let forwarded = format!("{TASK}forwards = true\n");
    let told =
        |task: &str, declared: &str| run_declaring(&tempdir().unwrap(), task, declared, &words);
    told(TASK, DECLARED).code(0).stdout(contains("1 pass"));
    told(&forwarded, &forwards)
        .code(0)
        .stdout(contains("1 pass"));
    told(TASK, &forwards)
        .code(69)
        .stderr(contains("the task itself holds a FIFO's write end"));
}
