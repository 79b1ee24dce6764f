//! Points at the edges of Ed25519, as keys and in signatures: of small order, with a part of small order, and written in
//! another than the one canonical way.
//!
//! They are the cases of C2SP's CCTV, `ed25519`, made anew here by `curve25519-dalek`: every such key with every such `R`.
//! What is expected: a key of small order or in another writing is refused; a signature holds without multiplying by the
//! cofactor (`low_order_residue` is refused) and with `R` in canonical writing only.

use countersign_trust::key::{KeyError, PublicKey};
use countersign_trust::note::{KeyKind, Note, VerifierKey};
use countersign_trust::sshsig::{PasskeyRules, SshSig, signed_bytes};
use countersign_trust::sshwire::Writer;
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use ring::digest::{SHA512, digest};

use crate::NAMESPACE;

/// A point in one of its writings, and what it is a multiple of the base point by, but for a part of small order.
#[derive(Clone, Copy)]
struct Edge {
    written: [u8; 32],
    scalar: Scalar,
    torsion: EdwardsPoint,
    canonical: bool,
}

impl Edge {
    fn is_small(&self) -> bool {
        self.scalar == Scalar::ZERO
    }
}

/// The eight points of small order in all fourteen writings, and the eight that lie beside `scalar` times the base point.
fn edges(scalar: Scalar) -> Vec<Edge> {
    let mut edges = Vec::new();
    for torsion in EIGHT_TORSION {
        for scalar in [Scalar::ZERO, scalar] {
            let written = (ED25519_BASEPOINT_POINT * scalar + torsion).compress().0;
            edges.push(Edge { written, scalar, torsion, canonical: true });
        }
        edges.extend(other_writings(torsion).map(|written| Edge {
            written,
            scalar: Scalar::ZERO,
            torsion,
            canonical: false,
        }));
    }
    edges
}

/// With a sign where x is 0, or y not below the prime 2^255 - 19: whatever decompresses to the same point.
fn other_writings(point: EdwardsPoint) -> impl Iterator<Item = [u8; 32]> {
    let canonical = point.compress().0;
    let above = [(0, 0xed), (1, 0xee)].map(|(y, low)| {
        let mut written = [0xff; 32];
        (written[0], written[31]) = (low, 0x7f);
        (y, written)
    });
    let mut all = vec![canonical];
    all.extend(above.into_iter().filter(|(y, _)| is_small_y(&canonical, *y)).map(|(_, written)| written));
    let signed = all.clone().into_iter().map(|mut written| {
        written[31] ^= 0x80;
        written
    });
    all.extend(signed.collect::<Vec<_>>());
    all.into_iter().filter(move |written| {
        *written != canonical && CompressedEdwardsY(*written).decompress() == Some(point)
    })
}

fn is_small_y(written: &[u8; 32], y: u8) -> bool {
    written[0] == y && written[1..31].iter().all(|byte| *byte == 0) && written[31] & 0x7f == 0
}

fn challenge(r: &Edge, a: &Edge, message: &[u8]) -> Scalar {
    let hash = digest(&SHA512, &[&r.written, &a.written, message].concat());
    Scalar::from_bytes_mod_order_wide(hash.as_ref().try_into().unwrap())
}

/// A signature that holds up to parts of small order, and whether it holds as it stands.
fn sign(r: &Edge, a: &Edge, message: &[u8]) -> ([u8; 64], bool) {
    let k = challenge(r, a, message);
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r.written);
    signature[32..].copy_from_slice((r.scalar + k * a.scalar).as_bytes());
    let residue = r.torsion + a.torsion * k;
    (signature, residue == EdwardsPoint::identity() && r.canonical)
}

#[test]
fn there_are_fourteen_writings_of_points_of_small_order_and_all_are_refused_as_keys() {
    let small: Vec<Edge> = edges(Scalar::ONE).into_iter().filter(Edge::is_small).collect();
    assert_eq!((small.len(), small.iter().filter(|edge| edge.canonical).count()), (14, 8));
    for Edge { written, .. } in small {
        let refused = PublicKey::ed25519(&written).unwrap_err();
        assert!(matches!(refused, KeyError::SmallOrder | KeyError::NotCanonical), "{refused}");
        assert!(VerifierKey::new("edge", KeyKind::Ed25519, written).is_err());
        assert!(VerifierKey::new("edge", KeyKind::CosignatureV1, written).is_err());
    }
}

#[test]
fn signatures_with_points_at_the_edge_hold_only_as_they_stand() {
    let (mut held, mut refused) = (0, 0);
    for a in edges(Scalar::from(11_u64)).into_iter().filter(|a| !a.is_small()) {
        let key = PublicKey::ed25519(&a.written).unwrap();
        let note_key = VerifierKey::new("edge", KeyKind::Ed25519, a.written).unwrap();
        for r in edges(Scalar::from(7_u64)) {
            for message in 0..16 {
                let message = format!("edge {message}\n");
                let (numbers, holds) = sign(&r, &a, &signed_bytes(NAMESPACE, message.as_bytes()));
                let inner = Writer::new().string(b"ssh-ed25519").string(&numbers).take();
                let signature = SshSig::from_signature(&key, NAMESPACE, &inner).unwrap();
                let verdict = signature.verify(&key, NAMESPACE, message.as_bytes(), &PasskeyRules::NONE);
                assert_eq!(verdict.is_ok(), holds, "{:x?} {:x?}", a.written, r.written);

                let (numbers, holds) = sign(&r, &a, message.as_bytes());
                assert_eq!(note(&message, &note_key, &numbers).signed_by(&note_key), holds);
                (held, refused) = (held + usize::from(holds), refused + usize::from(!holds));
            }
        }
    }
    // Of 8 keys with 22 points and 16 messages each.
    assert!(held >= 200 && held + refused == 8 * 22 * 16, "{held} held, {refused} refused");
}

fn note(text: &str, key: &VerifierKey, numbers: &[u8]) -> Note {
    use base64::Engine;
    let line = [key.id().as_slice(), numbers].concat();
    let line = base64::engine::general_purpose::STANDARD.encode(line);
    format!("{text}\n— {} {line}\n", key.name()).parse().unwrap()
}
