//! Core: what logmon and the keeper say to each other, as bytes.
//!
//! A message is one packet of a Unix socket of type SOCK_SEQPACKET, at most [`MAX_MESSAGE_BYTES`] long.
//! Each request has one reply, in order. Descriptors travel beside the bytes (SCM_RIGHTS); the message
//! says how many belong to it.
//!
//! ```text
//! offset  bytes  meaning
//!      0      3  "LMK"
//!      3      1  version of the protocol, 1
//!      4      1  kind of message
//!      5      1  number of descriptors that come with it, 0 to 3
//!      6      2  length of the body in bytes, little-endian; the message ends with it
//!      8         body
//!
//! kind  request                body               reply
//!    1  ping                   -                  129
//!    2  deposit, descriptors   key                130, 255
//!    3  fetch                  key                131 with descriptors, 132
//!    4  release                key                130, 132
//!    5  list                   key or nothing     133: the keys after it, in order; none after the last
//!    6  end                    -                  130, 255: it holds something or serves somebody else
//!
//! kind  reply                  body
//!  129  pong                   keys held (4 bytes, little-endian), then the pids of those who have
//!                              deposited or fetched and are connected (4 bytes each)
//!  130  done                   -
//!  131  held                   -
//!  132  not held               -
//!  133  keys                   for each: length (1 byte), key, number of descriptors (1 byte)
//!  255  refused                reason (1 byte)
//! ```
//! A key has 1 to 64 characters of `a-z A-Z 0-9 . _ -`. The header stays as it is in later versions, so
//! that a keeper can refuse a version by name.

use super::key::{Key, MAX_KEY_BYTES};

/// The version of the protocol.
const VERSION: u8 = 1;
/// Bytes in front of the body.
const HEADER_BYTES: usize = 8;
/// The most bytes that a message may have.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4096;
/// The most descriptors of one key: the read end of the FIFO and both ends of the staging pipe.
pub(crate) const MAX_DESCRIPTORS: usize = 3;
/// The most pids in a pong; more are left out.
pub(crate) const MAX_USERS: usize = 64;

/// What logmon asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Who is there?
    Ping,
    /// Hold these descriptors under this key, in place of what it stood for.
    Deposit {
        /// The key.
        key: Key,
        /// How many descriptors, 1 to 3.
        descriptors: u8,
    },
    /// Give copies of the descriptors under this key, and go on holding them.
    Fetch {
        /// The key.
        key: Key,
    },
    /// Close what is held under this key.
    Release {
        /// The key.
        key: Key,
    },
    /// Name the keys after this one.
    List {
        /// The last key that is known; none to begin.
        after: Option<Key>,
    },
    /// End, if nothing is held and nobody else is connected.
    End,
}

/// What the keeper answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is there.
    Pong {
        /// How many keys it holds.
        held: u32,
        /// The processes that have deposited or fetched and are connected.
        users: Vec<i32>,
    },
    /// It is done.
    Done,
    /// The descriptors come with this message.
    Held {
        /// How many, 1 to 3.
        descriptors: u8,
    },
    /// Nothing is held under the key.
    NotHeld,
    /// Keys in their order, each with the number of its descriptors.
    Keys(Vec<(Key, u8)>),
    /// It was not done.
    Refused(Refusal),
}

/// Why the keeper did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The message is of another version of the protocol.
    #[error("it speaks another version of the protocol")]
    OtherVersion,
    /// The message is none of this protocol.
    #[error("it could not read the message")]
    Unreadable,
    /// The descriptors did not all arrive.
    #[error("the descriptors did not all arrive; its limit of open files may be reached")]
    Descriptors,
    /// It holds as many keys as it may.
    #[error("it holds as many streams as it may")]
    Full,
    /// It holds something or serves somebody else.
    #[error("it is in use")]
    InUse,
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Refusal::OtherVersion => 1,
            Refusal::Unreadable => 2,
            Refusal::Descriptors => 3,
            Refusal::Full => 4,
            Refusal::InUse => 5,
        }
    }

    fn of_code(code: u8) -> Option<Refusal> {
        Some(match code {
            1 => Refusal::OtherVersion,
            2 => Refusal::Unreadable,
            3 => Refusal::Descriptors,
            4 => Refusal::Full,
            5 => Refusal::InUse,
            _ => return None,
        })
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is of another version.
    #[error("it is of version {0} of the protocol")]
    Version(u8),
    /// It is none of this protocol.
    #[error("it is no message of the keeper's protocol")]
    Unreadable,
}

