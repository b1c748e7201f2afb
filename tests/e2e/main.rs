//! End-to-end tests of the harness program: only its command line, its exit codes and the files
//! that it writes.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod adapter;
mod annotations;
mod asked;
mod beside;
mod bundles;
mod ci;
mod ci_nomad;
mod command_line;
mod config;
mod expected;
mod interruption;
mod manual;
mod many_tasks;
mod nomad;
mod nomad_commands;
mod nomad_doctor;
mod nomad_sockets;
mod program;
mod recovery;
mod reports;
mod schema;
mod shards;
mod stop_at;
mod subjects;
mod sweep;
mod transcript;
mod troubles;
mod wire;
mod wrapped;
