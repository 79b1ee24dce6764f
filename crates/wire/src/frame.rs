//! Length-prefixed frames on the connection between agent and server.
//!
//! Source: docs/spec/8-interfaces.md, "Agent connection".

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};

use crate::message::{FromAgent, FromServer};

/// The protocol's name in TLS (ALPN).
pub const ALPN: &[u8] = b"countersign/1";
/// The largest frame an agent may send, in bytes.
pub const MOST_FROM_AGENT: usize = 256 * 1024;
/// The largest frame a server may send, in bytes: a delivery with a policy and its proofs fits.
pub const MOST_FROM_SERVER: usize = 4 * 1024 * 1024;

/// The most fields that the lists of one message and what stands beside them may have together. The smallest thing that
/// an honest list holds is a hash, so that no frame of an agent, and no delivery, comes near.
pub const MOST_FIELDS: usize = 8_192;
/// How many bytes of room are kept between two frames.
const KEPT: usize = 256;

/// Why a stream of bytes is no stream of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Announced as larger than this side accepts.
    #[error("a frame of {bytes} bytes, at most {most} are accepted")]
    TooLarge {
        /// Bytes announced.
        bytes: usize,
        /// Bytes accepted.
        most: usize,
    },
    /// With lists so long that they would take many times the room of the frame.
    #[error("a frame with more than {MOST_FIELDS} fields")]
    TooManyFields,
    /// Not a message of the expected type.
    #[error("a frame that is no message: {0}")]
    Message(#[from] DecodeError),
}

/// A message that a frame holds by itself.
pub trait Framed: Message + Default {
    /// Where in it lists may stand: the field numbers on the way to each message that has one.
    const LISTS: &[&[u32]];
}

impl Framed for FromAgent {
    const LISTS: &[&[u32]] = &[&[1], &[6]];
}

impl Framed for FromServer {
    const LISTS: &[&[u32]] = &[&[1], &[1, 3], &[1, 4], &[2], &[3], &[4]];
}

/// Counts the fields of `message` and of all that is on the way to a list, before any of them takes room: two bytes of
/// a frame can be an empty element, which in memory has thirty times their size.
fn count_fields(
    mut message: &[u8],
    lists: &[&[u32]],
    way: &mut Vec<u32>,
    count: &mut usize,
) -> Result<(), FrameError> {
    while !message.is_empty() {
        *count += 1;
        if *count > MOST_FIELDS {
            return Err(FrameError::TooManyFields);
        }
        let (tag, wire_type) = decode_key(&mut message)?;
        way.push(tag);
        if wire_type == WireType::LengthDelimited && lists.iter().any(|list| list.starts_with(way)) {
            let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
            // One that is cut off is told by the decoder.
            let inner = message.get(..length).unwrap_or(message);
            count_fields(inner, lists, way, count)?;
            message.advance(inner.len());
        } else {
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
        }
        way.pop();
    }
    Ok(())
}

/// The bytes of one frame: a 4-byte big-endian length and the message.
pub fn encode(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// Cuts a stream of bytes into frames. Holds no more than one frame and what came behind it.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How many bytes of it have been read.
    read: usize,
    most: usize,
}

impl Decoder {
    /// A decoder that refuses frames of more than `most` bytes before their body is read.
    pub fn new(most: usize) -> Self {
        Self { buffer: Vec::new(), read: 0, most }
    }

    /// From here on refuses frames of more than `most` bytes.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether a frame has begun and is not whole.
    pub fn is_inside(&self) -> bool {
        self.read < self.buffer.len()
    }