impl Request {
    /// Gives the message.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Request::Ping => message(1, 0, &[]),
            Request::Deposit { key, descriptors } => {
                message(2, *descriptors, key.as_str().as_bytes())
            }
            Request::Fetch { key } => message(3, 0, key.as_str().as_bytes()),
            Request::Release { key } => message(4, 0, key.as_str().as_bytes()),
            Request::List { after } => {
                let after = after.as_ref().map_or("", Key::as_str);
                message(5, 0, after.as_bytes())
            }
            Request::End => message(6, 0, &[]),
        }
    }

    /// Reads a message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let (kind, descriptors, body) = open(bytes)?;
        let key = || Key::parse(body).ok_or(Malformed::Unreadable);
        let request = match kind {
            1 if body.is_empty() => Request::Ping,
            2 if descriptors > 0 => Request::Deposit {
                key: key()?,
                descriptors,
            },
            3 => Request::Fetch { key: key()? },
            4 => Request::Release { key: key()? },
            5 if body.is_empty() => Request::List { after: None },
            5 => Request::List {
                after: Some(key()?),
            },
            6 if body.is_empty() => Request::End,
            _ => return Err(Malformed::Unreadable),
        };
        let takes_descriptors = matches!(request, Request::Deposit { .. });
        if descriptors > 0 && !takes_descriptors {
            return Err(Malformed::Unreadable);
        }
        Ok(request)
    }
}

impl Reply {
    /// Gives the message. Users and keys beyond what fits are left out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Pong { held, users } => {
                let mut body = held.to_le_bytes().to_vec();
                for pid in users.iter().take(MAX_USERS) {
                    body.extend(pid.to_le_bytes());
                }
                message(129, 0, &body)
            }
            Reply::Done => message(130, 0, &[]),
            Reply::Held { descriptors } => message(131, *descriptors, &[]),
            Reply::NotHeld => message(132, 0, &[]),
            Reply::Keys(keys) => {
                let mut body = Vec::new();
                for (key, descriptors) in keys.iter().take(MAX_KEYS_IN_REPLY) {
                    let text = key.as_str().as_bytes();
                    // A key is at most 64 bytes long.
                    body.push(u8::try_from(text.len()).unwrap_or(0));
                    body.extend(text);
                    body.push(*descriptors);
                }
                message(133, 0, &body)
            }
            Reply::Refused(refusal) => message(255, 0, &[refusal.code()]),
        }
    }

    /// Reads a message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Reply, Malformed> {
        let (kind, descriptors, body) = open(bytes)?;
        let reply = match (kind, body) {
            (129, [a, b, c, d, pids @ ..]) if pids.len() % 4 == 0 => {
                let pid = |bytes: &[u8]| {
                    bytes
                        .iter()
                        .rev()
                        .fold(0_i32, |pid, byte| pid << 8 | i32::from(*byte))
                };
                Reply::Pong {
                    held: u32::from_le_bytes([*a, *b, *c, *d]),
                    users: pids.chunks_exact(4).map(pid).collect(),
                }
            }
            (130, []) => Reply::Done,
            (131, []) if descriptors > 0 => Reply::Held { descriptors },
            (132, []) => Reply::NotHeld,
            (133, keys) => Reply::Keys(read_keys(keys)?),
            (255, [code]) => Reply::Refused(Refusal::of_code(*code).ok_or(Malformed::Unreadable)?),
            _ => return Err(Malformed::Unreadable),
        };
        if descriptors > 0 && !matches!(reply, Reply::Held { .. }) {
            return Err(Malformed::Unreadable);
        }
        Ok(reply)
    }
}

/// The most keys in one reply, so that it fits however long they are.
pub(crate) const MAX_KEYS_IN_REPLY: usize =
    (MAX_MESSAGE_BYTES - HEADER_BYTES) / (MAX_KEY_BYTES + 2);

fn read_keys(mut body: &[u8]) -> Result<Vec<(Key, u8)>, Malformed> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = body.split_first() {
        let (key, rest) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(Malformed::Unreadable)?;
        let (descriptors, rest) = rest.split_first().ok_or(Malformed::Unreadable)?;
        let key = Key::parse(key).ok_or(Malformed::Unreadable)?;
        keys.push((key, *descriptors));
        body = rest;
    }
    Ok(keys)
}

fn message(kind: u8, descriptors: u8, body: &[u8]) -> Vec<u8> {
    // Every body that is made here is far shorter than a message may be.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![b'L', b'M', b'K', VERSION, kind, descriptors];
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    debug_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
    bytes
}

