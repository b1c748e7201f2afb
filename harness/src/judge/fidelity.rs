//! Whether the files hold what the task wrote, and how not. (core)

use std::ops::Range;

use mock_driver::stream::Stream;

use super::damage::Damage;
use super::expectation::{Expectation, Foreseen, foreseen};
use super::figures::{count, excerpt, merged, number, pieces, subtracted, total};
use super::timeline::Timeline;
use super::wording::{Places, file_place};
use super::{crowd, direct, loss_marks, lossy, pipe_content, rules};
use crate::capability::Capability;
use crate::finding::{Finding, Shape};
use crate::history::LogFile;
use crate::outcome::Verdict;
use crate::rule::RuleId;
use crate::scenario::{Exactness, FifoKind};

/// Judges both streams.
pub(super) fn judge(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let scenario = &timeline.history.case.scenario;
    if scenario.host.fifos == FifoKind::Disabled {
        return;
    }
    if timeline.declares(Capability::Merged) {
        crowd::judge_merged(timeline, verdict);
        return;
    }
    for stream in Stream::BOTH {
        let exactness = exactness(timeline, stream);
        if exactness == Exactness::Unchecked {
            continue;
        }
        let observed = timeline.history.joined(stream);
        let wants_direct = exactness == Exactness::SameAsDirect;
        let foreseen = foreseen(timeline, stream, exactness);
        if wants_direct || matches!(foreseen, Foreseen::Unknown(_)) {
            let why = if let Foreseen::Unknown(why) = foreseen {
                why
            } else {
                "it was not taken"
            };
            direct::judge(timeline, stream, &observed, why, verdict);
            continue;
        }
        match foreseen {
            Foreseen::Unknown(_) => {}
            Foreseen::Crowd(crowd) => crowd::judge(timeline, stream, &crowd, &observed, verdict),
            Foreseen::Ordered(expectation) => {
                let one = Ordered {
                    timeline,
                    stream,
                    exactness,
                    expectation,
                    observed,
                };
                one.judge(verdict);
            }
        }
    }
}

/// How a stream is judged.
pub(super) fn exactness(timeline: &Timeline<'_>, stream: Stream) -> Exactness {
    let expect = &timeline.history.case.scenario.expect;
    match stream {
        Stream::Stdout => expect.stdout,
        Stream::Stderr => expect.stderr,
    }
}

/// The rule that a damage of this shape breaks.
pub(super) fn rule(timeline: &Timeline<'_>, shape: Shape) -> RuleId {
    let scenario = &timeline.history.case.scenario;
    if shape == Shape::StreamsMixed {
        rules::if_checked(scenario, rules::DATA_2)
    } else if matches!(shape, Shape::Altered | Shape::Added) {
        rules::if_checked(scenario, rules::DATA_1)
    } else if shape == Shape::LostPipeContent {
        rules::if_checked(scenario, rules::FIFO_10)
    } else {
        rules::first(scenario)
    }
}

/// A stream whose bytes and their order are known.
pub(super) struct Ordered<'a> {
    pub(super) timeline: &'a Timeline<'a>,
    pub(super) stream: Stream,
    pub(super) exactness: Exactness,
    pub(super) expectation: Expectation,
    pub(super) observed: Vec<u8>,
}

