//! A picture as SVG, without the colours, which are the page's. (core)

use super::axis::Axis;
use super::labels::{Placed, Wanted, place, width_of};
use super::model::{Band, BandKind, Lane, LaneKind, Mark, MarkKind, Picture};
use super::xml::escaped;
use crate::report::{bytes, grouped};

/// Pixels of a lane's heading.
const HEADING: f64 = 16.0;
/// Pixels of a row of labels.
const ROW: f64 = 14.0;
/// Pixels of a track, and of one with levels.
const TRACK: f64 = 28.0;
const LEVEL_TRACK: f64 = 44.0;
/// Pixels of a track whose level was never more than nothing.
const FLAT_TRACK: f64 = 12.0;
/// Pixels between two lanes.
const GAP: f64 = 10.0;
/// Rows of labels below a track.
const MOST_ROWS: usize = 4;
/// A heading comes again after so many pixels, for whoever has scrolled.
const HEADING_AGAIN: f64 = 640.0;

/// A time as milliseconds with one digit behind the point.
pub(super) fn ms(at_us: u64) -> String {
    format!("{}.{}", grouped(at_us / 1_000), at_us % 1_000 / 100)
}

/// The picture as one `svg` element that needs nothing else.
#[must_use]
pub fn svg(picture: &Picture) -> String {
    let axis = Axis::of(picture);
    let mut drawing = Drawing {
        axis: &axis,
        body: String::new(),
        y: 4.0,
        faults: &picture.faults,
    };
    let lines = drawing.faults();
    drawing.ticks();
    let top = drawing.y;
    for lane in &picture.lanes {
        drawing.lane(lane);
    }
    let bottom = drawing.y;
    drawing.ticks();
    let (width, height) = (axis.width, drawing.y + 4.0);
    let grid: String = axis
        .ticks()
        .iter()
        .map(|(_, x)| line("grid", *x, top, bottom))
        .collect();
    let lines: String = lines
        .iter()
        .map(|(x, from)| line("fault", *x, *from, bottom))
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" role=\"img\" \
         aria-labelledby=\"picture-title picture-words\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <title id=\"picture-title\">{}</title>\n<desc id=\"picture-words\">{}</desc>\n\
         <g class=\"lines\">\n{grid}{lines}</g>\n{}</svg>\n",
        escaped(&format!("What happened in {}", picture.id)),
        escaped(&in_words(picture)),
        drawing.body,
    )
}

/// The picture for whoever can't see it.
fn in_words(picture: &Picture) -> String {
    let lanes: Vec<&str> = picture
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .collect();
    let faults = picture.faults.iter();
    let faults: Vec<String> = faults
        .map(|mark| format!("{} at {} ms", mark.label, ms(mark.at_us)))
        .collect();
    let bands = picture.lanes.iter().flat_map(|lane| &lane.bands);
    let lost: Vec<&str> = bands
        .filter(|band| band.kind == BandKind::Lost)
        .map(|band| band.detail.as_str())
        .collect();
    let told = |what: &str, all: &[String]| match all {
        [] => format!("{what}: nothing"),
        all => format!("{what}: {}", all.join("; ")),
    };
    let lost: Vec<String> = lost.into_iter().map(str::to_owned).collect();
    format!(
        "{} ms, in lanes: {}. {}. {}.",
        ms(picture.end_us),
        lanes.join("; "),
        told("Injected", &faults),
        told("Lost", &lost)
    )
}

fn line(class: &str, x: f64, from: f64, to: f64) -> String {
    format!(
        "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"/>\n"
    )
}

fn text(class: &str, x: f64, y: f64, words: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n",
        escaped(words)
    )
}

/// What is drawn so far.
struct Drawing<'a> {
    axis: &'a Axis,
    body: String,
    /// Where the next thing begins.
    y: f64,
    /// What was injected.
    faults: &'a [Mark],
}

