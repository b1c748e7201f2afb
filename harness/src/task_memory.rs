//! What each of many tasks costs one logmon. (core)

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::trace::Event;
use crate::trace::many::{ManyEvent, When};

/// How much more memory logmon's processes have with all tasks than before the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMemory {
    /// The tasks, at least 1.
    pub tasks: u64,
    /// Bytes that lie in no file, of all tasks together.
    pub own_bytes: u64,
    /// Bytes of page tables, of all tasks together.
    pub page_table_bytes: u64,
}

impl TaskMemory {
    /// The most that was measured with tasks; none for a case that measured none.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        let measured = || {
            history.entries.iter().filter_map(|entry| {
                if let Event::Many(ManyEvent::Measured {
                    when,
                    tasks,
                    memory_bytes,
                    page_table_bytes,
                    ..
                }) = &entry.event
                {
                    Some((*when, u64::from(*tasks), *memory_bytes, *page_table_bytes))
                } else {
                    None
                }
            })
        };
        let (_, _, own, tables) = measured().find(|(when, ..)| *when == When::Before)?;
        measured()
            .filter(|(when, tasks, ..)| matches!(when, When::Started | When::Written) && *tasks > 0)
            .map(|(_, tasks, own_now, tables_now)| Self {
                tasks,
                own_bytes: own_now.saturating_sub(own),
                page_table_bytes: tables_now.saturating_sub(tables),
            })
            .max_by_key(|one| one.own_bytes + one.page_table_bytes)
    }

    /// Bytes of one task.
    #[must_use]
    pub fn bytes_per_task(&self) -> u64 {
        (self.own_bytes + self.page_table_bytes) / self.tasks.max(1)
    }
}