/// Takes the header off: kind, number of descriptors and body.
fn open(bytes: &[u8]) -> Result<(u8, u8, &[u8]), Malformed> {
    let [b'L', b'M', b'K', version, rest @ ..] = bytes else {
        return Err(Malformed::Unreadable);
    };
    if *version != VERSION {
        return Err(Malformed::Version(*version));
    }
    let [kind, descriptors, low, high, body @ ..] = rest else {
        return Err(Malformed::Unreadable);
    };
    let is_whole = usize::from(u16::from_le_bytes([*low, *high])) == body.len()
        && bytes.len() <= MAX_MESSAGE_BYTES
        && usize::from(*descriptors) <= MAX_DESCRIPTORS;
    if is_whole {
        Ok((*kind, *descriptors, body))
    } else {
        Err(Malformed::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = Key> {
        "[a-zA-Z0-9._-]{1,64}".prop_map(|text| Key::parse(text.as_bytes()).unwrap())
    }

    fn requests() -> impl Strategy<Value = Request> {
        prop_oneof![
            Just(Request::Ping),
            (keys(), 1_u8..=3).prop_map(|(key, descriptors)| Request::Deposit { key, descriptors }),
            keys().prop_map(|key| Request::Fetch { key }),
            keys().prop_map(|key| Request::Release { key }),
            proptest::option::of(keys()).prop_map(|after| Request::List { after }),
            Just(Request::End),
        ]
    }

    fn replies() -> impl Strategy<Value = Reply> {
        let all = [
            Refusal::OtherVersion,
            Refusal::Unreadable,
            Refusal::Descriptors,
            Refusal::Full,
            Refusal::InUse,
        ];
        prop_oneof![
            (
                any::<u32>(),
                proptest::collection::vec(any::<i32>(), 0..=MAX_USERS)
            )
                .prop_map(|(held, users)| Reply::Pong { held, users }),
            Just(Reply::Done),
            (1_u8..=3).prop_map(|descriptors| Reply::Held { descriptors }),
            Just(Reply::NotHeld),
            proptest::collection::vec((keys(), any::<u8>()), 0..=MAX_KEYS_IN_REPLY)
                .prop_map(Reply::Keys),
            proptest::sample::select(all.to_vec()).prop_map(Reply::Refused),
        ]
    }

    proptest! {
        #[test]
        fn a_request_that_is_read_back_is_the_same(request in requests()) {
            let bytes = request.encode();
            prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
            prop_assert_eq!(Request::decode(&bytes), Ok(request));
        }

        #[test]
        fn a_reply_that_is_read_back_is_the_same(reply in replies()) {
            let bytes = reply.encode();
            prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
            prop_assert_eq!(Reply::decode(&bytes), Ok(reply));
        }

        #[test]
        fn garbage_is_refused_or_read_as_what_it_says(bytes: Vec<u8>) {
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(reply) = Reply::decode(&bytes) {
                prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
            }
        }

        #[test]
        fn a_changed_message_is_refused_or_read_as_what_it_says(
            request in requests(), reply in replies(), at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index,
        ) {
            for mut bytes in [request.encode(), reply.encode()] {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                    if let Ok(read) = Request::decode(bytes) {
                        prop_assert_eq!(read.encode(), bytes);
                    }
                    if let Ok(read) = Reply::decode(bytes) {
                        prop_assert_eq!(Reply::decode(&read.encode()), Ok(read));
                    }
                }
            }
        }

        #[test]
        fn a_cut_or_lengthened_request_is_refused(request in requests(), cut: proptest::sample::Index) {
            let mut bytes = request.encode();
            let cut = &bytes[..cut.index(bytes.len())];
            prop_assert_eq!(Request::decode(cut), Err(Malformed::Unreadable));
            bytes.push(b'x');
            prop_assert_eq!(Request::decode(&bytes), Err(Malformed::Unreadable));
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let mut bytes = Request::Ping.encode();
        bytes[3] = 2;
        assert_eq!(Request::decode(&bytes), Err(Malformed::Version(2)));
    }

    #[test]
    fn an_oversized_message_is_refused() {
        let mut bytes = message(5, 0, &[]);
        bytes.resize(MAX_MESSAGE_BYTES + 1, b'a');
        let length = u16::try_from(bytes.len() - HEADER_BYTES).unwrap();
        bytes[6..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Request::decode(&bytes), Err(Malformed::Unreadable));
        assert_eq!(Reply::decode(&bytes), Err(Malformed::Unreadable));
    }

    #[test]
    fn the_messages_are_those_of_the_table() {
        let key = Key::parse(b"k").unwrap();
        let deposit = Request::Deposit {
            key,
            descriptors: 3,
        };
        assert_eq!(deposit.encode(), b"LMK\x01\x02\x03\x01\x00k");
        let pong = Reply::Pong {
            held: 2,
            users: vec![258],
        };
        assert_eq!(
            pong.encode(),
            b"LMK\x01\x81\x00\x08\x00\x02\x00\x00\x00\x02\x01\x00\x00"
        );
        assert_eq!(
            Reply::Refused(Refusal::InUse).encode(),
            b"LMK\x01\xff\x00\x01\x00\x05"
        );
    }
}
