//! Length-prefixed frames on the connection between agent and server.
//!
//! Source: docs/spec/8-interfaces.md, "Agent connection".

use prost::Message;

/// The protocol's name in TLS (ALPN).
pub const ALPN: &[u8] = b"countersign/1";
/// The largest frame an agent may send, in bytes.
pub const MOST_FROM_AGENT: usize = 256 * 1024;
/// The largest frame a server may send, in bytes: a delivery with a policy and its proofs fits.
pub const MOST_FROM_SERVER: usize = 4 * 1024 * 1024;

/// How many bytes of room are kept between two frames.
const KEPT: usize = 8 * 1024;

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
    /// Not a message of the expected type.
    #[error("a frame that is no message: {0}")]
    Message(#[from] prost::DecodeError),
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
    most: usize,
}

impl Decoder {
    /// A decoder that refuses frames of more than `most` bytes before their body is read.
    pub fn new(most: usize) -> Self {
        Self { buffer: Vec::new(), most }
    }

    /// From here on refuses frames of more than `most` bytes.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether a frame has begun and is not whole.
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes in bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// The stream cannot be read on: close the connection.
    pub fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if bytes > self.most {
            return Err(FrameError::TooLarge { bytes, most: self.most });
        }
        let Some(body) = rest.get(..bytes) else { return Ok(None) };
        let message = M::decode(body)?;
        self.buffer.drain(..bytes + 4);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            // One large frame is no reason to hold its room for as long as the connection lives.
            self.buffer = Vec::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Challenge, FromAgent, from_agent};

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
}
