//! Which process belongs to whom. (core)
//!
//! A process belongs to whoever started it, also after its parents are gone: what was seen once is
//! remembered, because an orphan no longer tells where it came from.

use std::collections::BTreeMap;

use crate::observe::Snapshot;

/// Whose process one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// logmon or a process that it started.
    Logmon,
    /// The driver or a process that it started, the task left out.
    Driver,
    /// The task or a process that it started.
    Task,
    /// Something that the host started for itself.
    Host,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Logmon => "logmon",
            Self::Driver => "driver",
            Self::Task => "task",
            Self::Host => "host",
        }
    }
}

/// All processes of a case by their part.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// With the time of their beginning, once it was seen.
    roots: BTreeMap<i32, (Part, Option<u64>)>,
    /// With the time of their beginning: a number alone may be used again.
    known: BTreeMap<i32, (u64, Part)>,
    /// Whose one is that tells nothing of where it came from; the driver's, as a rule.
    unknown: Option<Part>,
}

impl Kin {
    /// Says whose processes are that tell nothing of where they came from.
    pub(super) fn blame(&mut self, part: Part) {
        self.unknown = Some(part);
    }

    /// Says whose process this one is, whatever its parent is.
    pub(super) fn register(&mut self, pid: i32, part: Part) {
        self.roots.insert(pid, (part, None));
        self.known.remove(&pid);
    }

    /// Takes in a new look at all processes below `host`. `is_payload` says of an orphan that was
    /// never seen before whether the payload started it.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        host: i32,
        is_payload: impl Fn(i32) -> bool,
    ) {
        let mut now = BTreeMap::new();
        for stat in snapshot.descendants(host) {
            let seen = self
                .known
                .get(&stat.pid)
                .filter(|(began, _)| *began == stat.began);
            let root = self.roots.get_mut(&stat.pid).and_then(|(part, began)| {
                (*began.get_or_insert(stat.began) == stat.began).then_some(*part)
            });
            let part = if let Some(part) = root {
                part
            } else if let Some((_, part)) = seen {
                *part
            } else if let Some((_, part)) = now.get(&stat.ppid) {
                *part
            } else if is_payload(stat.pid) {
                Part::Task
            } else {
                // While a group has a member, its number is no other process's.
                let of_group = self.roots.get(&stat.group).map(|(part, _)| *part);
                of_group.or(self.unknown).unwrap_or(Part::Driver)
            };
            now.insert(stat.pid, (stat.began, part));
        }
        self.known = now;
    }

    /// Whose process it is, if it was there at the last look.
    pub(super) fn part(&self, pid: i32) -> Option<Part> {
        self.known.get(&pid).map(|(_, part)| *part)
    }

    /// The processes of these parts at the last look.
    pub(super) fn pids(&self, parts: &[Part]) -> Vec<i32> {
        self.known
            .iter()
            .filter(|(_, (_, part))| parts.contains(part))
            .map(|(pid, _)| *pid)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Stat;

    fn process(pid: i32, ppid: i32, group: i32) -> Stat {
        Stat {
            pid,
            comm: "x".into(),
            state: 'S',
            ppid,
            group,
            session: 1,
            began: 100,
        }
    }

    fn kin(processes: &[Stat], kin: &mut Kin) {
        kin.update(&Snapshot::of(processes.iter().cloned()), 1, |pid| pid == 77);
    }

    #[test]
    fn an_orphan_stays_with_whoever_started_it() {
        let mut all = Kin::default();
        all.register(10, Part::Driver);
        all.register(12, Part::Task);
        kin(
            &[
                process(10, 1, 10),
                process(11, 10, 10),
                process(12, 11, 10),
                process(13, 12, 10),
            ],
            &mut all,
        );
        assert_eq!(all.part(11), Some(Part::Driver));
        assert_eq!(all.part(13), Some(Part::Task));
        kin(&[process(13, 1, 10), process(14, 13, 10)], &mut all);
        assert_eq!(all.pids(&[Part::Task]), [13, 14]);
        assert_eq!(all.part(11), None);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let mut all = Kin::default();
        all.register(10, Part::Logmon);
        all.register(20, Part::Driver);
        kin(&[process(10, 1, 10), process(20, 1, 20)], &mut all);
        assert_eq!(all.part(10), Some(Part::Logmon));
        let again = Stat {
            began: 101,
            ..process(10, 20, 20)
        };
        kin(&[process(20, 1, 20), again], &mut all);
        assert_eq!(all.part(10), Some(Part::Driver));
        // A new one may be registered under it.
        all.register(10, Part::Logmon);
        kin(&[process(20, 1, 20), process(10, 1, 10)], &mut all);
        assert_eq!(all.part(10), Some(Part::Logmon));
    }

    #[test]
    fn an_orphan_never_seen_is_told_by_its_group_unless_the_payload_started_it() {
        let mut all = Kin::default();
        all.register(10, Part::Logmon);
        kin(
            &[process(20, 1, 10), process(77, 1, 10), process(30, 1, 30)],
            &mut all,
        );
        assert_eq!(all.part(20), Some(Part::Logmon));
        assert_eq!(all.part(77), Some(Part::Task));
        assert_eq!(all.part(30), Some(Part::Driver));
    }

    #[test]
    fn without_a_driver_a_daemon_that_nobody_saw_start_is_logmons() {
        let mut blamed = Kin::default();
        blamed.blame(Part::Logmon);
        kin(&[process(7, 1, 7)], &mut blamed);
        assert_eq!(blamed.part(7), Some(Part::Logmon));
        let mut usual = Kin::default();
        kin(&[process(7, 1, 7)], &mut usual);
        assert_eq!(usual.part(7), Some(Part::Driver));
    }

    #[test]
    fn a_number_used_again_is_another_process() {
        let mut all = Kin::default();
        all.register(10, Part::Driver);
        all.register(12, Part::Task);
        kin(
            &[process(10, 1, 10), process(12, 10, 10), process(13, 12, 10)],
            &mut all,
        );
        let again = Stat {
            began: 200,
            ..process(13, 10, 10)
        };
        kin(&[process(10, 1, 10), again], &mut all);
        assert_eq!(all.part(13), Some(Part::Driver));
    }
}
