//! Where labels stand, so that no two of a lane overlap. (core)

/// Pixels of one character: the fonts of the page have characters of one width, 0.6 of their height
/// of 11 pixels, and a little more is taken for those that are wider.
pub(super) const CHARACTER: f64 = 6.8;
/// Pixels between two labels of a row.
const SPACE: f64 = 8.0;
/// Pixels from the place that a label tells of to its text.
const ASIDE: f64 = 4.0;

/// A label that wants a place.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Where what it tells of lies.
    pub(super) x: f64,
    /// The text.
    pub(super) text: String,
    /// Which of the lane's labels it is, for whoever asks.
    pub(super) number: usize,
    /// The lower, the sooner it gets a place.
    pub(super) rank: u8,
}

/// A label that has one.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Where what it tells of lies.
    pub(super) x: f64,
    /// Where its text begins and ends.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Its row, from 0.
    pub(super) row: usize,
    /// The text.
    pub(super) text: String,
    /// As it was wanted.
    pub(super) number: usize,
}

/// Pixels of a text.
#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// Gives places in at most `most_rows` rows of this width. What finds none is left out.
pub(super) fn place(mut wanted: Vec<Wanted>, width: f64, most_rows: usize) -> Vec<Placed> {
    wanted.sort_by(|one, other| one.rank.cmp(&other.rank).then(one.x.total_cmp(&other.x)));
    let mut placed: Vec<Placed> = Vec::new();
    for label in wanted {
        let (from, to) = span(&label, width);
        let is_free = |row: &usize| {
            placed
                .iter()
                .filter(|other| other.row == *row)
                .all(|other| to + SPACE <= other.from || other.to + SPACE <= from)
        };
        if let Some(row) = (0..most_rows).find(is_free) {
            placed.push(Placed {
                x: label.x,
                from,
                to,
                row,
                text: label.text,
                number: label.number,
            });
        }
    }
    placed.sort_by(|one, other| one.from.total_cmp(&other.from));
    placed
}

/// Right of its place, or left of it where there is no room.
fn span(label: &Wanted, width: f64) -> (f64, f64) {
    let long = width_of(&label.text);
    let right = label.x + ASIDE;
    let from = if right + long <= width {
        right
    } else {
        (label.x - ASIDE - long).max(0.0)
    };
    (from, from + long)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(places: &[(u16, u8, u8)]) -> Vec<Wanted> {
        let one = |(number, &(x, length, rank)): (usize, &(u16, u8, u8))| Wanted {
            x: f64::from(x),
            text: "x".repeat(usize::from(length % 60)),
            number,
            rank: rank % 3,
        };
        places.iter().enumerate().map(one).collect()
    }

    proptest! {
        #[test]
        fn no_two_labels_of_a_lane_overlap(
            places in prop::collection::vec((0_u16..1200, any::<u8>(), any::<u8>()), 0..80),
            rows in 1_usize..6,
        ) {
            let placed = place(wanted(&places), 1200.0, rows);
            for (index, one) in placed.iter().enumerate() {
                prop_assert!(one.row < rows && one.from >= 0.0, "{one:?}");
                for other in &placed[index + 1..] {
                    let is_apart = one.to <= other.from || other.to <= one.from;
                    prop_assert!(one.row != other.row || is_apart, "{one:?} {other:?}");
                }
            }
        }

        #[test]
        fn with_rows_enough_every_label_has_a_place(
            places in prop::collection::vec((0_u16..1200, any::<u8>(), any::<u8>()), 0..80),
        ) {
            let placed = place(wanted(&places), 1200.0, places.len());
            prop_assert_eq!(placed.len(), places.len());
        }
    }

    #[test]
    fn what_ranks_first_gets_the_place() {
        let label = |rank, text: &str| Wanted {
            x: 10.0,
            text: text.to_owned(),
            number: 0,
            rank,
        };
        let placed = place(vec![label(2, "step"), label(0, "lost")], 200.0, 1);
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].text, "lost");
    }
}
