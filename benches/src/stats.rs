//! Core: medians, spreads, and when a ratio is not worth printing.
//!
//! Wall times on a machine with other work on it differ by the day. What can be held on to is the ratio
//! of two programs that ran in turn, and only if the pairs agree with each other.

use std::fmt;

/// Fewer pairs than this make no ratio.
pub const FEWEST_PAIRS: usize = 3;
/// A ratio is refused when the bounds of its median lie further apart than by this factor.
pub const WIDEST_SPREAD: f64 = 1.5;

/// Median, smallest and largest of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest one.
    pub min: f64,
    /// The largest one.
    pub max: f64,
}

/// Summarises figures; gives none when there are none, or when one of them is no number.
#[must_use]
pub fn summary(figures: &[f64]) -> Option<Summary> {
    let sorted = sorted(figures)?;
    Some(Summary {
        median: middle(&sorted),
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

/// The figure below which the given part of all figures lies (0.5 is the median), by nearest rank.
#[must_use]
pub fn quantile(figures: &[f64], part: f64) -> Option<f64> {
    let sorted = sorted(figures)?;
    let rank = (part.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// What pairs of figures say about the ratio of two programs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ratio {
    /// The pairs agree well enough.
    Known(Summary),
    /// They do not: the bounds of the median lie further apart than by [`WIDEST_SPREAD`].
    TooWide(Summary),
    /// There are fewer pairs than [`FEWEST_PAIRS`], or one of them makes no ratio.
    TooFew,
}

impl Ratio {
    /// The median, if the ratio may be told.
    #[must_use]
    pub fn known(&self) -> Option<f64> {
        match self {
            Ratio::Known(summary) => Some(summary.median),
            Ratio::TooWide(_) | Ratio::TooFew => None,
        }
    }
}

impl fmt::Display for Ratio {
    /// `1.32 (1.28…1.40)`; a refused one has no median: `? (0.60…1.90)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ratio::Known(s) => write!(f, "{:.2} ({:.2}…{:.2})", s.median, s.min, s.max),
            Ratio::TooWide(s) => write!(f, "? ({:.2}…{:.2})", s.min, s.max),
            Ratio::TooFew => write!(f, "?"),
        }
    }
}

/// The ratio of the second figure of each pair to the first one.
#[must_use]
pub fn ratio(pairs: &[(f64, f64)]) -> Ratio {
    let ratios: Vec<f64> = pairs.iter().map(|(base, other)| other / base).collect();
    let is_sound = ratios.iter().all(|one| one.is_finite() && *one > 0.0);
    if ratios.len() < FEWEST_PAIRS || !is_sound {
        return Ratio::TooFew;
    }
    let (Some(summary), Some((low, high))) = (summary(&ratios), bounds_of_the_median(&ratios))
    else {
        return Ratio::TooFew;
    };
    if high / low > WIDEST_SPREAD {
        Ratio::TooWide(summary)
    } else {
        Ratio::Known(summary)
    }
}

/// Bounds that hold the true median in at least 95 of 100 cases, whatever the distribution: the k-th
/// smallest and the k-th largest figure, k by the binomial law. Below six figures there are no such
/// bounds; then they are the smallest and the largest.
#[must_use]
pub fn bounds_of_the_median(figures: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(figures)?;
    let count = sorted.len();
    // P(fewer than k of `count` fair coins) must stay under 1/40 on each side.
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut below, mut skipped) = (probability, 0);
    while below <= 0.025 && skipped < count / 2 {
        skipped += 1;
        probability *= (count - skipped + 1) as f64 / skipped as f64;
        below += probability;
    }
    let first = skipped.saturating_sub(1);
    Some((*sorted.get(first)?, *sorted.get(count - 1 - first)?))
}

fn sorted(figures: &[f64]) -> Option<Vec<f64>> {
    if figures.is_empty() || figures.iter().any(|figure| figure.is_nan()) {
        return None;
    }
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[half - 1], sorted[half])
    } else {
        sorted[half]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_and_of_an_even_number_of_figures() {
        let of = |figures: &[f64]| summary(figures).map(|s| (s.median, s.min, s.max));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_quantile_is_the_figure_of_its_rank() {
        let figures: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&figures, 0.5), Some(50.0));
        assert_eq!(quantile(&figures, 0.99), Some(99.0));
        assert_eq!(quantile(&figures, 1.0), Some(100.0));
        assert_eq!(quantile(&figures, 0.0), Some(1.0));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn pairs_that_agree_give_the_median_of_their_ratios() {
        let told = ratio(&[(1.0, 2.0), (2.0, 4.2), (1.0, 1.9)]);
        assert_eq!(told.known(), Some(2.0));
        assert_eq!(told.to_string(), "2.00 (1.90…2.10)");
    }

    #[test]
    fn a_ratio_is_of_pairs_and_not_of_two_medians() {
        // A machine that gets slower by the minute slows both programs of a pair.
        let told = ratio(&[(1.0, 2.0), (5.0, 10.0), (100.0, 200.0)]);
        assert_eq!(told.known(), Some(2.0));
    }

    #[test]
    fn a_ratio_whose_spread_makes_it_meaningless_is_refused() {
        let refused = ratio(&[(1.0, 1.0), (1.0, 2.0), (1.0, 1.3)]);
        assert!(matches!(refused, Ratio::TooWide(_)), "{refused:?}");
        assert_eq!(refused.known(), None);
        assert_eq!(refused.to_string(), "? (1.00…2.00)");
    }

    #[test]
    fn two_pairs_and_a_run_without_a_figure_make_no_ratio() {
        assert_eq!(ratio(&[(1.0, 1.0), (1.0, 1.0)]), Ratio::TooFew);
        assert_eq!(ratio(&[(0.0, 1.0), (1.0, 1.0), (1.0, 1.0)]), Ratio::TooFew);
        assert_eq!(ratio(&[(1.0, 0.0), (1.0, 1.0), (1.0, 1.0)]), Ratio::TooFew);
    }

    #[test]
    fn one_outlier_of_many_pairs_does_not_refuse_a_ratio() {
        let mut pairs = vec![(1.0, 1.0); 11];
        pairs.push((1.0, 9.0));
        assert_eq!(ratio(&pairs).known(), Some(1.0));
        assert!(matches!(ratio(&pairs[9..]), Ratio::TooWide(_)));
    }

    #[test]
    fn the_bounds_of_a_median_are_those_of_the_binomial_law() {
        let of = |count: u32| {
            let figures: Vec<f64> = (1..=count).map(f64::from).collect();
            bounds_of_the_median(&figures)
        };
        assert_eq!(of(3), Some((1.0, 3.0)));
        assert_eq!(of(5), Some((1.0, 5.0)));
        assert_eq!(of(6), Some((1.0, 6.0)));
        assert_eq!(of(9), Some((2.0, 8.0)));
        assert_eq!(of(15), Some((4.0, 12.0)));
        assert_eq!(of(20), Some((6.0, 15.0)));
    }
}
