//! Asks this machine what it counts in (edge).

use std::io;
use std::num::NonZeroU32;

use nix::unistd::{SysconfVar, sysconf};

use super::error::StatsError;
use super::units::Machine;

impl Machine {
    /// Gives the units of this machine, from `sysconf(3)`.
    ///
    /// # Errors
    /// [`StatsError::Machine`] if it does not know one of them.
    pub fn this() -> Result<Machine, StatsError> {
        Ok(Machine {
            ticks_per_second: asked(SysconfVar::CLK_TCK, "the ticks of a second")?,
            page_bytes: asked(SysconfVar::PAGE_SIZE, "the bytes of a page")?,
            processors: asked(SysconfVar::_NPROCESSORS_ONLN, "the processors")?,
        })
    }
}

fn asked(variable: SysconfVar, what: &'static str) -> Result<NonZeroU32, StatsError> {
    let failed = |source| StatsError::Machine { what, source };
    let answer = sysconf(variable).map_err(|errno| failed(errno.into()))?;
    answer
        .and_then(|number| u32::try_from(number).ok())
        .and_then(NonZeroU32::new)
        .ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}
