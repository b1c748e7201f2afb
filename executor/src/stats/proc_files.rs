//! What stands in `/proc/PID/stat`, `statm` and `status`, proc(5) (core).

use std::time::Duration;

use super::error::ParseError;
use super::sample::CpuTime;
use super::units::Machine;

/// What is used of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Field 4. 0 stands for a parent outside of this pid namespace, or none.
    pub(super) parent: u32,
    /// Fields 14 and 15, and their sum. Field 42, the delay of block I/O, is no CPU time.
    pub(super) cpu: CpuTime,
    /// Field 22, in ticks since the machine began. With the pid it names one process.
    pub(super) started_ticks: u64,
}

impl Stat {
    /// Reads the file. The name in parentheses may itself have spaces, newlines and parentheses, so the fields
    /// begin behind the last closing one.
    pub(super) fn parse(text: &[u8], machine: &Machine) -> Result<Stat, ParseError> {
        let end_of_name = text.iter().rposition(|byte| *byte == b')');
        let end_of_name = end_of_name.ok_or_else(|| ParseError::missing("(2) comm", text))?;
        let fields: Vec<&[u8]> = words(&text[end_of_name + 1..]).collect();
        // The first of them is field 3.
        let field = |number: usize, name| {
            let word = fields.get(number - 3).copied();
            number_in(word.ok_or_else(|| ParseError::missing(name, text))?, name)
        };
        let parent = field(4, "(4) ppid")?;
        let parent = u32::try_from(parent)
            .map_err(|_| ParseError::malformed("(4) ppid", parent.to_string().as_bytes()))?;
        let user = of_ticks(field(14, "(14) utime")?, machine);
        let system = of_ticks(field(15, "(15) stime")?, machine);
        let total = user.saturating_add(system);
        Ok(Stat {
            parent,
            cpu: CpuTime {
                user,
                system,
                total,
            },
            started_ticks: field(22, "(22) starttime")?,
        })
    }
}

/// Gives the bytes of a process in memory, the second number of `/proc/PID/statm`.
pub(super) fn resident_bytes(statm: &[u8], machine: &Machine) -> Result<u64, ParseError> {
    let field = "(2) resident";
    let word = words(statm).nth(1);
    let pages = number_in(
        word.ok_or_else(|| ParseError::missing(field, statm))?,
        field,
    )?;
    Ok(pages.saturating_mul(u64::from(machine.page_bytes.get())))
}

/// Gives the bytes of a process in swap, `VmSwap` of `/proc/PID/status`; none if the kernel doesn't say. A process
/// without an address space, as one that has ended and was not waited for, has no bytes anywhere.
pub(super) fn swapped_bytes(status: &[u8]) -> Result<Option<u64>, ParseError> {
    // A name can't forge a line: its newlines are written as `\n` here.
    let line = |start: &[u8]| {
        let mut lines = status.split(|byte| *byte == b'\n');
        lines.find_map(|line| line.strip_prefix(start))
    };
    let Some(value) = line(b"VmSwap:") else {
        let has_address_space = line(b"VmSize:").is_some();
        return Ok((!has_address_space).then_some(0));
    };
    let mut words = words(value);
    let (number, unit) = (words.next(), words.next());
    let number = number.ok_or_else(|| ParseError::missing("VmSwap", value))?;
    if unit != Some(b"kB") {
        return Err(ParseError::malformed("VmSwap", value));
    }
    // What is called kB there are 1024 bytes.
    Ok(Some(number_in(number, "VmSwap")?.saturating_mul(1024)))
}

/// The words between blanks.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The decimal number that the word is, without a sign.
pub(super) fn number_in(word: &[u8], field: &'static str) -> Result<u64, ParseError> {
    let malformed = || ParseError::malformed(field, word);
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let text = std::str::from_utf8(word).map_err(|_| malformed())?;
    text.parse().map_err(|_| malformed())
}

/// The time that so many ticks take. No number of ticks is too large.
pub(super) fn of_ticks(ticks: u64, machine: &Machine) -> Duration {
    let per_second = u64::from(machine.ticks_per_second.get());
    let rest_nanos = (ticks % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(ticks / per_second).saturating_add(Duration::from_nanos(rest_nanos))
}
