//! Encryption: what is sealed under a volume's data key. docs/decisions/0013 tells why it is so, and what is not hidden.
//!
//! ```text
//! data key 256       random, one for a volume and all that is cloned from it
//!  ├ segment key     of (volume, epoch, segment): its frames, wherever they are moved, and its index
//!  ├ heads' key      of (volume): says of a head that a holder of the key wrote it
//!  ├ journal key     of (volume, epoch): the records that this epoch's writer has on its host's disk
//!  └ key id          tells data keys apart, and nothing else of them
//! ```
//! All by HKDF-SHA256 (expand alone: the data key is uniform). The cipher is AES-256-GCM with a nonce of 96 bits that is drawn from the
//! kernel for each thing that is sealed and kept beside it. So nothing that anybody remembers, and nothing that a store tells, decides whether a
//! nonce was used before; and each key seals so little (a few thousand frames) that chance does not either.

use super::SegmentNumber;
use restblk_types::VolumeId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a data key, and of every key that is made of it.
pub const KEY_LEN: usize = 32;
/// Bytes of a [`Seal`].
pub(super) const SEAL_LEN: usize = 28;

/// The key of a volume's data, overwritten in memory when the last copy is dropped.
#[derive(Clone)]
pub struct DataKey(Arc<Zeroizing<[u8; KEY_LEN]>>);

/// By what a data key is told from others. Not secret: nothing of the key can be told from it.
pub type KeyId = [u8; 16];

/// A key for one purpose.
pub struct SealKey(LessSafeKey);

/// What is kept beside the sealed bytes: the nonce, and what shows a change of a single bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) tag: [u8; 16],
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills with random bytes from the kernel.
#[expect(
    clippy::expect_used,
    reason = "Linux' getrandom has no way to fail for a few bytes"
)]
pub(crate) fn random(bytes: &mut [u8]) {
    SystemRandom::new()
        .fill(bytes)
        .expect("the kernel has random bytes");
}

impl DataKey {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        random(bytes.as_mut_slice());
        Self::new(bytes)
    }

    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(Arc::new(bytes))
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// By what it is told from others.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = KeyId::default();
        self.expand(&[b"restblk key id"], Len(id.len()), |okm| {
            // As long as was asked for.
            let _ = okm.fill(&mut id);
        });
        id
    }

    /// The key of what was born in a segment, and of that segment's index.
    #[must_use]
    pub fn segment(&self, volume: VolumeId, epoch: u32, segment: SegmentNumber) -> SealKey {
        let (epoch, segment) = (epoch.to_le_bytes(), segment.to_bits().to_le_bytes());
        self.seal_key(&[b"restblk segment", volume.as_bytes(), &epoch, &segment])
    }

    /// The key of a volume's heads.
    #[must_use]
    pub fn heads(&self, volume: VolumeId) -> SealKey {
        self.seal_key(&[b"restblk head", volume.as_bytes()])
    }

    /// The key of what the writer of an epoch has in its journal.
    #[must_use]
    pub fn journal(&self, volume: VolumeId, epoch: u32) -> SealKey {
        self.seal_key(&[b"restblk journal", volume.as_bytes(), &epoch.to_le_bytes()])
    }

    fn seal_key(&self, info: &[&[u8]]) -> SealKey {
        self.expand(info, &AES_256_GCM, |okm| {
            SealKey(LessSafeKey::new(UnboundKey::from(okm)))
        })
    }

    /// The parts of `info` are of fixed lengths but for the first, which no other begins with.
    #[expect(clippy::expect_used, reason = "HKDF gives up to 8160 bytes")]
    fn expand<L: KeyType, T>(
        &self,
        info: &[&[u8]],
        len: L,
        take: impl FnOnce(ring::hkdf::Okm<'_, L>) -> T,
    ) -> T {
        let prk = Prk::new_less_safe(HKDF_SHA256, self.bytes());
        take(prk.expand(info, len).expect("a key's length"))
    }
}

impl PartialEq for DataKey {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for DataKey {}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    pub(crate) const SEAL_LEN: usize = SEAL_LEN;

    /// A key that is used for nothing else, such as one that wraps another.
    #[expect(clippy::expect_used, reason = "the key has the cipher's length")]
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of AES-256");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts what stands alone; returns the seal as it is stored.
    pub(crate) fn seal_alone(&self, bound: &[u8], bytes: &mut [u8]) -> [u8; SEAL_LEN] {
        self.seal(bound, bytes).to_bytes()
    }

