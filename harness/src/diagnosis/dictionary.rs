//! The form of a dictionary's entry. (core)

use super::Fact;
use crate::finding::Shape;
use crate::rule::Role;

/// One faulty subject and its damage; a name stands twice where a subject does one of two kinds.
pub(super) struct Entry {
    /// The subject's name.
    pub(super) subject: &'static str,
    /// The shapes that it leaves; without the first one it is not it.
    pub(super) shapes: &'static [Shape],
    /// What holds when it does.
    pub(super) facts: &'static [Fact],
    /// What speaks against it.
    pub(super) never: &'static [Fact],
    /// Shapes that come along now and then.
    pub(super) along: &'static [Shape],
    /// The cause.
    pub(super) cause: &'static str,
    /// What mends it.
    pub(super) ways_out: &'static [&'static str],
}

/// All entries and whose fault each is: drivers first.
pub(super) fn entries() -> impl Iterator<Item = (Role, &'static Entry)> {
    let of = |role, entries: &'static [Entry]| entries.iter().map(move |entry| (role, entry));
    of(Role::Driver, super::drivers::ENTRIES)
        .chain(of(Role::Driver, super::guests::ENTRIES))
        .chain(of(Role::Driver, super::recoveries::ENTRIES))
        .chain(of(Role::Logmon, super::logmons::ENTRIES))
        .chain(of(Role::Logmon, super::hosts::ENTRIES))
        .chain(of(Role::Logmon, super::many::ENTRIES))
}
