//! What goes over the connection, for a transcript (edge): the messages as they are on the wire, before a
//! library has made anything of them.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use tonic::body::Body;

/// A message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// The call: `/package.Service/Method`.
    pub path: &'a str,
    /// Whether the plugin says it; else the host does.
    pub is_answer: bool,
    /// The message, without the five bytes that gRPC puts before each.
    pub message: &'a [u8],
}

/// Who is told of each message, in the order of one side of a call.
pub(super) type Tap = Arc<dyn Fn(Tapped<'_>) + Send + Sync>;

/// The same body, whose messages are told as they pass.
pub(super) fn tapped(tap: &Tap, path: &str, is_answer: bool, body: Body) -> Body {
    let (tap, path) = (Arc::clone(tap), path.to_owned());
    let mut framed = Framed::default();
    Body::new(body.map_frame(move |frame| {
        frame.map_data(|data: Bytes| {
            framed.take_in(&data, |message| {
                tap(Tapped {
                    path: &path,
                    is_answer,
                    message,
                });
            });
            data
        })
    }))
}

/// Bytes of gRPC that are no whole message yet.
#[derive(Default)]
struct Framed(Vec<u8>);

impl Framed {
    /// A byte that says whether the message is compressed, and four that say how long it is: the "Length-Prefixed
    /// Message" of gRPC over HTTP/2.
    const HEAD: usize = 5;

    fn take_in(&mut self, data: &[u8], mut tell: impl FnMut(&[u8])) {
        self.0.extend_from_slice(data);
        while let Some(len) = self.first() {
            let rest = self.0.split_off(Self::HEAD + len);
            tell(&self.0[Self::HEAD..]);
            self.0 = rest;
        }
    }

    /// The length of the first message, if it is whole.
    fn first(&self) -> Option<usize> {
        let (head, rest) = self.0.split_first_chunk::<{ Self::HEAD }>()?;
        let [_, len @ ..] = *head;
        let len = usize::try_from(u32::from_be_bytes(len)).ok()?;
        (rest.len() >= len).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_whole_however_they_are_cut() {
        let bytes = [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        for cut in 1..bytes.len() {
            let (mut framed, mut told) = (Framed::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                framed.take_in(piece, |message| told.push(message.to_vec()));
            }
            assert_eq!(
                told,
                [vec![7, 8], vec![], vec![9]],
                "cut into pieces of {cut}"
            );
            assert!(framed.0.is_empty());
        }
    }
}
