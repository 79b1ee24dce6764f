//! Which public points are refused before any signature is looked at.

/// A 256-bit integer, least significant word first.
type Words = [u64; 4];

/// The prime of the field of P-256. Source: FIPS 186-4, D.1.2.3.
const P256_P: Words = [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001];
/// The constant `b` of P-256: y^2 = x^3 - 3x + b.
const P256_B: Words =
    [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];

/// 2^255 - 19, the prime of the field of Ed25519. Source: RFC 8032, section 5.1.
const ED25519_P: Words =
    [0xffff_ffff_ffff_ffed, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff];
/// The y of the eight points whose order divides 8; each pair of points shares one y.
const ED25519_SMALL_Y: [Words; 5] = [
    [0; 4],
    [1, 0, 0, 0],
    [0xffff_ffff_ffff_ffec, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff],
    [0xb027_b2c2_8f95_e826, 0xf098_eff2_89f4_c345, 0x3933_c6d3_05ac_dfd5, 0x05fc_536d_8802_38b1],
    [0x4fd8_4d3d_706a_17c7, 0x0f67_100d_760b_3cba, 0xc6cc_392c_fa53_202a, 0x7a03_ac92_77fd_c74e],
];

/// Why an encoded Ed25519 point is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ed25519Fault {
    /// The y coordinate is not below the prime.
    NotCanonical,
    /// The order of the point divides 8: anyone can sign under such a key.
    SmallOrder,
}

/// Refuses the points of small order in every encoding, and all encodings that are not canonical.
///
/// The sign bit is not looked at: both points of each small y are of small order.
pub(super) fn check_ed25519(point: &[u8; 32]) -> Result<(), Ed25519Fault> {
    let mut reversed = *point;
    reversed.reverse();
    let [low, middle, high, top] = words(&reversed);
    let y = [low, middle, high, top & (u64::MAX >> 1)];
    if !is_below(y, ED25519_P) {
        return Err(Ed25519Fault::NotCanonical);
    }
    if ED25519_SMALL_Y.contains(&y) { Err(Ed25519Fault::SmallOrder) } else { Ok(()) }
}

/// True when `x` and `y` (big-endian) are a point of P-256. Not constant in time: public keys are public.
pub(super) fn is_on_p256(x: &[u8; 32], y: &[u8; 32]) -> bool {
    let (x, y) = (words(x), words(y));
    if !is_below(x, P256_P) || !is_below(y, P256_P) {
        return false;
    }
    let x_cubed = multiply(multiply(x, x), x);
    let three_x = add(add(x, x), x);
    // Without the minus sign of the curve's equation: y^2 + 3x = x^3 + b.
    add(multiply(y, y), three_x) == add(x_cubed, P256_B)
}

fn words(big_endian: &[u8; 32]) -> Words {
    let (chunks, _) = big_endian.as_chunks::<8>();
    let mut value = [0; 4];
    for (word, chunk) in value.iter_mut().rev().zip(chunks) {
        *word = u64::from_be_bytes(*chunk);
    }
    value
}

fn is_below(left: Words, right: Words) -> bool {
    subtract_raw(left, right).1
}

fn subtract_raw(left: Words, right: Words) -> (Words, bool) {
    let (mut value, mut borrow) = ([0; 4], false);
    for ((word, a), b) in value.iter_mut().zip(left).zip(right) {
        (*word, borrow) = a.borrowing_sub(b, borrow);
    }
    (value, borrow)
}

/// left + right modulo the prime of P-256, both below it.
fn add(left: Words, right: Words) -> Words {
    let (mut sum, mut carry) = ([0; 4], false);
    for ((word, a), b) in sum.iter_mut().zip(left).zip(right) {
        (*word, carry) = a.carrying_add(b, carry);
    }
    let (reduced, borrow) = subtract_raw(sum, P256_P);
    if carry || !borrow { reduced } else { sum }
}

/// left * right modulo the prime of P-256, by doubling and adding: slow, and short enough to be read.
fn multiply(left: Words, right: Words) -> Words {
    let mut product = [0; 4];
    for word in right.into_iter().rev() {
        for bit in (0..u64::BITS).rev() {
            product = add(product, product);
            if word >> bit & 1 == 1 {
                product = add(product, left);
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
    };

    fn bytes_of(y: Words, sign: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_mut(8).zip(y) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes[31] |= sign << 7;
        bytes
    }

    #[test]
    fn points_of_small_order_are_refused_with_either_sign() {
        for y in ED25519_SMALL_Y {
            for sign in [0, 1] {
                assert_eq!(check_ed25519(&bytes_of(y, sign)), Err(Ed25519Fault::SmallOrder), "{y:x?}");
            }
        }
    }

    #[test]
    fn every_encoding_at_or_above_the_prime_is_refused() {
        for excess in 0..19 {
            for sign in [0, 1] {
                let y = [ED25519_P[0] + excess, ED25519_P[1], ED25519_P[2], ED25519_P[3]];
                assert_eq!(check_ed25519(&bytes_of(y, sign)), Err(Ed25519Fault::NotCanonical));
            }
        }
    }

    #[test]
    fn a_small_order_key_has_to_be_refused_here_because_ring_takes_a_forgery_under_it() {
        let identity = bytes_of([1, 0, 0, 0], 0);
        let mut forgery = [0; 64];
        forgery[..32].copy_from_slice(&identity);
        assert!(UnparsedPublicKey::new(&ED25519, identity).verify(b"anything", &forgery).is_ok());
    }

    #[test]
    fn ordinary_ed25519_keys_pass() {
        for seed in 0..32 {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
            let point: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert_eq!(check_ed25519(&point), Ok(()));
        }
    }

    #[test]
    fn p256_keys_are_on_the_curve_and_no_longer_with_one_bit_changed() {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        for _ in 0..8 {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
            let point = pair.public_key().as_ref();
            let x: [u8; 32] = point[1..33].try_into().unwrap();
            let mut y: [u8; 32] = point[33..].try_into().unwrap();
            assert!(is_on_p256(&x, &y));
            y[31] ^= 1;
            assert!(!is_on_p256(&x, &y));
        }
        assert!(!is_on_p256(&[0; 32], &[0; 32]));
        assert!(!is_on_p256(&[0xff; 32], &[0xff; 32]));
    }
}
