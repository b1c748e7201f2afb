//! Hands descriptors over with a message (edge), unix(7).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many go with one message: those of three pipes.
const MOST: usize = 3;

/// How long such a message may be, in bytes.
const LONGEST: usize = 64 * 1024;

/// Writes a message and its newline, with descriptors, at most three.
pub(crate) fn write_line_with<T: Serialize>(
    to: &UnixStream,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = loop {
        match sendmsg(to, &[IoSlice::new(&line)], &mut beside, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    // They have gone with the first byte.
    io::Write::write_all(&mut &*to, &line[sent..])
}

/// Reads a message and its newline, and the descriptors that came with it; none if the other side has closed before it
/// began one.
pub(crate) fn read_line_with<T: DeserializeOwned>(
    from: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut room = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(from, &mut room, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            other => other?.bytes,
        };
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        match received {
            0 if line.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => line.extend_from_slice(&bytes[..received]),
        }
        if line.len() > LONGEST {
            return Err(io::Error::other("it is too long"));
        }
    }
    Ok(Some((serde_json::from_slice(&line)?, fds)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_come_with_their_message_and_only_with_that() {
        let (near, far) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        write_line_with(&near, &"first", &[writer.as_fd()]).unwrap();
        drop(writer);
        let (said, fds) = read_line_with::<String>(&far).unwrap().unwrap();
        assert_eq!((said.as_str(), fds.len()), ("first", 1));
        for fd in fds {
            io::PipeWriter::from(fd).write_all(b"x").unwrap();
        }
        let mut heard = Vec::new();
        (&reader).read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"x");
        (&near).write_all(b"\"second\"\n").unwrap();
        let (said, fds) = read_line_with::<String>(&far).unwrap().unwrap();
        assert_eq!((said.as_str(), fds.len()), ("second", 0));
        (&near).write_all(b"\"cut").unwrap();
        drop(near);
        assert!(read_line_with::<String>(&far).is_err());
        assert!(read_line_with::<String>(&far).unwrap().is_none());
    }
}
