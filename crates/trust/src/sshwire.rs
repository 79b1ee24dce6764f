//! The SSH wire encoding: big-endian integers, byte strings after their 4-byte length, positive integers.
//!
//! Source: RFC 4251, section 5.

use alloc::vec::Vec;
use core::str;

/// Why bytes are not the encoding that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("a value of {needed} bytes is cut off: only {left} bytes are left")]
    Truncated {
        /// Bytes the value takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Bytes follow the last value.
    #[error("{count} bytes follow the last value")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A string that should be text is not UTF-8.
    #[error("a string that should be text is not UTF-8")]
    NotText,
    /// An integer is zero, negative, or has more leading zeros than its sign needs.
    #[error("an integer is zero, negative, or not in its shortest form")]
    Integer,
}

/// Reads values from the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next `count` bytes, without a length before them.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let cut = WireError::Truncated { needed: count, left: self.left.len() };
        let (value, left) = self.left.split_at_checked(count).ok_or(cut)?;
        self.left = left;
        Ok(value)
    }

    /// The next `N` bytes, without a length before them.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let cut = WireError::Truncated { needed: N, left: self.left.len() };
        let (value, left) = self.left.split_first_chunk::<N>().ok_or(cut)?;
        self.left = left;
        Ok(*value)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A byte string after its 4-byte length.
    pub fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()?;
        // Where a pointer is shorter than the length, so is the slice: the oversized take is refused.
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A byte string that is UTF-8.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        str::from_utf8(self.string()?).map_err(|_| WireError::NotText)
    }

    /// The magnitude of a positive integer (`mpint`) in its shortest form, big-endian, no leading zero.
    pub fn positive(&mut self) -> Result<&'a [u8], WireError> {
        match self.string()? {
            [0, magnitude @ ..] if magnitude.first().is_some_and(|byte| *byte >= 0x80) => Ok(magnitude),
            magnitude @ [1..=0x7f, ..] => Ok(magnitude),
            _ => Err(WireError::Integer),
        }
    }

    /// Everything that has not been read.
    pub fn rest(self) -> &'a [u8] {
        self.left
    }

    /// True when everything has been read.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Refuses bytes after the last value.
    pub fn finish(self) -> Result<(), WireError> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(WireError::Trailing { count }),
        }
    }
}

/// Appends values to a byte vector.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A byte string after its 4-byte length.
    ///
    /// The encoding has no string above 2^32-1 bytes, and nothing here comes near: a longer one is written
    /// so that no reader takes it.
    pub fn string(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX)).raw(value)
    }

    /// A positive integer (`mpint`) from its big-endian magnitude; leading zeros are dropped.
    pub fn positive(&mut self, magnitude: &[u8]) -> &mut Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let mut value: Vec<u8> = magnitude.iter().copied().skip(zeros).collect();
        if value.first().is_some_and(|byte| *byte >= 0x80) {
            value.insert(0, 0);
        }
        self.string(&value)
    }

    /// What was written; the writer is empty afterwards.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_reads_back() {
        let bytes = Writer::new()
            .byte(7)
            .u32(0x0102_0304)
            .u64(u64::MAX)
            .string(b"\xff\x00")
            .string("å".as_bytes())
            .positive(&[0, 0, 0x80])
            .raw(b"end")
            .take();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.byte(), Ok(7));
        assert_eq!(reader.u32(), Ok(0x0102_0304));
        assert_eq!(reader.u64(), Ok(u64::MAX));
        assert_eq!(reader.string(), Ok(&b"\xff\x00"[..]));
        assert_eq!(reader.text(), Ok("å"));
        assert_eq!(reader.positive(), Ok(&[0x80][..]));
        assert_eq!(reader.clone().rest(), b"end");
        assert_eq!(reader.finish(), Err(WireError::Trailing { count: 3 }));
    }

    #[test]
    fn a_string_longer_than_the_bytes_is_refused() {
        for (bytes, needed, left) in
            [(&b"\0\0"[..], 4, 2), (b"\0\0\0\x02a", 2, 1), (b"\xff\xff\xff\xffab", 0xffff_ffff, 2)]
        {
            assert_eq!(Reader::new(bytes).string(), Err(WireError::Truncated { needed, left }));
        }
    }

    #[test]
    fn an_integer_is_positive_and_in_its_shortest_form() {
        for (bytes, magnitude) in
            [(&b"\x01"[..], &b"\x01"[..]), (b"\x7f\x00", b"\x7f\x00"), (b"\0\x80", b"\x80")]
        {
            assert_eq!(Reader::new(&Writer::new().string(bytes).take()).positive(), Ok(magnitude));
        }
        for bytes in [&b""[..], b"\0", b"\0\0", b"\0\x7f", b"\x80", b"\xff", b"\0\0\x80"] {
            let encoded = Writer::new().string(bytes).take();
            assert_eq!(Reader::new(&encoded).positive(), Err(WireError::Integer), "{bytes:?}");
        }
    }

    #[test]
    fn text_is_utf_8() {
        assert_eq!(Reader::new(b"\0\0\0\x01\xff").text(), Err(WireError::NotText));
    }

    proptest! {
        #[test]
        fn a_positive_integer_reads_back_without_its_leading_zeros(magnitude: Vec<u8>) {
            let encoded = Writer::new().positive(&magnitude).take();
            let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
            let expected = &magnitude[zeros..];
            let read = Reader::new(&encoded).positive();
            prop_assert_eq!(read, if expected.is_empty() { Err(WireError::Integer) } else { Ok(expected) });
        }
    }
}
