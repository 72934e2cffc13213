//! Where one RESP message ends and what it consists of.

use std::io;

use bytes::{Bytes, BytesMut};

/// One whole message, RESP 2 or 3.
#[derive(Debug, Clone)]
pub(super) struct Frame(pub(super) Bytes);

impl Frame {
    /// Takes a whole message off the front of what was read; `None` where more has to come.
    pub(super) fn take(buffer: &mut BytesMut) -> io::Result<Option<Self>> {
        Ok(len(buffer)?.map(|len| Self(buffer.split_to(len).freeze())))
    }

    /// The strings in it, one after the other.
    pub(super) fn words(&self) -> Vec<Bytes> {
        let mut words = Vec::new();
        let mut at = 0;
        while let Ok(Some(line)) = line(&self.0[at..]) {
            at += line.len;
            let is_string = matches!(line.kind, b'$' | b'=');
            if let (true, Some(length)) = (is_string, line.number) {
                words.push(self.0.slice(at..at + length));
                at += length + 2;
            }
        }
        words
    }

    pub(super) fn is_error(&self) -> bool {
        matches!(self.0.first(), Some(b'-' | b'!'))
    }

    pub(super) fn is_push(&self) -> bool {
        self.0.first() == Some(&b'>')
    }

    /// The same message with other bytes in its last string, and with no other length.
    pub(super) fn corrupted(&self) -> Self {
        let mut bytes = self.0.to_vec();
        if let Some(last) = self.words().last() {
            let end = bytes.len() - 2;
            for byte in &mut bytes[end - last.len()..end] {
                *byte ^= 0x55;
            }
        }
        Self(bytes.into())
    }
}

/// The first line of a message.
struct Line {
    kind: u8,
    /// What it declares; `None` for nil and for what is no number.
    number: Option<usize>,
    len: usize,
}

fn line(bytes: &[u8]) -> io::Result<Option<Line>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let Some((kind, rest)) = bytes[..end].split_first() else {
        return Err(io::Error::other("an empty line is no RESP"));
    };
    let number = std::str::from_utf8(rest).ok().and_then(|n| n.parse().ok());
    Ok(Some(Line {
        kind: *kind,
        number,
        len: end + 2,
    }))
}

/// The length of the first message in `bytes`, if it is there whole.
fn len(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    let mut messages = 1;
    while messages > 0 {
        let Some(line) = line(&bytes[at..])? else {
            return Ok(None);
        };
        at += line.len;
        messages -= 1;
        let number = line.number.unwrap_or(0);
        match line.kind {
            b'$' | b'=' | b'!' if line.number.is_some() => at += number + 2,
            b'*' | b'>' | b'~' => messages += number,
            b'%' => messages += 2 * number,
            // An attribute stands in front of the message that it describes.
            b'|' => messages += 2 * number + 1,
            b'$' | b'=' | b'!' | b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            _ => return Err(io::Error::other("not RESP")),
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$3\r\nt/n\r\n$6\r\na\r\nb\r\n\r\n";

    fn all(mut input: &[u8], chunk: usize) -> Vec<Bytes> {
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        while !input.is_empty() {
            let (head, tail) = input.split_at(chunk.min(input.len()));
            buffer.extend_from_slice(head);
            input = tail;
            while let Some(frame) = Frame::take(&mut buffer).expect("RESP") {
                frames.push(frame.0);
            }
        }
        assert!(buffer.is_empty(), "{buffer:?}");
        frames
    }

    #[test]
    fn messages_are_found_however_they_arrive() {
        let frames: &[&[u8]] = &[
            b"+OK\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"$0\r\n\r\n",
            b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
            b"%1\r\n+proto\r\n:3\r\n",
            b"|1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n",
            b"-ERR no\r\n",
            b"_\r\n",
            MESSAGE,
        ];
        let stream = frames.concat();
        for chunk in [1, 2, 7, stream.len()] {
            assert_eq!(all(&stream, chunk), frames, "in pieces of {chunk}");
        }
    }

    #[test]
    fn words_are_the_strings() {
        let frame = Frame(Bytes::from_static(MESSAGE));
        assert_eq!(frame.words(), ["message", "t/n", "a\r\nb\r\n"]);
        let corrupted = frame.corrupted();
        assert_eq!(corrupted.0.len(), MESSAGE.len());
        let words = corrupted.words();
        assert_eq!(words[..2], ["message", "t/n"]);
        assert_ne!(words[2], "a\r\nb\r\n");
    }

    #[test]
    fn what_is_no_resp_is_an_error() {
        let mut buffer = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
        assert!(Frame::take(&mut buffer).is_err());
    }
}
