//! Tests with real containers. They need root, a build with the feature `isolate`, and cgroups; who lacks one of them
//! says so by the name of the test.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod around;
mod beside;
mod command;
mod ending;
#[path = "../tasks/hearing.rs"]
mod hearing;
mod limits;
mod output;
mod rights;
mod root;
mod speaking;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "it is the stage of the other tasks, too"
)]
#[path = "../tasks/stage.rs"]
mod stage;