impl Drawing<'_> {
    /// The labels of what was injected, each of them; gives the places where its line begins.
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn faults(&mut self) -> Vec<(f64, f64)> {
        let faults = self.faults;
        if faults.is_empty() {
            return Vec::new();
        }
        self.body.push_str("<g class=\"faults\">\n");
        self.headings("injected by the host");
        let wanted = |(number, mark): (usize, &Mark)| Wanted {
            x: self.axis.x(mark.at_us),
            text: mark.label.clone(),
            number,
            rank: 0,
        };
        let wanted = faults.iter().enumerate().map(wanted).collect();
        let placed = place(wanted, self.axis.width, faults.len());
        let mut lines = Vec::new();
        for label in &placed {
            let y = self.y + ROW * (label.row as f64 + 1.0);
            let at = faults.get(label.number).map_or(0, |mark| mark.at_us);
            self.body.push_str(&format!(
                "<g class=\"injected\" data-at=\"{at}\"><title>{}, at {} ms</title>{}</g>\n",
                escaped(&label.text),
                ms(at),
                text("label fault", label.from, y - 3.0, &label.text).trim_end()
            ));
            lines.push((label.x, y - ROW + 2.0));
        }
        self.body.push_str("</g>\n");
        self.y += rows(&placed) * ROW + GAP / 2.0;
        lines
    }

    fn ticks(&mut self) {
        self.body.push_str("<g class=\"ticks\">\n");
        self.y += ROW;
        for (at, x) in self.axis.ticks() {
            let words = format!("{} ms", ms(at));
            self.body
                .push_str(&text("tick", x + 2.0, self.y - 3.0, &words));
        }
        self.body.push_str("</g>\n");
    }

    fn headings(&mut self, words: &str) {
        let step = HEADING_AGAIN.max(width_of(words) + 80.0);
        let mut x = 4.0;
        while x + width_of(words) <= self.axis.width {
            let class = if x > 4.0 { "heading again" } else { "heading" };
            // Once is enough for whoever reads it aloud.
            self.body
                .push_str(&text(class, x, self.y + HEADING - 4.0, words));
            x += step;
        }
        self.y += HEADING;
    }

    fn lane(&mut self, lane: &Lane) {
        self.body.push_str(&format!(
            "<g class=\"lane {kind}\" data-kind=\"{kind}\" data-name=\"{name}\">\n<title>{name}</title>\n",
            kind = lane.kind.as_str(),
            name = escaped(&lane.name),
        ));
        self.headings(&lane.name);
        let height = match lane.levels.iter().map(|level| level.amount).max() {
            None => TRACK,
            Some(0) => FLAT_TRACK,
            Some(_) => LEVEL_TRACK,
        };
        let top = self.y;
        self.body.push_str(&format!(
            "<rect class=\"track\" x=\"0\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>\n",
            self.axis.width
        ));
        self.levels(lane, top, height);
        for band in &lane.bands {
            self.band(lane, band, top, height);
        }
        // Again, over what the track shows.
        for mark in self.faults {
            let x = self.axis.x(mark.at_us);
            self.body.push_str(&line("fault", x, top, top + height));
        }
        self.words_in_bands(lane, top, height);
        self.y = top + height;
        let placed = place(wanted(lane, self.axis), self.axis.width, MOST_ROWS);
        self.marks(lane, &placed, top + height);
        self.y += rows(&placed) * ROW + GAP;
        self.body.push_str("</g>\n");
    }

    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn levels(&mut self, lane: &Lane, top: f64, height: f64) {
        let Some(first) = lane.levels.first() else {
            return;
        };
        let most = lane.most() as f64;
        let bottom = top + height;
        let place = |amount: u64| bottom - (height - 2.0) * amount as f64 / most;
        let mut path = format!("M{:.1},{bottom:.1}", self.axis.x(first.at_us));
        for level in &lane.levels {
            path.push_str(&format!(
                " H{:.1} V{:.1}",
                self.axis.x(level.at_us),
                place(level.amount)
            ));
        }
        path.push_str(&format!(" H{:.1} V{bottom:.1} Z", self.axis.width));
        let highest = lane.levels.iter().map(|level| level.amount).max();
        self.body.push_str(&format!(
            "<path class=\"level\" d=\"{path}\"><title>{}: at most {}</title></path>\n",
            escaped(&lane.name),
            amount(lane.kind, highest.unwrap_or(0)),
        ));
    }

    fn band(&mut self, lane: &Lane, band: &Band, top: f64, height: f64) {
        let (x, to) = (self.axis.x(band.from_us), self.axis.x(band.to_us));
        let least = if band.kind == BandKind::Lost {
            4.0
        } else {
            1.5
        };
        let width = (to - x).max(least);
        let (y, tall) = inside(lane, band, top, height);
        let stream = band.stream.map_or("", |stream| stream.as_str());
        self.body.push_str(&format!(
            "<rect class=\"band {} {stream}\" data-from=\"{}\" data-to=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" \
             width=\"{width:.1}\" height=\"{tall:.1}\"><title>{}, {} to {} ms</title></rect>\n",
            band.kind.as_str(),
            band.from_us,
            band.to_us,
            escaped(&band.detail),
            ms(band.from_us),
            ms(band.to_us),
        ));
    }

    /// The labels of bands that have room for them, and of which none hides another.
    fn words_in_bands(&mut self, lane: &Lane, top: f64, height: f64) {
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for band in lane.bands.iter().rev() {
            let (x, to) = (self.axis.x(band.from_us) + 3.0, self.axis.x(band.to_us));
            let (y, tall) = inside(lane, band, top, height);
            let end = x + width_of(&band.label);
            let is_free = |&(other_y, from, until): &(f64, f64, f64)| {
                (y - other_y).abs() > ROW - 1.0 || until <= x || end <= from
            };
            let is_struck = |mark: &Mark| {
                let line = self.axis.x(mark.at_us);
                x - 2.0 <= line && line <= end
            };
            let has_room = end <= to && tall >= ROW - 1.0;
            let fits = has_room && taken.iter().all(is_free) && !self.faults.iter().any(is_struck);
            if band.label.is_empty() || band.kind == BandKind::Lost || !fits {
                continue;
            }
            taken.push((y, x, end));
            let class = format!("label in {}", band.kind.as_str());
            let base = y + tall / 2.0 + 4.0;
            self.body.push_str(&text(&class, x, base, &band.label));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn marks(&mut self, lane: &Lane, placed: &[Placed], top: f64) {
        for mark in &lane.marks {
            let x = self.axis.x(mark.at_us);
            self.body.push_str(&format!(
                "<g class=\"mark {}\" data-at=\"{}\"><title>{}, at {} ms</title>{}</g>\n",
                mark.kind.as_str(),
                mark.at_us,
                escaped(&mark.label),
                ms(mark.at_us),
                line("tick", x, top - 5.0, top + 2.0).trim_end(),
            ));
        }
        for label in placed {
            let to = top + ROW * label.row as f64 + ROW / 2.0;
            self.body.push_str(&line("leader", label.x, top, to));
        }
        for label in placed {
            let y = top + ROW * (label.row as f64 + 1.0) - 3.0;
            let class = match kind_of(lane, label.number) {
                Told::Lost => "label lost",
                Told::Highest => "label highest",
                Told::Mark(MarkKind::Trouble) => "label trouble",
                Told::Mark(MarkKind::Step | MarkKind::Injected) => "label step",
            };
            self.body.push_str(&text(class, label.from, y, &label.text));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn rows(placed: &[Placed]) -> f64 {
    placed.iter().map(|label| label.row + 1).max().unwrap_or(0) as f64
}

fn amount(kind: LaneKind, number: u64) -> String {
    match kind {
        LaneKind::Tasks => format!("{} tasks", grouped(number)),
        LaneKind::Task | LaneKind::Driver | LaneKind::Pipe | LaneKind::Logmon | LaneKind::Files => {
            bytes(number)
        }
    }
}

/// What a label below a track tells of, by its number: marks first, then bands, then the highest
/// level.
enum Told {
    Mark(MarkKind),
    Lost,
    Highest,
}

fn kind_of(lane: &Lane, number: usize) -> Told {
    match lane.marks.get(number) {
        Some(mark) => Told::Mark(mark.kind),
        None if number < lane.marks.len() + lane.bands.len() => Told::Lost,
        None => Told::Highest,
    }
}

/// The labels below a lane's track: what was lost, what failed, how full it was, and steps.
fn wanted(lane: &Lane, axis: &Axis) -> Vec<Wanted> {
    let marks = lane.marks.iter().enumerate().map(|(number, mark)| Wanted {
        x: axis.x(mark.at_us),
        text: mark.label.clone(),
        number,
        rank: match mark.kind {
            MarkKind::Injected | MarkKind::Trouble => 1,
            MarkKind::Step => 3,
        },
    });
    let lost = lane.bands.iter().enumerate();
    let lost = lost.filter(|(_, band)| band.kind == BandKind::Lost);
    let lost = lost.map(|(number, band)| Wanted {
        x: axis.x(band.from_us),
        text: band.label.clone(),
        number: lane.marks.len() + number,
        rank: 0,
    });
    let highest = lane.levels.iter().rev().max_by_key(|level| level.amount);
    let highest = highest
        .filter(|level| level.amount > 0)
        .map(|level| Wanted {
            x: axis.x(level.at_us),
            text: format!("{} here", amount(lane.kind, level.amount)),
            number: lane.marks.len() + lane.bands.len(),
            rank: 2,
        });
    marks.chain(lost).chain(highest).collect()
}

/// Where a band lies in its track, and how tall it is: stdout in the upper half of a writer, stderr in
/// the lower.
fn inside(lane: &Lane, band: &Band, top: f64, height: f64) -> (f64, f64) {
    let half = height / 2.0;
    let is_writer = matches!(lane.kind, LaneKind::Task | LaneKind::Driver);
    match band.stream {
        Some(mock_driver::stream::Stream::Stdout) if is_writer => (top + 0.5, half - 1.0),
        Some(mock_driver::stream::Stream::Stderr) if is_writer => (top + half + 0.5, half - 1.0),
        Some(_) | None => match (band.kind, lane.kind) {
            (BandKind::Lost, LaneKind::Logmon) => (top + half, half),
            (
                BandKind::Life
                | BandKind::Starting
                | BandKind::Writing
                | BandKind::Blocked
                | BandKind::Paused
                | BandKind::File
                | BandKind::Deleted
                | BandKind::Lost,
                LaneKind::Task
                | LaneKind::Driver
                | LaneKind::Tasks
                | LaneKind::Pipe
                | LaneKind::Logmon
                | LaneKind::Files,
            ) => (top, height),
        },
    }
}
