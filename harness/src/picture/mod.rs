//! A picture of a played case: lanes over one axis of time, drawn as a page or told as a trace.
//! (re-exports only; every module is a core)
//!
//! A history becomes a [`Picture`], which knows times and no places. `axis` and `labels` give places,
//! `svg` and `page` write them down; `perfetto` writes the same picture for another viewer.

mod axis;
mod build;
mod files;
mod labels;
mod lives;
mod losses;
mod model;
mod page;
mod perfetto;
mod pipes;
mod svg;
#[cfg(test)]
mod tests;
mod writers;
mod xml;

pub use build::picture;
pub use model::{Band, BandKind, Lane, LaneKind, Level, Mark, MarkKind, Picture};
pub use page::{Again, page};
pub use perfetto::perfetto;
pub use svg::svg;
