//! What is shown while a run goes on. (edge)

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::ProgressKind;
use super::console;
use crate::outcome::Status;
use crate::report::{CaseLines, Paint};
use crate::suite::CaseResult;

/// Shows progress in the chosen way. Failures are always shown.
#[derive(Debug)]
pub(super) struct Live {
    kind: ProgressKind,
    paint: Paint,
    bar: ProgressBar,
    running: Vec<String>,
    failed: usize,
    lines: CaseLines,
}

impl Live {
    /// `kind` is not `auto`.
    pub(super) fn new(kind: ProgressKind, paint: Paint) -> Self {
        let bar = match kind {
            ProgressKind::Bar => ProgressBar::new(0),
            ProgressKind::Auto | ProgressKind::Lines | ProgressKind::None => ProgressBar::hidden(),
        };
        // The cases have a line of their own: beside the bar there is no room for their names.
        let template = "{elapsed:>4} [{bar:24}] {pos}/{len} {prefix}\n     {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            kind,
            paint,
            bar,
            running: Vec::new(),
            failed: 0,
            lines: CaseLines::default(),
        }
    }

    /// Whether text is coloured.
    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// What prints on standard error above the bar, from any thread.
    pub(super) fn above(&self) -> impl Fn(&str) + Send + use<> {
        let bar = self.bar.clone();
        move |text| bar.suspend(|| console::complain(text))
    }

    /// Shows what goes on before the first case.
    pub(super) fn note(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// `attempts` are planned.
    pub(super) fn begin(&mut self, attempts: usize) {
        self.bar.set_length(attempts as u64);
        self.bar.reset_elapsed();
    }

    /// An attempt began.
    pub(super) fn began(&mut self, id: &str) {
        self.running.push(id.to_owned());
        self.show();
    }

    /// An attempt ended, and another one is to come.
    pub(super) fn ended(&mut self, id: &str, status: Status) {
        self.leave(id);
        if self.kind == ProgressKind::Lines && status != Status::Pass {
            console::say(&format!("again         {id:<44}  {status}\n"));
        }
        self.advance();
        self.show();
    }

    /// Everything about a case is known.
    pub(super) fn settled(&mut self, result: &CaseResult) {
        if !result.status.has_run() {
            return;
        }
        self.leave(&result.id);
        let is_news = !matches!(result.status, Status::Pass | Status::Xfail);
        self.failed += usize::from(is_news);
        let wanted = self.kind == ProgressKind::Lines || is_news;
        if wanted {
            let text = self.lines.of(result, self.paint);
            self.bar.suspend(|| console::say(&text));
        }
        self.advance();
        self.show();
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    /// Attempts that were not planned, such as those again alone, don't count beyond the end.
    fn advance(&self) {
        let planned = self.bar.length().unwrap_or_default();
        self.bar
            .set_position((self.bar.position() + 1).min(planned));
    }

    fn leave(&mut self, id: &str) {
        if let Some(index) = self.running.iter().position(|running| running == id) {
            self.running.remove(index);
        }
    }

    fn show(&self) {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!("{failed} not passed"),
        };
        self.bar.set_prefix(failed);
        self.bar.set_message(format!(
            "{} running: {}",
            self.running.len(),
            self.running.join(" ")
        ));
    }
}
