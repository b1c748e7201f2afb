//! Output that waits for a host to fetch it (core).
//!
//! Each host that attaches takes over from the one before it, which gets no more: two would else take each
//! other's chunks. What nobody fetches is kept up to a bound; then the oldest goes, so that a plugin whose
//! host is gone never waits.

use std::collections::VecDeque;
use std::task::Waker;

use crate::proto::go_plugin::StdioData;
use crate::proto::go_plugin::stdio_data::Channel;

/// A chunk has at most this many bytes, as the original's hosts expect.
const MAX_CHUNK_BYTES: usize = 1024;

/// So much waits for a host that does not fetch.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// What a host gets when it asks.
#[derive(Debug, PartialEq)]
pub(super) enum Fetched {
    /// The next chunk.
    Chunk(StdioData),
    /// Nothing yet; the waker will be woken.
    Wait,
    /// Nothing any more: the plugin ends, or another host has taken over.
    End,
}

/// The chunks and who fetches them.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    chunks: VecDeque<StdioData>,
    waiting_bytes: usize,
    host: u64,
    waker: Option<Waker>,
    ended: bool,
}

impl Outlet {
    /// Adds output of one channel.
    pub(super) fn push(&mut self, channel: Channel, bytes: &[u8]) {
        for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
            self.waiting_bytes += chunk.len();
            self.chunks.push_back(StdioData {
                channel: channel.into(),
                data: chunk.to_vec(),
            });
        }
        while self.waiting_bytes > MAX_WAITING_BYTES {
            self.take();
        }
        self.wake();
    }

    /// Says that nothing will be added. What waits can still be fetched.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    /// Gives the number by which a new host fetches.
    pub(super) fn attach(&mut self) -> u64 {
        self.host += 1;
        self.wake();
        self.host
    }

    /// Gives the next chunk to the host of this number.
    pub(super) fn fetch(&mut self, host: u64, waker: &Waker) -> Fetched {
        if host != self.host {
            return Fetched::End;
        }
        match self.take() {
            Some(chunk) => Fetched::Chunk(chunk),
            None if self.ended => Fetched::End,
            None => {
                self.waker = Some(waker.clone());
                Fetched::Wait
            }
        }
    }

    fn take(&mut self) -> Option<StdioData> {
        let chunk = self.chunks.pop_front()?;
        self.waiting_bytes -= chunk.data.len();
        Some(chunk)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(channel: Channel, data: &[u8]) -> Fetched {
        let (channel, data) = (channel.into(), data.to_vec());
        Fetched::Chunk(StdioData { channel, data })
    }

    #[test]
    fn output_comes_in_its_order_in_chunks_of_at_most_a_kibibyte() {
        let mut outlet = Outlet::default();
        let host = outlet.attach();
        outlet.push(Channel::Stdout, &[b'a'; 1500]);
        outlet.push(Channel::Stderr, b"b");
        let mut fetch = || outlet.fetch(host, Waker::noop());
        assert_eq!(fetch(), chunk(Channel::Stdout, &[b'a'; 1024]));
        assert_eq!(fetch(), chunk(Channel::Stdout, &[b'a'; 476]));
        assert_eq!(fetch(), chunk(Channel::Stderr, b"b"));
        assert_eq!(fetch(), Fetched::Wait);
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes() {
        let mut outlet = Outlet::default();
        for byte in 0..=100_u8 {
            outlet.push(Channel::Stdout, &[byte; 1024]);
        }
        let host = outlet.attach();
        let first = outlet.fetch(host, Waker::noop());
        assert_eq!(first, chunk(Channel::Stdout, &[37; 1024]));
        assert_eq!(outlet.chunks.len(), 63);
        assert_eq!(outlet.waiting_bytes, 63 * 1024);
    }

    #[test]
    fn the_last_host_takes_over() {
        let mut outlet = Outlet::default();
        let old = outlet.attach();
        let new = outlet.attach();
        outlet.push(Channel::Stdout, b"x");
        assert_eq!(outlet.fetch(old, Waker::noop()), Fetched::End);
        assert_eq!(
            outlet.fetch(new, Waker::noop()),
            chunk(Channel::Stdout, b"x")
        );
    }

    #[test]
    fn the_end_comes_behind_what_waits() {
        let mut outlet = Outlet::default();
        let host = outlet.attach();
        outlet.push(Channel::Stdout, b"x");
        outlet.end();
        assert_eq!(
            outlet.fetch(host, Waker::noop()),
            chunk(Channel::Stdout, b"x")
        );
        assert_eq!(outlet.fetch(host, Waker::noop()), Fetched::End);
    }
}