    /// Takes in bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        // Once for each piece and not for each frame: a piece can be a thousand empty ones.
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// The stream cannot be read on: close the connection.
    pub fn next_message<M: Framed>(&mut self) -> Result<Option<M>, FrameError> {
        let left = self.buffer.get(self.read..).unwrap_or_default();
        let Some((length, rest)) = left.split_first_chunk::<4>() else { return Ok(None) };
        let bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if bytes > self.most {
            return Err(FrameError::TooLarge { bytes, most: self.most });
        }
        let Some(body) = rest.get(..bytes) else { return Ok(None) };
        count_fields(body, M::LISTS, &mut Vec::new(), &mut 0)?;
        let message = M::decode(body)?;
        self.read += bytes + 4;
        if !self.is_inside() && self.buffer.capacity() > KEPT {
            // Most connections are silent most of the time: none holds room for what it once heard.
            (self.buffer, self.read) = (Vec::new(), 0);
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Challenge, Clear, Delivery, FromAgent, Hello, from_agent, from_server};

    fn challenge(random: Vec<u8>) -> FromAgent {
        FromAgent { what: Some(from_agent::What::Challenge(Challenge { random })) }
    }

    #[test]
    fn frames_come_back_however_the_stream_is_cut() {
        let stream = [encode(&challenge(vec![1; 32])), encode(&challenge(vec![2; 32]))].concat();
        let mut decoder = Decoder::new(MOST_FROM_AGENT);
        let mut seen = Vec::new();
        for byte in stream {
            decoder.push(&[byte]);
            seen.extend(decoder.next_message::<FromAgent>().unwrap());
        }
        assert_eq!(seen, [challenge(vec![1; 32]), challenge(vec![2; 32])]);
    }

    #[test]
    fn an_oversized_frame_is_refused_by_its_length_alone() {
        let mut decoder = Decoder::new(10);
        decoder.push(&11_u32.to_be_bytes());
        assert_eq!(decoder.next_message::<FromAgent>(), Err(FrameError::TooLarge { bytes: 11, most: 10 }));
    }

    #[test]
    fn a_large_frame_leaves_no_room_behind() {
        let mut decoder = Decoder::new(MOST_FROM_AGENT);
        decoder.push(&encode(&challenge(vec![1; 200_000])));
        assert!(decoder.is_inside());
        decoder.next_message::<FromAgent>().unwrap();
        assert!(!decoder.is_inside());
        assert!(decoder.buffer.capacity() <= KEPT, "{}", decoder.buffer.capacity());
    }

    #[test]
    fn garbage_is_an_error_and_not_a_message() {
        let mut decoder = Decoder::new(10);
        decoder.push(&[0, 0, 0, 2, 0xff, 0xff]);
        assert!(matches!(decoder.next_message::<FromAgent>(), Err(FrameError::Message(_))));
    }

    #[test]
    fn a_hello_of_an_agent_that_does_not_name_its_enrollment_is_read() {
        let mut older = Vec::new();
        // version, org, policy_number: what the first agents said.
        prost::encoding::string::encode(1, &"0.1.0".to_owned(), &mut older);
        prost::encoding::string::encode(2, &"org-1".to_owned(), &mut older);
        prost::encoding::uint64::encode(3, &7, &mut older);
        let hello = Hello::decode(older.as_slice()).unwrap();
        assert_eq!((hello.org.as_str(), hello.policy_number, hello.enroll.as_str()), ("org-1", 7, ""));
    }

    fn delivery(clears: usize, paths: usize) -> FromServer {
        let clear = Clear { path: vec![Vec::new(); paths], ..Clear::default() };
        let delivery = Delivery { clears: vec![clear; clears], ..Delivery::default() };
        FromServer { what: Some(from_server::What::Delivery(delivery)) }
    }

    #[test]
    fn a_message_with_too_many_fields_is_refused_before_it_takes_room() {
        // The delivery itself is a field, and so is each Clear.
        let most = MOST_FIELDS - 1;
        let cases = [
            (delivery(most, 0), true),
            (delivery(most + 1, 0), false),
            (delivery(2, most / 2 - 1), true),
            (delivery(2, most / 2), false),
        ];
        for (message, taken) in cases {
            let mut decoder = Decoder::new(MOST_FROM_SERVER);
            decoder.push(&encode(&message));
            let expected = if taken { Ok(Some(message)) } else { Err(FrameError::TooManyFields) };
            assert_eq!(decoder.next_message::<FromServer>(), expected);
        }
        let hello = Hello { holds: vec![String::new(); MOST_FIELDS], ..Hello::default() };
        let mut decoder = Decoder::new(MOST_FROM_AGENT);
        decoder.push(&encode(&FromAgent { what: Some(from_agent::What::Hello(hello)) }));
        assert_eq!(decoder.next_message::<FromAgent>(), Err(FrameError::TooManyFields));
    }

    #[test]
    fn every_list_of_a_message_is_counted() {
        // Two bytes each: an empty element of the list with this number, in the message that this way leads to.
        let lists: [(&[u8], u8); 9] = [
            (&[1], 2),
            (&[1], 3),
            (&[1], 5),
            (&[1, 3], 4),
            (&[1, 4], 2),
            (&[2], 1),
            (&[3], 4),
            (&[4], 1),
            (&[5], 1),
        ];
        for (way, list) in lists {
            let mut body = [list << 3 | 2, 0].repeat(MOST_FIELDS);
            for field in way.iter().rev() {
                let mut outer = vec![field << 3 | 2];
                prost::encoding::encode_varint(u64::try_from(body.len()).unwrap(), &mut outer);
                outer.extend(body);
                body = outer;
            }
            let mut decoder = Decoder::new(MOST_FROM_SERVER);
            decoder.push(&u32::try_from(body.len()).unwrap().to_be_bytes());
            decoder.push(&body);
            let refused = decoder.next_message::<FromServer>() == Err(FrameError::TooManyFields);
            assert_eq!(refused, way != [5], "{way:?}: a `Sorry` has no list");
        }
    }
}
