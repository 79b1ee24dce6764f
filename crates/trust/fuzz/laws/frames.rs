//! Frames and the messages in them.

use std::fmt::Debug;

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery;
use countersign_trust::device::Acknowledged;
use countersign_wire::frame::{Decoder, FrameError, Framed, MOST_FROM_SERVER, encode};
use countersign_wire::message::{self, FromAgent, FromServer, from_server, read_news};

/// The bound of the streams here: small, so that it is met.
const MOST: usize = 4_096;

/// However a stream is cut, the same messages come out of it and the same error ends it.
pub fn stream(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    same_however_cut::<FromAgent>(usize::from(*cut), stream);
    same_however_cut::<FromServer>(usize::from(*cut), stream);
}

fn same_however_cut<M: Framed + PartialEq + Debug>(cut: usize, stream: &[u8]) {
    let whole = decode::<M>([stream]);
    assert_eq!(decode::<M>(stream.chunks(cut.max(1))), whole);
    for message in &whole.0 {
        assert_eq!(decode::<M>([encode(message).as_slice()]).0.as_slice(), std::slice::from_ref(message));
    }
}

fn decode<'a, M: Framed>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<M>, Option<FrameError>) {
    let (mut decoder, mut messages) = (Decoder::new(MOST), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// What reads as a message, however large a frame it came in, is written as one that reads the same.
fn reads_again<M: Framed + PartialEq + Debug>(data: &[u8]) -> Option<M> {
    let mut decoder = Decoder::new(MOST_FROM_SERVER);
    decoder.push(&u32::try_from(data.len()).ok()?.to_be_bytes());
    decoder.push(data);
    let message = decoder.next_message::<M>().ok()??;
    assert_eq!(M::decode(message.encode_to_vec().as_slice()).as_ref(), Ok(&message));
    Some(message)
}

/// What an agent says.
pub fn from_agent(data: &[u8]) {
    reads_again::<FromAgent>(data);
}

/// What a server says. Where it carries what it should, nothing of that is lost on the way into `trust` and back.
pub fn from_server(data: &[u8]) {
    match reads_again::<FromServer>(data).and_then(|message| message.what) {
        Some(from_server::What::Delivery(sent)) => {
            for clear in &sent.clears {
                says_little(AnsweredClear::try_from(clear));
            }
            let Some(read) = says_little(delivery::Delivery::try_from(&sent)) else { return };
            let mut again = message::Delivery::from(&read);
            // Of a halt that is logged the proof is left away: it is obeyed without one.
            let shortened =
                again.news.iter().zip(&sent.news).all(|(one, other)| other.starts_with(one.as_str()));
            assert!(shortened && again.news.len() == sent.news.len());
            again.news.clone_from(&sent.news);
            assert_eq!(again, sent);
        }
        Some(from_server::What::Acknowledged(sent)) => {
            let Some(read) = says_little(Acknowledged::try_from(sent.clone())) else { return };
            assert_eq!(message::Acknowledged::from(&read), sent);
        }
        Some(from_server::What::News(news)) => {
            news.envelopes.iter().for_each(|text| drop(says_little(read_news(text))));
        }
        Some(from_server::What::Joined(_) | from_server::What::Sorry(_) | from_server::What::Kept(_))
        | None => {}
    }
}

/// What cannot be read is refused in a sentence, whatever it was.
fn says_little<T>(read: Result<T, impl std::fmt::Display + Debug>) -> Option<T> {
    read.map_err(|error| assert!(error.to_string().len() <= 8 * 1024, "{error}")).ok()
}
