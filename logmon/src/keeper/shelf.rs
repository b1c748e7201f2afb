//! Core: what a keeper holds, what it answers, and when it ends.
//!
//! Laws: a deposit under a key replaces what was there, as a whole; a fetch takes nothing away; a
//! keeper that holds something never ends by itself.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::key::Key;
use super::wire::{MAX_KEYS_IN_REPLY, Refusal, Reply};

/// Keys that a keeper holds at most: far more than a host has streams.
const MAX_KEYS: usize = 65_536;
/// How long a keeper that nobody needs stays, for whoever is about to connect.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What is held. `D` is a descriptor, which is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Shelf<D> {
    held: BTreeMap<Key, Box<[D]>>,
}

impl<D> Shelf<D> {
    /// Makes an empty shelf.
    pub(crate) fn new() -> Shelf<D> {
        Shelf {
            held: BTreeMap::new(),
        }
    }

    /// Holds descriptors under a key. What was there before is closed, and only afterwards.
    pub(crate) fn deposit(&mut self, key: Key, descriptors: Vec<D>) -> Reply {
        if self.held.len() >= MAX_KEYS && !self.held.contains_key(&key) {
            return Reply::Refused(Refusal::Full);
        }
        let before = self.held.insert(key, descriptors.into());
        drop(before);
        Reply::Done
    }

    /// Gives what is held under a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&[D]> {
        self.held.get(key).map(Box::as_ref)
    }

    /// Closes what is held under a key.
    pub(crate) fn release(&mut self, key: &Key) -> Reply {
        match self.held.remove(key) {
            Some(_) => Reply::Done,
            None => Reply::NotHeld,
        }
    }

    /// Gives the next keys, as many as one reply may have.
    pub(crate) fn list(&self, after: Option<&Key>) -> Reply {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.held.range::<Key, _>((from, Bound::Unbounded));
        let count = |held: &[D]| u8::try_from(held.len()).unwrap_or(u8::MAX);
        Reply::Keys(
            next.take(MAX_KEYS_IN_REPLY)
                .map(|(key, held)| (key.clone(), count(held)))
                .collect(),
        )
    }

    /// Gives the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

/// When nobody needs the keeper any more.
#[derive(Debug, Default)]
pub(crate) struct Need {
    unneeded_since: Option<Duration>,
}

impl Need {
    /// Takes note of how things stand; gives how long the keeper stays if nothing changes, none for ever.
    /// Zero means that it ends now.
    pub(crate) fn stays(
        &mut self,
        held: usize,
        connected: usize,
        now: Duration,
    ) -> Option<Duration> {
        if held > 0 || connected > 0 {
            self.unneeded_since = None;
            return None;
        }
        let since = *self.unneeded_since.get_or_insert(now);
        Some((since + GRACE).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    fn key(number: u8) -> Key {
        Key::parse(format!("k{number}").as_bytes()).unwrap()
    }

    #[derive(Debug, Clone)]
    enum Act {
        Deposit(u8, u8),
        Release(u8),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (0_u8..9, 1_u8..=3).prop_map(|(key, count)| Act::Deposit(key, count)),
            (0_u8..9).prop_map(Act::Release),
        ];
        proptest::collection::vec(act, 0..60)
    }

    proptest! {
        #[test]
        fn it_holds_what_was_deposited_last_and_closes_everything_else(acts in acts()) {
            let mut shelf = Shelf::new();
            let mut model: BTreeMap<Key, Vec<Rc<usize>>> = BTreeMap::new();
            let mut all = Vec::new();
            for (step, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Deposit(number, count) => {
                        let ends: Vec<_> = (0..count).map(|_| Rc::new(step)).collect();
                        all.extend(ends.iter().map(Rc::downgrade));
                        model.insert(key(number), ends.clone());
                        prop_assert_eq!(shelf.deposit(key(number), ends), Reply::Done);
                    }
                    Act::Release(number) => {
                        let expected = if model.remove(&key(number)).is_some() { Reply::Done } else { Reply::NotHeld };
                        prop_assert_eq!(shelf.release(&key(number)), expected);
                    }
                }
                for number in 0..9 {
                    prop_assert_eq!(shelf.get(&key(number)), model.get(&key(number)).map(Vec::as_slice));
                }
                prop_assert_eq!(shelf.len(), model.len());
                let open = all.iter().filter(|end| end.upgrade().is_some()).count();
                prop_assert_eq!(open, model.values().map(Vec::len).sum::<usize>());
            }
        }

        #[test]
        fn listing_page_by_page_gives_every_key_once(count in 0_usize..300) {
            let mut shelf = Shelf::new();
            let mut expected = Vec::new();
            for number in 0..count {
                let key = Key::parse(format!("{number:05}").as_bytes()).unwrap();
                shelf.deposit(key.clone(), vec![(); 1 + number % 3]);
                expected.push((key, 1 + (number % 3) as u8));
            }
            let mut found: Vec<(Key, u8)> = Vec::new();
            while let Reply::Keys(page) = shelf.list(found.last().map(|(key, _)| key)) {
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn it_ends_only_when_it_was_not_needed_for_the_whole_grace(
            states in proptest::collection::vec((0_usize..2, 0_usize..2, 0_u64..700), 1..40),
        ) {
            let mut need = Need::default();
            let mut now = Duration::ZERO;
            let mut unneeded_since = None;
            for (held, connected, passes_ms) in states {
                now += Duration::from_millis(passes_ms);
                let is_needed = held + connected > 0;
                if is_needed {
                    unneeded_since = None;
                } else if unneeded_since.is_none() {
                    unneeded_since = Some(now);
                }
                let ends_now = need.stays(held, connected, now) == Some(Duration::ZERO);
                let expected = unneeded_since.is_some_and(|since| now - since >= GRACE);
                prop_assert_eq!(ends_now, expected);
            }
        }
    }
}
