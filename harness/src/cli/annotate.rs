//! What a CI system is told beside the report. (edge)

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::args::AnnotationKind;
use super::console;
use crate::report::{self, Report};

/// Names the file that becomes the summary of a job on GitHub Actions.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// Prints the annotations and adds the report to the job's summary, if that is asked for. A summary that
/// can't be written is complained of, and changes nothing else: exit code and reports count.
pub(super) fn annotate(report: &Report, asked: AnnotationKind) {
    let wanted = match asked {
        AnnotationKind::Github => true,
        AnnotationKind::None => false,
        AnnotationKind::Auto => env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
    };
    if !wanted {
        return;
    }
    console::say(&report::annotations(report));
    if let Some(path) = env::var_os(SUMMARY_VARIABLE).filter(|path| !path.is_empty()) {
        let path = Path::new(&path);
        if let Err(error) = add(path, &report::markdown(report)) {
            console::complain(&format!(
                "can't add the summary to {}, which {SUMMARY_VARIABLE} names: {error}",
                path.display()
            ));
        }
    }
}

/// Several steps and programs may add to the same file.
fn add(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())
}
