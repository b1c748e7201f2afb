//! End-to-end tests of the harness program: only its command line, its exit codes and the files
//! that it writes.

mod command_line;
mod interruption;
mod program;
mod reports;
mod subjects;
