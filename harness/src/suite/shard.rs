//! A part of the cases, so that several machines can share a run. (core)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a case is not played that belongs to another shard.
pub const ANOTHER_SHARD: &str = "another shard";

/// More shards than cases make no sense; this is far beyond.
const MAX_SHARDS: u32 = 10_000;

/// One of several parts. A case belongs to exactly one, by its id alone: it stays there when other cases
/// are added, removed or filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Shard {
    /// Which, 1..=`of`.
    pub number: u32,
    /// How many there are, 1..=10,000.
    pub of: u32,
}

/// A shard as a report has it.
#[derive(Deserialize)]
struct Unchecked {
    number: u32,
    of: u32,
}

/// A text or a pair of numbers that is no shard.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write K/N with 1 <= K <= N <= {MAX_SHARDS}, for instance 1/3")]
pub struct ShardError;

impl Shard {
    /// Whether a case of this id belongs to this part.
    #[must_use]
    pub fn holds(self, id: &str) -> bool {
        Self::number_of(id, self.of) == self.number
    }

    /// The part, 1..=`of`, that a case of this id belongs to.
    #[must_use]
    pub fn number_of(id: &str, of: u32) -> u32 {
        let hash = Sha256::digest(id);
        let number = hash.iter().take(8).fold(0, |number: u64, &byte| {
            number.wrapping_shl(8) | u64::from(byte)
        });
        let rest = number % u64::from(of.max(1));
        // Less than `of`, which is a u32.
        u32::try_from(rest).unwrap_or(0) + 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError)?;
        let number = number.parse().map_err(|_| ShardError)?;
        let of = of.parse().map_err(|_| ShardError)?;
        Self::try_from(Unchecked { number, of })
    }
}

impl TryFrom<Unchecked> for Shard {
    type Error = ShardError;

    fn try_from(Unchecked { number, of }: Unchecked) -> Result<Self, ShardError> {
        if number >= 1 && number <= of && of <= MAX_SHARDS {
            Ok(Self { number, of })
        } else {
            Err(ShardError)
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_written_k_of_n() {
        assert_eq!("2/3".parse(), Ok(Shard { number: 2, of: 3 }));
        for wrong in [
            "0/3", "4/3", "1/0", "1", "", "a/b", "1/10001", "-1/3", "1/3/5",
        ] {
            assert_eq!(wrong.parse::<Shard>(), Err(ShardError), "{wrong}");
        }
    }

    #[test]
    fn a_case_has_one_shard_by_its_id_and_these_never_change() {
        // A hash that changes would move cases between the machines of a run in several versions.
        let known = [
            ("life/restarts-100", 1),
            ("data/smoke", 2),
            ("fifo/tiny-pipe", 3),
        ];
        for (id, number) in known {
            assert_eq!(Shard::number_of(id, 3), number, "{id}");
            let holders = (1..=3).filter(|&number| Shard { number, of: 3 }.holds(id));
            assert_eq!(holders.collect::<Vec<_>>(), [number], "{id}");
        }
        assert_eq!(Shard::number_of("anything", 1), 1);
    }
}