impl Ordered<'_> {
    fn judge(&self, verdict: &mut Verdict) {
        let expected = &self.expectation.bytes;
        if self.exactness == Exactness::Lossy
            && let Some(missing) = lossy::missing_lines(expected, &self.observed)
        {
            // What is missing because the task was ended was not dropped.
            let mut generations = self.timeline.generations.iter();
            if !generations.any(|one| one.was_ended_by_host()) {
                let said = &self.timeline.history.said;
                let finding = lossy::unrecorded(self.stream, &missing, said);
                verdict.findings.extend(finding);
            }
            return;
        }
        if self.is_as_it_must_be() {
            return;
        }
        if let Some(how) = self.disguise() {
            let headline = format!("the bytes of {} were changed: {how}", self.stream);
            verdict
                .findings
                .push(self.finding(Shape::Altered, headline, vec![self.sizes()]));
            return;
        }
        let damage = self.compared();
        self.report(&damage, verdict);
    }

    /// Bytes at the start that retention may have deleted.
    pub(super) fn may_lose_head(&self) -> usize {
        let files = self.files();
        let first = files.first().map(|file| file.index);
        let is_purged = first != Some(self.expectation.first_index);
        let most = self
            .timeline
            .lives
            .iter()
            .filter(|life| life.ready_us.is_some())
            .map(|life| life.limits.max_files);
        let has_kept_enough = most
            .min()
            .is_none_or(|most| files.len() as u64 >= u64::from(most));
        if !is_purged || !has_kept_enough {
            return 0;
        }
        match self.exactness {
            Exactness::Suffix => self.expectation.bytes.len(),
            Exactness::Exact
            | Exactness::Unordered
            | Exactness::SameAsDirect
            | Exactness::AtLeastAccepted
            | Exactness::Lossy
            | Exactness::Unchecked => self.expectation.planted,
        }
    }

    pub(super) fn is_allowed_suffix(&self) -> bool {
        let expected = &self.expectation.bytes;
        expected.ends_with(&self.observed)
            && expected.len() - self.observed.len() <= self.may_lose_head()
    }

    /// The common case of one ended generation: a prefix that holds what the kernel took.
    pub(super) fn is_allowed_prefix(&self) -> bool {
        let expected = &self.expectation.bytes;
        self.least()
            .is_some_and(|least| self.observed.len() >= least)
            && expected.starts_with(&self.observed)
    }

    /// What the kernel took at least, if only the end is open.
    pub(super) fn least(&self) -> Option<usize> {
        match self.expectation.optional.as_slice() {
            [one] if one.end == self.expectation.bytes.len() => Some(one.start),
            [] | [..] => None,
        }
    }

    /// Takes away what the contract does not promise.
    pub(super) fn excuse(&self, damage: &mut Damage) {
        let free_head = self.may_lose_head();
        let mut excused = Vec::new();
        for piece in &damage.lost {
            if piece.start == 0 && free_head > 0 {
                excused.push(0..piece.end.min(free_head));
            }
            for optional in &self.expectation.optional {
                if piece.end >= optional.end && piece.start < optional.end {
                    excused.push(piece.start.max(optional.start)..optional.end);
                }
            }
        }
        damage.lost = subtracted(&damage.lost, &merged(excused));
        let allowed = self
            .timeline
            .history
            .case
            .scenario
            .expect
            .loss_per_kill_bytes as usize;
        let mut kills = self.timeline.kills();
        let is_everything = damage.received.is_empty();
        damage.lost.retain(|piece| {
            let is_excused =
                kills > 0 && !is_everything && piece.start > 0 && piece.len() <= allowed;
            kills -= usize::from(is_excused);
            !is_excused
        });
        let units = &self.expectation.units;
        damage.torn.retain(|&unit| {
            let start = units[unit].at;
            let end = units
                .get(unit + 1)
                .map_or(self.expectation.bytes.len(), |next| next.at);
            let touches = |piece: &Range<usize>| piece.start < end && start < piece.end;
            damage.lost.iter().any(touches) || damage.moved.iter().any(touches)
        });
    }

    fn report(&self, damage: &Damage, verdict: &mut Verdict) {
        let places = Places::new(&self.expectation);
        let facts = self.facts(damage, &places);
        self.losses(damage, &places, &facts, verdict);
        let mut push = |shape, headline: String, lines: Vec<String>| {
            let details = facts.iter().take(1).cloned().chain(lines).collect();
            verdict
                .findings
                .push(self.finding(shape, headline, details));
        };
        let stream = self.stream;
        if !damage.mixed.is_empty() {
            let bytes = total(&damage.mixed);
            let first = &damage.mixed[0];
            push(
                Shape::StreamsMixed,
                format!(
                    "{} that are not its own stand in {stream}, {}",
                    count(bytes, "byte"),
                    pieces(damage.mixed.len())
                ),
                vec![format!(
                    "{}: {}",
                    self.file(first.start),
                    excerpt(&self.observed[first.clone()])
                )],
            );
        }
        if !damage.repeated.is_empty() {
            let ranges: Vec<_> = damage
                .repeated
                .iter()
                .map(|(range, _)| range.clone())
                .collect();
            push(
                Shape::Repeated,
                format!("{} in {stream}", places.repetition(&ranges)),
                damage
                    .repeated
                    .iter()
                    .take(3)
                    .map(|(range, at)| format!("{}: {} again", self.file(*at), places.piece(range)))
                    .chain(
                        (ranges.len() > 3)
                            .then(|| format!("{} again in all", count(total(&ranges), "byte"))),
                    )
                    .chain(places.cut(&ranges, "a repetition"))
                    .collect(),
            );
        }
        if !damage.torn.is_empty() {
            let units = &self.expectation.units;
            let named: Vec<_> = damage
                .torn
                .iter()
                .map(|&unit| units[unit].at..units[unit].at + 1)
                .collect();
            push(
                Shape::Torn,
                format!("{} cut in {stream}", count(damage.torn.len(), "record")),
                vec![format!("cut: {}", places.ranges(&named))],
            );
        }
        if !damage.moved.is_empty() {
            push(
                Shape::Reordered,
                format!(
                    "{}, {}, in {stream}",
                    places.amount(&damage.moved, "out of order"),
                    pieces(damage.moved.len())
                ),
                vec![format!("out of order: {}", places.ranges(&damage.moved))],
            );
        }
        if !damage.altered.is_empty() {
            push(
                Shape::Altered,
                self.altered(damage),
                damage
                    .altered
                    .iter()
                    .take(3)
                    .map(|(exp, obs)| {
                        let seen = excerpt(&self.observed[obs.clone()]);
                        if exp.is_empty() {
                            format!("{}: put in {seen}", self.file(obs.start))
                        } else {
                            let sent = excerpt(&self.expectation.bytes[exp.clone()]);
                            format!("{}: sent {sent}, received {seen}", self.file(obs.start))
                        }
                    })
                    .collect(),
            );
        }
        if !damage.added.is_empty() {
            let first = &damage.added[0];
            let end = if first.start == 0 {
                "before the first byte"
            } else {
                "behind the last byte"
            };
            push(
                Shape::Added,
                format!(
                    "{} added {end} of {stream}",
                    count(total(&damage.added), "byte")
                ),
                damage
                    .added
                    .iter()
                    .map(|range| {
                        format!(
                            "{}: {}",
                            self.file(range.start),
                            excerpt(&self.observed[range.clone()])
                        )
                    })
                    .collect(),
            );
        }
    }

    fn altered(&self, damage: &Damage) -> String {
        let put_in: Vec<_> = damage
            .altered
            .iter()
            .filter(|(exp, _)| exp.is_empty())
            .collect();
        let changed = damage.altered.len() - put_in.len();
        let mut parts = Vec::new();
        if changed > 0 {
            parts.push(format!("{} changed", count(changed, "piece")));
        }
        if !put_in.is_empty() {
            let bytes: usize = put_in.iter().map(|(_, obs)| obs.len()).sum();
            parts.push(format!(
                "{} put in between, {}",
                count(bytes, "byte"),
                pieces(put_in.len())
            ));
        }
        format!(
            "the bytes of {} were changed: {}",
            self.stream,
            parts.join("; ")
        )
    }

    fn losses(
        &self,
        damage: &Damage,
        places: &Places<'_>,
        facts: &[String],
        verdict: &mut Verdict,
    ) {
        let Some(first) = damage.lost.first() else {
            return;
        };
        if damage.received.is_empty() {
            let all = std::slice::from_ref(first);
            let amount = places.amount(all, "lost");
            let headline = format!("all {amount}: nothing of {} arrived", self.stream);
            let mut details = facts.to_vec();
            details.extend(loss_marks::marks(&self.expectation, all));
            verdict
                .findings
                .push(self.finding(Shape::LostAll, headline, details));
            return;
        }
        let (mut head, mut middle, mut tail) = (Vec::new(), Vec::new(), Vec::new());
        for piece in &damage.lost {
            if damage
                .received
                .first()
                .is_some_and(|received| piece.end <= received.start)
            {
                head.push(piece.clone());
            } else if damage
                .received
                .last()
                .is_some_and(|received| received.end <= piece.start)
            {
                tail.push(piece.clone());
            } else {
                middle.push(piece.clone());
            }
        }
        let mut facts = facts.to_vec();
        for (shape, ranges, place) in [
            (Shape::LostMiddle, middle, "in the middle"),
            (Shape::LostHead, head, "at the beginning"),
            (Shape::LostTail, tail, "at the end"),
        ] {
            if ranges.is_empty() {
                continue;
            }
            let mut details = facts.clone();
            let mut shape = shape;
            let held: Vec<_> = ranges
                .iter()
                .map_while(|piece| {
                    pipe_content::evidence(
                        self.timeline,
                        self.stream,
                        piece.len(),
                        self.longest_unit(piece),
                    )
                })
                .collect();
            if shape != Shape::LostHead && held.len() == ranges.len() {
                shape = Shape::LostPipeContent;
                details.extend(held.into_iter().take(2));
            }
            details.extend(places.cut(&ranges, "the loss"));
            details.extend(loss_marks::marks(&self.expectation, &ranges));
            let amount = places.amount(&ranges, "lost");
            let headline = format!(
                "{amount}, {}, {place} of {}",
                pieces(ranges.len()),
                self.stream
            );
            verdict
                .findings
                .push(self.finding(shape, headline, details));
            // The same lines need not be read twice.
            facts.truncate(1);
        }
    }

    fn longest_unit(&self, piece: &Range<usize>) -> usize {
        let units = &self.expectation.units;
        let first = units
            .partition_point(|unit| unit.at <= piece.start)
            .saturating_sub(1);
        let end = units
            .get(first + 1)
            .map_or(self.expectation.bytes.len(), |next| next.at);
        units.get(first).map_or(0, |unit| end - unit.at)
    }

    /// What was sent and received, and the first damaged place of the files.
    fn facts(&self, damage: &Damage, places: &Places<'_>) -> Vec<String> {
        let again = damage.repeated.iter().map(|(range, _)| range);
        let mut edges = damage.lost.iter().chain(again);
        let is_torn = !damage.torn.is_empty() || edges.any(|range| places.is_cut(range));
        let has = [
            ("repeated", !damage.repeated.is_empty()),
            ("torn", is_torn),
            ("out of order", !damage.moved.is_empty()),
        ];
        // Bytes that are no records can't be told to be torn.
        let told = has
            .into_iter()
            .filter(|(what, _)| *what != "torn" || places.has_records());
        let (wrong, right): (Vec<_>, Vec<_>) = told.partition(|(_, is_wrong)| *is_wrong);
        let rest = match right.as_slice() {
            [] => {
                let some: Vec<_> = wrong
                    .iter()
                    .map(|(what, _)| format!("some {what}"))
                    .collect();
                some.join(", ")
            }
            [(one, _)] => format!("nothing {one}"),
            [(first, _), (second, _)] => format!("nothing {first} or {second}"),
            [(first, _), (second, _), (third, _), ..] => {
                format!("nothing {first}, {second} or {third}")
            }
        };
        let sent = self.sent(places);
        let mut facts = vec![format!(
            "sent {sent}   received {}   {rest}",
            places.ranges(&damage.received)
        )];
        if let Some(lost) = damage
            .lost
            .iter()
            .find(|piece| piece.start > 0)
            .or(damage.lost.first())
            && damage.moved.is_empty()
            && damage.repeated.is_empty()
        {
            facts.push(self.around(damage, places, lost));
        }
        facts
    }

    /// What the task wrote; of one that was ended, how far it came at least.
    fn sent(&self, places: &Places<'_>) -> String {
        let all = self.expectation.bytes.len();
        match self.least() {
            _ if all == 0 => "nothing".to_owned(),
            Some(0) => format!("perhaps something of {}", places.range(&(0..all))),
            Some(least) => format!(
                "{} of {}",
                places.range(&(0..least)),
                places.range(&(0..all))
            ),
            None => places.range(&(0..all)),
        }
    }

    /// `demo.stdout.0 at byte 20,000:  …199 ok | 200…839 missing | 840 ok…`
    fn around(&self, damage: &Damage, places: &Places<'_>, lost: &Range<usize>) -> String {
        let before: usize = damage
            .received
            .iter()
            .filter(|range| range.end <= lost.start)
            .map(ExactSizeIterator::len)
            .sum();
        let mut parts = Vec::new();
        if before > 0 {
            parts.push(format!(
                "…{} ok",
                places.range(&(lost.start - 1..lost.start))
            ));
        }
        parts.push(format!("{} missing", places.range(lost)));
        if lost.end < self.expectation.bytes.len() {
            parts.push(format!("{} ok…", places.range(&(lost.end..lost.end + 1))));
        }
        format!("{}:  {}", self.file(before), parts.join(" | "))
    }

    fn files(&self) -> &[LogFile] {
        self.timeline
            .history
            .files
            .get(&self.stream)
            .map_or(&[], Vec::as_slice)
    }

    fn file(&self, offset: usize) -> String {
        file_place(self.files(), offset)
    }

    fn sizes(&self) -> String {
        format!(
            "sent {} bytes, received {}",
            number(self.expectation.bytes.len() as u64),
            number(self.observed.len() as u64)
        )
    }

    fn finding(&self, shape: Shape, headline: String, details: Vec<String>) -> Finding {
        Finding {
            shape,
            rule: rule(self.timeline, shape),
            stream: Some(self.stream),
            headline,
            details,
        }
    }
}
