//! Edge: the FIFO of a stream, made or adopted, and opened for reading.
//!
//! Its folder is opened once, and what is made, checked and read lies in that very folder (SEC-1).

use std::io;

use fifo::{Access, Origin, Owner, Place, Reader};

use crate::accounts;
use crate::config::StreamConfig;
use crate::error::Error;
use crate::owner::{FifoOwner, Principal};

/// Makes the FIFO or adopts the one that is there, and opens its read end.
pub(crate) fn open(config: &StreamConfig) -> Result<(Reader, Origin), Error> {
    let access = access(config)?;
    let place = place(config)?;
    let origin = fifo::create_or_adopt_in(&place, access).map_err(told_with_option)?;
    let reader = Reader::open_adopted_in(&place, access)?;
    Ok((reader.sharing(&config.fifo), origin))
}

/// Says which option is to blame where it is one.
fn told_with_option(source: fifo::Error) -> Error {
    if matches!(source, fifo::Error::SetOwner { .. }) && !source.is_transient() {
        Error::CantGiveAway { source }
    } else {
        Error::Fifo(source)
    }
}

/// Opens another read end of the FIFO that is at the stream's path.
pub(crate) fn open_existing(config: &StreamConfig) -> Result<Reader, Error> {
    Ok(Reader::open_in(&place(config)?, access(config)?)?)
}

/// True when the FIFO that is at the stream's path has no byte and no process that could write one, or when
/// nothing is there any more.
pub(crate) fn is_deserted(config: &StreamConfig) -> bool {
    match open_existing(config) {
        Ok(reader) => reader.is_deserted().unwrap_or(false),
        Err(Error::Fifo(error)) => error
            .io_error()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound),
        Err(_) => false,
    }
}

fn place(config: &StreamConfig) -> Result<Place<'_>, fifo::Error> {
    match &config.trusted_root {
        Some(root) => Place::open_below(root, &config.fifo),
        None => Place::open(&config.fifo),
    }
}

fn access(config: &StreamConfig) -> Result<Access, Error> {
    let owner = match config.fifo_owner.as_deref() {
        Some(FifoOwner { user, group }) => Owner {
            user: user.as_ref().map(user_id).transpose()?,
            group: group.as_ref().map(group_id).transpose()?,
        },
        None => Owner::default(),
    };
    Ok(Access {
        mode: config.fifo_mode,
        owner,
    })
}

fn user_id(user: &Principal) -> Result<u32, Error> {
    number_of(user, "user", accounts::user_id)
}

fn group_id(group: &Principal) -> Result<u32, Error> {
    number_of(group, "group", accounts::group_id)
}

fn number_of(
    principal: &Principal,
    kind: &'static str,
    look_up: impl FnOnce(&str) -> io::Result<Option<u32>>,
) -> Result<u32, Error> {
    let name = match principal {
        Principal::Number(number) => return Ok(*number),
        Principal::Name(name) => name,
    };
    match look_up(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Error::NoPrincipal {
            kind,
            name: name.to_string(),
        }),
        Err(source) => Err(Error::LookUp {
            kind,
            name: name.to_string(),
            source,
        }),
    }
}
