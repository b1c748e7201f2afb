//! Core: the tables, as text in Markdown.

use std::fmt::Write as _;

use crate::collector::Collector;
use crate::stats::{Ratio, Summary, ratio, summary};
use crate::work::Work;

/// What one run has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Bytes written.
    pub bytes: u64,
    /// Seconds from the first write to the end of the collector.
    pub wall_s: f64,
    /// User and system time of the collector in seconds.
    pub cpu_s: f64,
    /// The same of the producer.
    pub producer_cpu_s: f64,
    /// Context switches of the collector.
    pub switches: f64,
    /// The largest resident size of the collector in bytes, shared pages included.
    pub peak_bytes: f64,
    /// Files but the last that end within a line; none if nothing is kept.
    pub cut_ends: Option<usize>,
    /// The largest file in bytes; none if nothing is kept.
    pub largest_bytes: Option<u64>,
}

/// Pairs of runs: the base, and the one that is compared with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// "tmpfs" or "disk".
    pub place: String,
    /// What the producer did.
    pub work: Work,
    /// The collector that is 1.00.
    pub base: Collector,
    /// The collector that is compared with it.
    pub other: Collector,
    /// The runs, in the order in which they ran.
    pub pairs: Vec<(Figures, Figures)>,
}

impl Comparison {
    /// Throughput of the other one in terms of the base.
    #[must_use]
    pub fn throughput(&self) -> Ratio {
        self.ratio(|run| run.bytes as f64 / run.wall_s)
    }

    /// CPU time of the other one in terms of the base.
    #[must_use]
    pub fn cpu(&self) -> Ratio {
        self.ratio(|run| run.cpu_s)
    }

    /// CPU time of collector and producer together.
    #[must_use]
    pub fn cpu_of_both(&self) -> Ratio {
        self.ratio(|run| run.cpu_s + run.producer_cpu_s)
    }

    fn ratio(&self, figure: impl Fn(&Figures) -> f64) -> Ratio {
        let pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(base, other)| (figure(base), figure(other)))
            .collect();
        ratio(&pairs)
    }

    fn others(&self, figure: impl Fn(&Figures) -> f64) -> Option<Summary> {
        let figures: Vec<_> = self.pairs.iter().map(|(_, run)| figure(run)).collect();
        summary(&figures)
    }

    /// A line for whoever waits.
    #[must_use]
    pub fn progress(&self) -> String {
        format!(
            "{} {}: {} to {}: throughput {}, CPU {}",
            self.place,
            self.work,
            self.other,
            self.base,
            self.throughput(),
            self.cpu()
        )
    }
}

/// One table per place: a row for each collector, a column for each work, throughput and CPU time in
/// terms of the base. A refused ratio is `?`.
#[must_use]
pub fn overview(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for place in distinct(comparisons.iter().map(|one| one.place.clone())) {
        let here: Vec<_> = comparisons
            .iter()
            .filter(|one| one.place == place)
            .collect();
        let works = distinct(here.iter().map(|one| one.work));
        let rows = distinct(here.iter().map(|one| (one.base, one.other)));
        let mut table = Table::new(&format!("{place}: throughput / CPU"), &works);
        if let Some((base, _)) = rows.first() {
            table.row(&format!("{base}, absolute"), &works, |work| {
                absolute(
                    here.iter()
                        .filter(|one| one.work == work && one.base == *base),
                )
            });
        }
        for (base, other) in rows {
            let name = if base == Collector::ReadWrite {
                other.to_string()
            } else {
                format!("{other} in terms of {base}")
            };
            table.row(&name, &works, |work| {
                let cell = here
                    .iter()
                    .find(|one| one.work == work && one.base == base && one.other == other);
                cell.map_or_else(String::new, |one| {
                    let told = |ratio: Ratio| {
                        ratio
                            .known()
                            .map_or_else(|| "?".to_owned(), |median| format!("{median:.2}"))
                    };
                    format!("{} / {}", told(one.throughput()), told(one.cpu()))
                })
            });
        }
        text += &table.text;
        text.push('\n');
    }
    text
}

/// One row per comparison with everything that was measured, medians with smallest and largest.
#[must_use]
pub fn details(comparisons: &[Comparison]) -> String {
    let mut text = String::from(
        "| place, work | collector | base | pairs | throughput | CPU | CPU with the producer | \
         switches per GB | peak MiB | files that end within a line | largest file |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for one in comparisons {
        let per_gb = one.others(|run| run.switches / (run.bytes as f64 / 1e9));
        let peak = one.others(|run| run.peak_bytes / 1_048_576.0);
        let last = one.pairs.last().map(|(_, run)| *run);
        let cut_ends = one.pairs.iter().filter_map(|(_, run)| run.cut_ends).max();
        writeln!(
            text,
            "| {} {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            one.place,
            one.work,
            one.other,
            one.base,
            one.pairs.len(),
            one.throughput(),
            one.cpu(),
            one.cpu_of_both(),
            spread(per_gb, 0),
            spread(peak, 1),
            cut_ends.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            last.and_then(|run| run.largest_bytes)
                .map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
        )
        .expect("writing to a string does not fail");
    }
    text
}

