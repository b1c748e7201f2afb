//! What a kept task uses, measured from outside of it (edge).

use std::sync::Arc;
use std::time::Duration;

use super::{HAS_ENDED, Kept};
use crate::error::chain;
use crate::processes;
use crate::stats::{
    Cgroup, Interval, Machine, PidSource, Sample, Sampler, StatsError, SwapDetail, Tree,
};
use crate::task::lock;
use crate::warden::is_there;

/// Who asks what a task uses again in less than half of this gets the same answer: of a shorter time a percentage says
/// little.
const SAMPLE_APART: Duration = Duration::from_millis(100);

impl Kept {
    /// Makes a sampler of what the task uses, as [`Contained::sampler`](crate::Contained::sampler) does.
    pub(crate) fn sampler(&self, swap: SwapDetail) -> Result<Arc<Sampler>, StatsError> {
        let machine = Machine::this()?;
        let held = &self.handle.held;
        let source: Box<dyn PidSource> = match held.cgroup2.as_ref().or(held.freezer.as_ref()) {
            Some(group) if is_there(group) => Box::new(Cgroup::new(&group.path, machine)),
            Some(group) => {
                let path = group.path.clone().into();
                return Err(StatsError::NoGroup { path });
            }
            None => {
                let pid = held.main.pid.cast_unsigned();
                let tree = Tree::below(pid, machine)?;
                let stat = processes::stat(held.main.pid);
                // Somebody else may have its number by now.
                let is_still = stat.is_some_and(|stat| stat.birth == held.main.birth);
                if !is_still {
                    return Err(StatsError::NoProcess { pid });
                }
                Box::new(tree)
            }
        };
        Ok(Arc::new(Sampler::new(source, machine, swap)))
    }

    /// Measures what the task uses now; percentages are over the time since somebody asked before.
    pub(crate) fn sample(&self) -> Result<Arc<Sample>, String> {
        let failed = |error: StatsError| {
            if error.is_gone() {
                HAS_ENDED.to_owned()
            } else {
                format!("can't {}", chain(&error))
            }
        };
        // What was measured just before would be told again.
        if self.has_ended() {
            return Err(HAS_ENDED.into());
        }
        let sampler = {
            let mut made = lock(&self.sampler);
            match &*made {
                Some(sampler) => Arc::clone(sampler),
                None => {
                    let sampler = self.sampler(SwapDetail::Measured).map_err(failed)?;
                    Arc::clone(made.insert(sampler))
                }
            }
        };
        sampler.sample(Interval::new(SAMPLE_APART)).map_err(failed)
    }
}
