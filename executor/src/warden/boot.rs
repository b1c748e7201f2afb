//! What tells one start of this machine from another (edge).

use std::fs;
use std::io;

/// Gives the id of this start of the machine: no process, and no pid, is the same in another, random(4).
///
/// # Errors
/// The error of reading it.
pub(crate) fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}
