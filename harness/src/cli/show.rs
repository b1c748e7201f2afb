//! `harness show`. (edge)

use std::fs;
use std::path::Path;

use super::bundle_args::{Format, ShowArgs};
use super::console;
use super::refusal::Refusal;
use crate::outcome::Ending;
use crate::picture::{self, Again};
use crate::report::{self, Paint};
use crate::suite::Bundle;

/// Shows a bundle in the wanted form. Showing a failure is no failure.
pub(super) fn show(args: &ShowArgs) -> Result<Ending, Refusal> {
    let bundle = Bundle::open(&args.bundle)?;
    let format = if args.html { Format::Html } else { args.format };
    let paint = match &args.output {
        Some(_) => Paint::Plain,
        None => console::paint(args.color),
    };
    let text = match format {
        Format::Text => {
            let head = report::attempt_head(&bundle.history, &bundle.verdict, paint);
            head + &report::whole_text(&bundle.history, &bundle.verdict, &args.bundle)
        }
        Format::Html => {
            let picture = picture::picture(&bundle.history, &bundle.verdict);
            let again = Again {
                bundle: args.bundle.display().to_string(),
            };
            picture::page(&picture, &bundle.history, &bundle.verdict, &again)
        }
        Format::Perfetto => picture::perfetto(&picture::picture(&bundle.history, &bundle.verdict)),
    };
    let output = match (&args.output, format) {
        (Some(path), _) => Some(path.clone()),
        // A page is of no use on a terminal.
        (None, Format::Html) => Some(bundle.dir.picture()),
        (None, Format::Text | Format::Perfetto) => None,
    };
    match &output {
        Some(path) => {
            write(path, &text)?;
            console::say(&format!("{}\n", path.display()));
        }
        None => console::say(&text),
    }
    Ok(Ending::Conformant)
}

fn write(path: &Path, text: &str) -> Result<(), Refusal> {
    fs::write(path, text).map_err(|error| {
        Refusal::new(
            Ending::BadConfiguration,
            format!(
                "can't write {}: {error}; give another file with --output",
                path.display()
            ),
        )
    })
}
