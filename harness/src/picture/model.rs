//! What a picture shows, in times. (core)

use mock_driver::stream::Stream;

/// A played case as lanes over one axis of time. All times are microseconds since its first event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The case's id.
    pub id: String,
    /// Its promise, as one sentence.
    pub title: String,
    /// When the last thing happened.
    pub end_us: u64,
    /// What the host did to the subjects, in order of time.
    pub faults: Vec<Mark>,
    /// The lanes, from the writer to the files.
    pub lanes: Vec<Lane>,
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// What it stands for.
    pub kind: LaneKind,
    /// Its heading.
    pub name: String,
    /// What lasts.
    pub bands: Vec<Band>,
    /// What happens at once.
    pub marks: Vec<Mark>,
    /// An amount over time; each level holds until the next.
    pub levels: Vec<Level>,
}

impl Lane {
    /// A lane with nothing on it.
    #[must_use]
    pub fn new(kind: LaneKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            bands: Vec::new(),
            marks: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// The most that a level of the lane can be, at least 1.
    #[must_use]
    pub fn most(&self) -> u64 {
        let levels = self.levels.iter();
        levels
            .map(|level| level.most.max(level.amount))
            .max()
            .unwrap_or(1)
            .max(1)
    }
}

/// What a lane stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// One run of the task.
    Task,
    /// The driver of one run, if it told what it did.
    Driver,
    /// The tasks that one logmon serves.
    Tasks,
    /// What lies in a stream's pipe.
    Pipe,
    /// One life of logmon, or several where there are many.
    Logmon,
    /// The files of a stream.
    Files,
}

impl LaneKind {
    /// The word for it in a picture's source.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Driver => "driver",
            Self::Tasks => "tasks",
            Self::Pipe => "pipe",
            Self::Logmon => "logmon",
            Self::Files => "files",
        }
    }
}

/// Something that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// What.
    pub kind: BandKind,
    /// The stream concerned; none if it is no stream's.
    pub stream: Option<Stream>,
    /// When it began.
    pub from_us: u64,
    /// When it ended, not before it began.
    pub to_us: u64,
    /// A few words, shown where there is room.
    pub label: String,
    /// A sentence.
    pub detail: String,
}

/// What lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// A process lives.
    Life,
    /// A logmon was started and is not ready.
    Starting,
    /// Bytes are written.
    Writing,
    /// A writer waits for room in the pipe.
    Blocked,
    /// A process is stopped.
    Paused,
    /// A file is the current one.
    File,
    /// A file that was deleted later was the current one.
    Deleted,
    /// Bytes were here that are in no file.
    Lost,
}

impl BandKind {
    /// The word for it in a picture's source.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Starting => "starting",
            Self::Writing => "writing",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::File => "file",
            Self::Deleted => "deleted",
            Self::Lost => "lost",
        }
    }
}

/// Something that happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What.
    pub kind: MarkKind,
    /// When.
    pub at_us: u64,
    /// A few words.
    pub label: String,
}

/// What happens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// The host did it to a subject.
    Injected,
    /// Something failed.
    Trouble,
    /// A step of a life or of the plan.
    Step,
}

impl MarkKind {
    /// The word for it in a picture's source.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Trouble => "trouble",
            Self::Step => "step",
        }
    }
}

/// An amount from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// From when on.
    pub at_us: u64,
    /// Bytes, or tasks.
    pub amount: u64,
    /// The most that it could be then: a pipe's capacity.
    pub most: u64,
}
