//! The limits of an isolated task (core).

use std::str::FromStr;

/// The smallest and the largest number of shares that the kernel takes, cpu.shares.
const SMALLEST: u64 = 2;
const LARGEST: u64 = 1 << 18;

/// A part of the processor, as it is counted by whoever plans what runs on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuShares {
    /// What the task gets of it when the processor is short.
    pub shares: u64,
    /// What all tasks of the machine get together, in the same unit; none: it is not said.
    pub capacity: Option<u64>,
}

impl FromStr for CpuShares {
    type Err = String;

    /// Reads `SHARES` or `SHARES/CAPACITY`.
    fn from_str(text: &str) -> Result<CpuShares, String> {
        let number = |text: &str| match text.parse::<u64>() {
            Ok(number @ 1..) => Ok(number),
            Ok(0) | Err(_) => Err(format!("{text:?} is no whole number above 0")),
        };
        let (shares, capacity) = match text.split_once('/') {
            Some((shares, capacity)) => (shares, Some(number(capacity)?)),
            None => (text, None),
        };
        Ok(CpuShares {
            shares: number(shares)?,
            capacity,
        })
    }
}

impl CpuShares {
    /// Gives the shares in the range of the kernel, `2..=262144`. On a machine of more than that all tasks are scaled by
    /// the same factor, so their relation stays.
    pub(crate) fn of_kernel(self) -> u64 {
        let scaled = match self.capacity {
            Some(capacity) if capacity >= LARGEST => {
                let exact = u128::from(self.shares) * u128::from(LARGEST) / u128::from(capacity);
                u64::try_from(exact).unwrap_or(LARGEST)
            }
            Some(_) | None => self.shares,
        };
        scaled.clamp(SMALLEST, LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_kernel(text: &str) -> u64 {
        text.parse::<CpuShares>().unwrap().of_kernel()
    }

    #[test]
    fn shares_are_kept_within_what_the_kernel_takes() {
        assert_eq!(
            (of_kernel("1"), of_kernel("2"), of_kernel("500")),
            (2, 2, 500)
        );
        assert_eq!(
            (of_kernel("262144"), of_kernel("262145")),
            (262_144, 262_144)
        );
        assert_eq!(of_kernel("500/262143"), 500);
    }

    #[test]
    fn a_large_machine_scales_them() {
        assert_eq!(of_kernel("262144/524288"), 131_072);
        assert_eq!(of_kernel("1000/524288"), 500);
        assert_eq!(of_kernel("1/524288"), 2);
        assert_eq!(of_kernel("524288/524288"), 262_144);
    }

    #[test]
    fn what_is_no_number_of_shares_is_refused() {
        for text in ["", "0", "-1", "1.5", "5/", "5/0", "/5", "5/6/7"] {
            assert!(text.parse::<CpuShares>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn more_shares_never_become_fewer(a in any::<u64>(), b in any::<u64>(), capacity in proptest::option::of(1_u64..)) {
            let of = |shares| CpuShares { shares, capacity }.of_kernel();
            prop_assert!((SMALLEST..=LARGEST).contains(&of(a)));
            prop_assert!(of(a.min(b)) <= of(a.max(b)));
        }
    }
}
