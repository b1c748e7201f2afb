//! Plays cases: real processes, real FIFOs, conditions and faults. (edge)
//!
//! Every case is played by a process of its own, the case process, which is the parent of the
//! subjects, adopts whatever they leave behind, and ends with all of it. The parent only starts it,
//! waits, and cleans up if it is killed. The two share nothing but the case's folder.

mod actions;
mod adapter;
mod again;
mod case_process;
mod closings;
mod command;
mod conditions;
mod direct;
mod faults;
mod finish;
mod freeze;
mod hold;
mod instants;
mod kills;
mod kin;
mod limited;
mod load;
mod logmon;
mod many;
mod misplaced;
mod namespace;
mod nodes;
mod outputs;
mod plants;
mod play;
mod point;
mod prepare;
mod sampling;
mod second;
mod spawn;
mod stage;
mod stalling;
mod tail;
mod trace_file;
mod words;

pub use case_process::case_main;
pub use hold::Hold;
pub use limited::{LIMITED_WORD, limited_main};
pub use load::{LoadError, load};
pub use namespace::{MACHINE_PROBE_WORD, machine_allows, machine_capabilities, machine_probe_main};
pub(crate) use play::with_case_processes;
pub use play::{Played, RunnerError, play, play_until};
pub use point::{NoSuchPoint, check_point};
