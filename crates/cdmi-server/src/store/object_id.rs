//! Object IDs (CDMI 5.3): 00, enterprise number in 3 bytes, 00, length, CRC-16, opaque data; written in base 16.
//!
//! The CRC has the polynomial 0x8005, reflected, starts at zero, and is computed with its own field zero. Our opaque data is 16 random bytes, so an
//! ID has 24 bytes and no two servers need to agree on anything.

use std::fmt::Write;

const HEAD_BYTES: usize = 8;

/// A new ID.
pub(super) fn random(enterprise: u32) -> String {
    build(enterprise, &rand::random::<[u8; 16]>())
}

/// The ID of something that is the same in every server: a capabilities object, a domain.
pub(crate) fn fixed(enterprise: u32, number: u64) -> String {
    build(enterprise, &number.to_be_bytes())
}

/// Whether a string is a well-formed ID of any maker, with a right CRC.
pub(super) fn valid(id: &str) -> bool {
    let Some(mut bytes) = decode(id) else { return false };
    if bytes.len() < HEAD_BYTES + 1
        || bytes.len() > 40
        || usize::from(bytes[5]) != bytes.len()
        || bytes[0] != 0
        || bytes[4] != 0
    {
        return false;
    }
    let found = u16::from_be_bytes([bytes[6], bytes[7]]);
    bytes[6..8].fill(0);
    found == crc16(&bytes)
}

fn build(enterprise: u32, opaque: &[u8]) -> String {
    let [_, e1, e2, e3] = enterprise.to_be_bytes();
    let length = u8::try_from(HEAD_BYTES + opaque.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![0, e1, e2, e3, 0, length, 0, 0];
    bytes.extend_from_slice(opaque);
    let crc = crc16(&bytes);
    bytes[6..8].copy_from_slice(&crc.to_be_bytes());
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn decode(id: &str) -> Option<Vec<u8>> {
    if !id.len().is_multiple_of(2) || !id.is_ascii() {
        return None;
    }
    (0..id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&id[at..at + 2], 16).ok())
        .collect()
}

fn crc16(bytes: &[u8]) -> u16 {
    // 0xA001 is 0x8005 with its bits reversed.
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        // CRC-16/ARC's published check value.
        assert_eq!(crc16(b"123456789"), 0xBB3D);
    }

    #[test]
    fn the_specification_s_own_examples_are_valid() {
        for id in [
            "00007E7F0010BD1CB8FF1823CF05BEE4",
            "00007E7F00102E230ED82694DAA975D2",
            "0000706D0010B84FAD185C425D8B537E",
        ] {
            assert!(valid(id), "{id}");
        }
    }

    #[test]
    fn ids_are_well_formed() {
        let id = random(37489);
        assert!(id.starts_with("0000927100") && id.len() == 48, "{id}");
        assert!(valid(&id) && valid(&fixed(0, 7)));
        assert_ne!(random(0), random(0));
        let flipped = if id.ends_with('0') {
            format!("{}1", &id[..47])
        } else {
            format!("{}0", &id[..47])
        };
        assert!(!valid(&flipped) && !valid("zz") && !valid("") && !valid("é0"));
    }
}