    /// Decrypts what stands alone; false where it is not what was sealed.
    pub(crate) fn open_alone(&self, seal: &[u8; SEAL_LEN], bound: &[u8], bytes: &mut [u8]) -> bool {
        self.open(&Seal::from_bytes(seal), bound, bytes)
    }

    /// Encrypts the bytes where they are. `bound` must be the same when they are opened.
    #[expect(clippy::expect_used, reason = "a frame is shorter than 64 GiB")]
    pub(super) fn seal(&self, bound: &[u8], bytes: &mut [u8]) -> Seal {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let sealed =
            self.0
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), bytes);
        let mut seal = Seal { nonce, tag: [0; 16] };
        seal.tag.copy_from_slice(sealed.expect("not too long").as_ref());
        seal
    }

    /// Decrypts the bytes where they are; false where they, or what they are bound to, are not what was sealed.
    #[must_use]
    pub(super) fn open(&self, seal: &Seal, bound: &[u8], bytes: &mut [u8]) -> bool {
        let nonce = Nonce::assume_unique_for_key(seal.nonce);
        let opened =
            self.0
                .open_in_place_separate_tag(nonce, Aad::from(bound), Tag::from(seal.tag), bytes, 0..);
        opened.is_ok()
    }
}

impl Seal {
    /// As stored: the nonce, then the tag.
    pub(super) fn to_bytes(self) -> [u8; SEAL_LEN] {
        let mut bytes = [0; SEAL_LEN];
        let (nonce, tag) = bytes.split_at_mut(NONCE_LEN);
        nonce.copy_from_slice(&self.nonce);
        tag.copy_from_slice(&self.tag);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SEAL_LEN]) -> Self {
        let mut seal = Self {
            nonce: [0; NONCE_LEN],
            tag: [0; 16],
        };
        let (nonce, tag) = bytes.split_at(NONCE_LEN);
        seal.nonce.copy_from_slice(nonce);
        seal.tag.copy_from_slice(tag);
        seal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    fn key(byte: u8) -> DataKey {
        DataKey::new(Zeroizing::new([byte; KEY_LEN]))
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_alone() {
        let volume = VolumeId::from_bytes([7; 16]);
        let segment = SegmentNumber::new(Kind::Log, 3).unwrap();
        let sealer = key(1).segment(volume, 2, segment);
        let mut bytes = b"something of a user's".to_vec();
        let seal = sealer.seal(b"here", &mut bytes);
        assert_ne!(bytes, b"something of a user's");
        let opens = |key: &SealKey, seal: &Seal, bound: &[u8], bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            key.open(seal, bound, &mut bytes).then_some(bytes)
        };
        assert_eq!(
            opens(&sealer, &seal, b"here", &bytes).as_deref(),
            Some(&b"something of a user's"[..])
        );
        assert_eq!(opens(&sealer, &seal, b"there", &bytes), None);
        let other = SegmentNumber::new(Kind::Gc, 3).unwrap();
        for wrong in [
            key(2).segment(volume, 2, segment),
            key(1).segment(VolumeId::from_bytes([8; 16]), 2, segment),
            key(1).segment(volume, 3, segment),
            key(1).segment(volume, 2, other),
            key(1).heads(volume),
            key(1).journal(volume, 2),
        ] {
            assert_eq!(opens(&wrong, &seal, b"here", &bytes), None);
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&sealer, &seal, b"here", &bad), None);
        }
        for bit in 0..SEAL_LEN * 8 {
            let mut bad = seal.to_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&sealer, &Seal::from_bytes(&bad), b"here", &bytes), None);
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let sealer = key(1).heads(VolumeId::from_bytes([7; 16]));
        let nonces: std::collections::HashSet<_> =
            (0..10_000).map(|_| sealer.seal(b"", &mut []).nonce).collect();
        assert_eq!(nonces.len(), 10_000);
    }

    #[test]
    fn a_key_is_not_shown_and_its_id_never_changes() {
        assert_eq!(format!("{:?}", key(1)), "DataKey");
        assert_eq!(key(1).id(), key(1).id());
        assert_ne!(key(1), key(2));
        assert_ne!(DataKey::random(), DataKey::random());
    }
}