/// `12 (10…15)`.
#[must_use]
pub fn spread(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or_else(
        || "-".to_owned(),
        |s| {
            format!(
                "{:.digits$} ({:.digits$}…{:.digits$})",
                s.median, s.min, s.max
            )
        },
    )
}

/// The base's own figures: GB in a second, and CPU seconds for a GB.
fn absolute<'a, 'b: 'a>(comparisons: impl Iterator<Item = &'a &'b Comparison>) -> String {
    let runs: Vec<_> = comparisons
        .flat_map(|one| one.pairs.iter().map(|(base, _)| *base))
        .collect();
    let of = |figure: fn(&Figures) -> f64| summary(&runs.iter().map(figure).collect::<Vec<_>>());
    match (
        of(|run| run.bytes as f64 / 1e9 / run.wall_s),
        of(|run| run.cpu_s / (run.bytes as f64 / 1e9)),
    ) {
        (Some(throughput), Some(cpu)) => {
            format!("{:.2} GB/s, {:.2} s/GB", throughput.median, cpu.median)
        }
        _ => String::new(),
    }
}

struct Table {
    text: String,
}

impl Table {
    fn new(corner: &str, works: &[Work]) -> Table {
        let columns: String = works.iter().map(|work| format!(" {work} |")).collect();
        let rule = "---|".repeat(works.len() + 1);
        Table {
            text: format!("| {corner} |{columns}\n|{rule}\n"),
        }
    }

    fn row(&mut self, name: &str, works: &[Work], cell: impl Fn(Work) -> String) {
        let cells: String = works
            .iter()
            .map(|work| format!(" {} |", cell(*work)))
            .collect();
        self.text += &format!("| {name} |{cells}\n");
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wall_s: f64, cpu_s: f64) -> Figures {
        Figures {
            bytes: 1_000_000_000,
            wall_s,
            cpu_s,
            producer_cpu_s: 1.0,
            switches: 500.0,
            peak_bytes: 2.0 * 1_048_576.0,
            cut_ends: Some(0),
            largest_bytes: Some(10_485_700),
        }
    }

    fn comparison(other: Collector, runs: [(f64, f64); 3]) -> Comparison {
        Comparison {
            place: "tmpfs".into(),
            work: Work::lines(100),
            base: Collector::ReadWrite,
            other,
            pairs: runs
                .map(|(wall, cpu)| (run(4.0, 2.0), run(wall, cpu)))
                .into(),
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_collector_and_a_column_for_each_work() {
        let steady = comparison(Collector::Logmon, [(2.0, 0.2), (2.0, 0.2), (2.0, 0.2)]);
        let mut blocks = comparison(Collector::Logmon, [(4.0, 1.0), (4.0, 1.0), (4.0, 1.0)]);
        blocks.work = Work::blocks(16_384);
        let shaky = comparison(Collector::S6Log, [(1.0, 4.0), (4.0, 4.0), (9.0, 4.0)]);
        assert_eq!(
            overview(&[steady, blocks, shaky]),
            "| tmpfs: throughput / CPU | L100 | B16K |\n\
             |---|---|---|\n\
             | read+write (base), absolute | 0.25 GB/s, 2.00 s/GB | 0.25 GB/s, 2.00 s/GB |\n\
             | logmon | 2.00 / 0.10 | 1.00 / 0.50 |\n\
             | s6-log | ? / 2.00 |  |\n\n"
        );
    }

    #[test]
    fn the_details_give_every_figure_with_its_spread() {
        let one = comparison(Collector::Logmon, [(2.0, 0.2), (2.5, 0.2), (1.6, 0.2)]);
        let text = details(&[one]);
        assert_eq!(
            text.lines().last(),
            Some(
                "| tmpfs L100 | logmon | read+write (base) | 3 | ? (1.60…2.50) | \
                 0.10 (0.10…0.10) | 0.40 (0.40…0.40) | 500 (500…500) | 2.0 (2.0…2.0) | 0 | \
                 10485700 |"
            )
        );
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn less_time_is_more_throughput() {
        let one = comparison(Collector::Logmon, [(2.0, 1.0), (2.0, 1.0), (2.0, 1.0)]);
        assert_eq!(one.throughput().known(), Some(2.0));
        assert_eq!(one.cpu().known(), Some(0.5));
    }
}
