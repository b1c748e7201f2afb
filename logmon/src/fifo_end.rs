//! Edge: the FIFO of a stream, made or adopted, and opened for reading.
//!
//! Its folder is opened once, and what is made, checked and read lies in that very folder (SEC-1).

use fifo::{Access, Origin, Place, Reader};

use crate::config::StreamConfig;
use crate::error::Error;

/// Makes the FIFO or adopts the one that is there, and opens its read end.
pub(crate) fn open(config: &StreamConfig) -> Result<(Reader, Origin), Error> {
    let access = access(config)?;
    let place = place(config)?;
    let origin = fifo::create_or_adopt_in(&place, access)?;
    Ok((Reader::open_in(&place, access)?, origin))
}

/// Opens another read end of the FIFO that is at the stream's path.
pub(crate) fn open_existing(config: &StreamConfig) -> Result<Reader, Error> {
    Ok(Reader::open_in(&place(config)?, access(config)?)?)
}

fn place(config: &StreamConfig) -> Result<Place<'_>, fifo::Error> {
    match &config.trusted_root {
        Some(root) => Place::open_below(root, &config.fifo),
        None => Place::open(&config.fifo),
    }
}

fn access(config: &StreamConfig) -> Result<Access, Error> {
    Ok(Access::of_mode(config.fifo_mode))
}
