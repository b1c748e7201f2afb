//! What stands in the files of a cgroup, of version 2 and of version 1 (core).
//!
//! Version 2 says everything in `cpu.stat`, in microseconds, without the cpu controller too. In version 1 a
//! file of that name has only the throttling, and the controller cpuacct counts: `cpuacct.usage` in nanoseconds,
//! `cpuacct.stat` in ticks.

use std::time::Duration;

use super::error::ParseError;
use super::proc_files::{number_in, of_ticks, words};
use super::sample::{CpuTime, Throttling};
use super::source::{GroupCpu, Listing};
use super::units::Machine;

/// Adds the processes in `cgroup.procs` to the listing. A pid may stand there twice. One that is 0 belongs to a
/// process outside of the reader's pid namespace.
pub(super) fn add_processes(text: &[u8], listing: &mut Listing) -> Result<(), ParseError> {
    for word in words(text) {
        let number = number_in(word, "a pid")?;
        match u32::try_from(number) {
            Ok(0) => listing.hidden += 1,
            Ok(pid) => {
                listing.pids.insert(pid);
            }
            Err(_) => return Err(ParseError::malformed("a pid", word)),
        }
    }
    Ok(())
}

/// Gives what `cpu.stat` counts; none if it is the file of version 1, which counts no time.
pub(super) fn of_cpu_stat(text: &[u8]) -> Result<Option<GroupCpu>, ParseError> {
    let micros = |key| Ok(value_of(text, key)?.map(Duration::from_micros));
    let Some(total) = micros("usage_usec")? else {
        return Ok(None);
    };
    let needed = |key| micros(key)?.ok_or_else(|| ParseError::missing(key, text));
    let cpu = CpuTime {
        user: needed("user_usec")?,
        system: needed("system_usec")?,
        total,
    };
    // These two are there only with the cpu controller.
    let periods = value_of(text, "nr_throttled")?;
    let time = micros("throttled_usec")?;
    let throttling = periods
        .zip(time)
        .map(|(periods, time)| Throttling { periods, time });
    Ok(Some(GroupCpu { cpu, throttling }))
}

/// Gives what the controller cpuacct of version 1 counts.
pub(super) fn of_cpuacct(
    usage: &[u8],
    stat: &[u8],
    machine: &Machine,
) -> Result<GroupCpu, ParseError> {
    let field = "cpuacct.usage";
    let word = words(usage).next();
    let nanos = number_in(
        word.ok_or_else(|| ParseError::missing(field, usage))?,
        field,
    )?;
    let ticks = |key| {
        let ticks = value_of(stat, key)?.ok_or_else(|| ParseError::missing(key, stat))?;
        Ok(of_ticks(ticks, machine))
    };
    let cpu = CpuTime {
        user: ticks("user")?,
        system: ticks("system")?,
        total: Duration::from_nanos(nanos),
    };
    let throttling = None;
    Ok(GroupCpu { cpu, throttling })
}

/// The number behind the key on its line, in a file of such lines.
fn value_of(text: &[u8], key: &'static str) -> Result<Option<u64>, ParseError> {
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = words(line);
        if words.next() == Some(key.as_bytes()) {
            let word = words.next();
            let word = word.ok_or_else(|| ParseError::missing(key, line))?;
            return number_in(word, key).map(Some);
        }
    }
    Ok(None)
}
