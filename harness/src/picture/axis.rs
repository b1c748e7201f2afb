//! The axis of time: where a time lies in the picture. (core)
//!
//! Most of a case is waiting, and what matters takes microseconds. So the axis is stretched where much
//! happens: between two moments at which something begins, ends or happens, it is even, and how much
//! room there is grows with the logarithm of the time between them.

use super::model::{BandKind, Picture};

/// The least width of a picture, in pixels: what a screen of 1,280 shows.
const LEAST_WIDTH: f64 = 1_180.0;
/// The greatest.
const MOST_WIDTH: f64 = 6_000.0;
/// Pixels for a gap of `GAP_US * (e - 1)` microseconds.
const GAP_WIDTH: f64 = 9.0;
const GAP_US: f64 = 200.0;
/// A lane with more rows of writes does not stretch the axis by them.
const MOST_WRITES: usize = 12;
/// Room at both ends.
const MARGIN: f64 = 10.0;
/// The least distance of two ticks.
const TICK_WIDTH: f64 = 76.0;

/// Where times lie.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Times, ascending, and their places.
    stops: Vec<(u64, f64)>,
    pub(super) width: f64,
}

impl Axis {
    /// The axis of a picture.
    pub(super) fn of(picture: &Picture) -> Self {
        Self::through(moments(picture), picture.end_us)
    }

    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn through(mut moments: Vec<u64>, end_us: u64) -> Self {
        moments.extend([0, end_us]);
        moments.sort_unstable();
        moments.dedup();
        let wanted = |gap: u64| GAP_WIDTH * (gap as f64 / GAP_US).ln_1p();
        let gaps = moments.windows(2).map(|two| wanted(two[1] - two[0]));
        let sum: f64 = gaps.clone().sum();
        let width = (sum + 2.0 * MARGIN).clamp(LEAST_WIDTH, MOST_WIDTH);
        let scale = if sum > 0.0 {
            (width - 2.0 * MARGIN) / sum
        } else {
            1.0
        };
        let mut x = MARGIN;
        let mut stops = vec![(0, x)];
        for (gap, &at) in gaps.zip(moments.iter().skip(1)) {
            x += gap * scale;
            stops.push((at, x));
        }
        Self { stops, width }
    }

    /// The place of a time, in pixels from the left.
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    pub(super) fn x(&self, at_us: u64) -> f64 {
        let next = self.stops.partition_point(|(stop, _)| *stop <= at_us);
        let before = next.checked_sub(1).and_then(|index| self.stops.get(index));
        match (before, self.stops.get(next)) {
            (Some((from, left)), Some((to, right))) => {
                left + (right - left) * (at_us - from) as f64 / (to - from) as f64
            }
            (Some((_, place)), None) | (None, Some((_, place))) => *place,
            (None, None) => MARGIN,
        }
    }

    /// Times to write at the axis, and their places, far enough from each other.
    pub(super) fn ticks(&self) -> Vec<(u64, f64)> {
        let mut ticks: Vec<(u64, f64)> = Vec::new();
        let room = self.width - TICK_WIDTH;
        for &(at, x) in &self.stops {
            let is_free = ticks.last().is_none_or(|(_, last)| x - last >= TICK_WIDTH);
            if is_free && x <= room {
                ticks.push((at, x));
            }
        }
        ticks
    }
}

/// The moments at which something begins, ends or happens.
fn moments(picture: &Picture) -> Vec<u64> {
    let mut moments: Vec<u64> = picture.faults.iter().map(|mark| mark.at_us).collect();
    for lane in &picture.lanes {
        moments.extend(lane.marks.iter().map(|mark| mark.at_us));
        // Where writes are many, their ends would be all there is.
        let writes = lane
            .bands
            .iter()
            .filter(|band| band.kind == BandKind::Writing);
        let has_few_writes = writes.count() <= MOST_WRITES;
        for band in &lane.bands {
            if band.kind != BandKind::Writing || has_few_writes {
                moments.extend([band.from_us, band.to_us]);
            }
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn later_is_never_further_left_and_everything_lies_in_the_picture(
            mut moments in prop::collection::vec(0_u64..1_000_000_000, 0..300),
            mut asked in prop::collection::vec(0_u64..1_000_000_000, 1..50),
        ) {
            moments.sort_unstable();
            let end = moments.last().copied().unwrap_or(0);
            let axis = Axis::through(moments, end);
            asked.sort_unstable();
            let places: Vec<f64> = asked.iter().map(|&at| axis.x(at)).collect();
            prop_assert!(places.is_sorted(), "{places:?}");
            prop_assert!(places.iter().all(|x| (0.0..=axis.width).contains(x)), "{places:?}");
            let ticks = axis.ticks();
            prop_assert!(ticks.windows(2).all(|two| two[1].1 - two[0].1 >= TICK_WIDTH));
        }
    }
}
