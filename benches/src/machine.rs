//! Edge: what this machine is, in the words that stand beside the figures.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// "2 cores, virtual machine, Linux 6.18".
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let is_virtual = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .any(|line| line.starts_with("flags") && line.contains(" hypervisor"))
    });
    let kind = if is_virtual { " virtual machine" } else { "" };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: Vec<_> = release.trim().splitn(3, '.').take(2).collect();
    format!("{cores} cores{kind}, Linux {}", version.join("."))
}

/// The mean number of runnable processes over the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// "tmpfs" or "disk".
pub(crate) fn kind_of_place(place: &Path) -> String {
    let is_tmpfs = statfs(place).is_ok_and(|facts| facts.filesystem_type() == TMPFS_MAGIC);
    if is_tmpfs { "tmpfs" } else { "disk" }.to_owned()
}

/// Says whether a program is found on the path.
pub(crate) fn has_program(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|paths| {
        std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
    })
}
