//! The keys of an encrypted volume, as its record keeps them: its data key, wrapped in several *slots* by what people or hosts have.
//!
//! ```text
//! passphrase ── Argon2id (salt, costs: in the slot) ──┐
//!                                                      ├─ AES-256-GCM ─ wrapped data key, in the slot
//! key file   ── HKDF-SHA256 (salt: in the slot) ──────┘
//! ```
//! A slot comes and goes without a byte of the volume being written again: what the data is encrypted by never changes. A slot's salt is random,
//! so its wrapping key is used for one thing once. Whoever has kept an old slot and its secret can open the volume for ever.

use crate::log::{DataKey, KEY_LEN, KeyId, SealKey, random};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use restblk_types::{ErrorKind, KeyKind, KeySecret, SecretError};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The word in [`crate::VolumeRecord::incompat`].
pub const ENCRYPTION: &str = "encryption";
/// The one cipher that this version knows.
const CIPHER: &str = "aes-256-gcm";
/// Slots at the most: they fit the record with all else.
const SLOTS_MAX: usize = 8;
const SALT_LEN: usize = 16;
/// A seal, and the key under it.
const WRAPPED_LEN: usize = SealKey::SEAL_LEN + KEY_LEN;

/// What makes a passphrase slow to guess: RFC 9106's second recommendation, of which 64 MiB are there on every host.
const COSTS: Costs = Costs {
    memory_kib: 64 << 10,
    passes: 3,
    lanes: 4,
};
/// What a slot can ask of a host that tries it: whoever writes the record must not take its memory.
const COSTS_MAX: Costs = Costs {
    memory_kib: 1 << 20,
    passes: 64,
    lanes: 64,
};

/// How a volume is encrypted, and who can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `aes-256-gcm`.
    pub cipher: String,
    /// The data key's id, in hexadecimal digits: a clone has its parent's.
    pub key: String,
    /// The wrapped copies of the data key.
    pub slots: Vec<Slot>,
}

/// A wrapped copy of the data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// By what it is named; the lowest free one is given to the next.
    pub slot: u8,
    /// By what it is opened.
    pub kind: KeyKind,
    /// What a passphrase costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argon2id: Option<Costs>,
    /// Random, in base64.
    salt: String,
    /// Nonce, tag and the encrypted data key, in base64.
    wrapped: String,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
}

/// What it takes to try a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Times that it is passed over.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// Why a key does not open, or slots are not changed. Messages complete "failed to …"; none has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another secret is needed.
    #[error("open its key: this {} opens none of its slots ({slots})", .kind.as_str())]
    Wrong {
        /// What was given.
        kind: KeyKind,
        /// What would do.
        slots: String,
    },
    /// Not a secret at all.
    #[error("use the key: {0}")]
    Secret(#[from] SecretError),
    /// All are taken.
    #[error("add a key: all {SLOTS_MAX} slots are taken; remove one first")]
    Full,
    /// There is no such slot.
    #[error("find slot {0}: there is none")]
    NoSlot(u8),
    /// The volume would be lost.
    #[error(
        "remove slot {0}: it is the last one, and without it nobody could open the volume; add another key first"
    )]
    LastSlot(u8),
    /// Not what this version writes.
    #[error("open its key: {0}")]
    Unknown(String),
}

impl KeyError {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Wrong { .. } => ErrorKind::Denied,
            Self::Secret(_) => ErrorKind::Invalid,
            Self::Full => ErrorKind::NoSpace,
            Self::NoSlot(_) => ErrorKind::NotFound,
            Self::LastSlot(_) => ErrorKind::Busy,
            Self::Unknown(_) => ErrorKind::Unsupported,
        }
    }
}

impl Encryption {
    /// A volume's keys with one slot. Takes the time and memory that a passphrase costs, as all here that takes a secret.
    pub fn new(key: &DataKey, secret: &KeySecret, created_at: String) -> Result<Self, KeyError> {
        let mut new = Self {
            cipher: CIPHER.to_owned(),
            key: hex(&key.id()),
            slots: Vec::new(),
        };
        new.add(key, secret, created_at)?;
        Ok(new)
    }

    /// The data key, and the slot that the secret opens.
    pub fn open(&self, secret: &KeySecret) -> Result<(DataKey, u8), KeyError> {
        if self.cipher != CIPHER {
            let message = format!("the cipher is {}; use a newer restblk", self.cipher);
            return Err(KeyError::Unknown(message));
        }
        for slot in self.slots.iter().filter(|slot| slot.kind == secret.kind()) {
            if let Some(key) = slot.open(secret, &self.key)? {
                return Ok((key, slot.slot));
            }
        }
        Err(KeyError::Wrong {
            kind: secret.kind(),
            slots: self.told(),
        })
    }

    /// Whether it is this key that the volume is encrypted by.
    #[must_use]
    pub fn is_of(&self, key: &DataKey) -> bool {
        self.key == hex(&key.id())
    }

    /// Adds a slot; returns its number.
    pub fn add(&mut self, key: &DataKey, secret: &KeySecret, created_at: String) -> Result<u8, KeyError> {
        let taken = |number: &u8| self.slots.iter().any(|slot| slot.slot == *number);
        let free = (0..).find(|number| !taken(number)).unwrap_or(u8::MAX);
        if self.slots.len() >= SLOTS_MAX {
            return Err(KeyError::Full);
        }
        self.slots
            .push(Slot::wrap(free, key, secret, &self.key, created_at)?);
        Ok(free)
    }

    /// Has another secret open what a slot opens, under the same number.
    pub fn replace(
        &mut self,
        number: u8,
        key: &DataKey,
        secret: &KeySecret,
        created_at: String,
    ) -> Result<(), KeyError> {
        let mut slots = self.slots.iter_mut();
        let slot = slots.find(|slot| slot.slot == number);
        *slot.ok_or(KeyError::NoSlot(number))? = Slot::wrap(number, key, secret, &self.key, created_at)?;
        Ok(())
    }

    /// Removes a slot.
    pub fn remove(&mut self, number: u8) -> Result<(), KeyError> {
        let at = self.slots.iter().position(|slot| slot.slot == number);
        let at = at.ok_or(KeyError::NoSlot(number))?;
        if self.slots.len() == 1 {
            return Err(KeyError::LastSlot(number));
        }
        self.slots.remove(at);
        Ok(())
    }

    /// The slots in words.
    fn told(&self) -> String {
        let slot = |slot: &Slot| format!("{}: {}", slot.slot, slot.kind.as_str());
        self.slots.iter().map(slot).collect::<Vec<_>>().join(", ")
    }
}

impl Slot {
    fn wrap(
        slot: u8,
        key: &DataKey,
        secret: &KeySecret,
        id: &str,
        created_at: String,
    ) -> Result<Self, KeyError> {
        secret.check()?;
        let mut salt = [0; SALT_LEN];
        random(&mut salt);
        let argon2id = (secret.kind() == KeyKind::Passphrase).then_some(COSTS);
        let mut new = Self {
            slot,
            kind: secret.kind(),
            argon2id,
            salt: BASE64.encode(salt),
            wrapped: String::new(),
            created_at,
        };
        let wrapping = new.wrapping_key(secret, &salt)?;
        let mut bytes = Zeroizing::new(*key.bytes());
        let seal = SealKey::new(&wrapping).seal_alone(&new.bound(id), bytes.as_mut_slice());
        new.wrapped = BASE64.encode([&seal[..], &bytes[..]].concat());
        Ok(new)
    }

    /// The data key; `None` where this is not the secret.
    fn open(&self, secret: &KeySecret, id: &str) -> Result<Option<DataKey>, KeyError> {
        let damaged = || KeyError::Unknown(format!("slot {} is not what any version writes", self.slot));
        let salt = BASE64.decode(&self.salt).map_err(|_| damaged())?;
        let wrapped = BASE64.decode(&self.wrapped).map_err(|_| damaged())?;
        let wrapped: [u8; WRAPPED_LEN] = wrapped.try_into().map_err(|_| damaged())?;
        let (seal, wrapped) = wrapped.split_first_chunk().ok_or_else(damaged)?;
        let wrapping = self.wrapping_key(secret, &salt)?;
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        bytes.copy_from_slice(wrapped);
        let opened = SealKey::new(&wrapping).open_alone(seal, &self.bound(id), bytes.as_mut_slice());
        let key = opened.then(|| DataKey::new(bytes));
        Ok(key.filter(|key| hex(&key.id()) == id))
    }

    /// What the wrapped key cannot be taken out of: whose data key it is, and how it was wrapped.
    fn bound(&self, id: &str) -> Vec<u8> {
        let costs = self.argon2id.map_or_else(String::new, |costs| {
            format!("{} {} {}", costs.memory_kib, costs.passes, costs.lanes)
        });
        format!(
            "restblk slot\n{id}\n{}\n{costs}\n{}",
            self.kind.as_str(),
            self.salt
        )
        .into_bytes()
    }

    fn wrapping_key(&self, secret: &KeySecret, salt: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        match (self.kind, self.argon2id) {
            (KeyKind::KeyFile, None) => {
                let extracted = Salt::new(HKDF_SHA256, salt).extract(secret.bytes());
                let made = extracted
                    .expand(&[b"restblk key file"], HKDF_SHA256)
                    .and_then(|okm| okm.fill(key.as_mut_slice()));
                made.map_err(|_| KeyError::Unknown("its key has another length".to_owned()))?;
            }
            (KeyKind::Passphrase, Some(costs)) if costs.is_within(&COSTS_MAX) => {
                let refused = |why: argon2::Error| {
                    KeyError::Unknown(format!("slot {} has costs that Argon2 refuses: {why}", self.slot))
                };
                let params = Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(KEY_LEN));
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(refused)?);
                let made = argon2.hash_password_into(secret.bytes(), salt, key.as_mut_slice());
                made.map_err(refused)?;
            }
            _ => {
                let message = format!("slot {} asks for what this version does not do", self.slot);
                return Err(KeyError::Unknown(message));
            }
        }
        Ok(key)
    }
}

impl Costs {
    fn is_within(&self, most: &Self) -> bool {
        self.memory_kib <= most.memory_kib && self.passes <= most.passes && self.lanes <= most.lanes
    }
}

fn hex(id: &KeyId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(kind: KeyKind, text: &str) -> KeySecret {
        let bytes = text.repeat(if kind == KeyKind::KeyFile { 32 } else { 1 });
        KeySecret::of_file(kind, bytes.into_bytes()).unwrap()
    }

    fn passphrase(text: &str) -> KeySecret {
        secret(KeyKind::Passphrase, text)
    }

    fn file(text: &str) -> KeySecret {
        secret(KeyKind::KeyFile, text)
    }

    fn at() -> String {
        "2026-11-30T00:00:00Z".to_owned()
    }

    #[test]
    fn any_slot_opens_the_same_key_and_nothing_else_does() {
        let key = DataKey::random();
        let mut encryption = Encryption::new(&key, &passphrase("open sesame"), at()).unwrap();
        assert_eq!(encryption.add(&key, &file("k"), at()), Ok(1));
        assert_eq!(
            encryption.open(&passphrase("open sesame")).unwrap(),
            (key.clone(), 0)
        );
        assert_eq!(encryption.open(&file("k")).unwrap(), (key.clone(), 1));
        let error = encryption.open(&file("l")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let words = error.to_string();
        assert!(words.contains("0: passphrase, 1: key file"), "{words}");
        assert!(encryption.open(&passphrase("open sesame ")).is_err());
        // The bytes of a key file are no passphrase.
        let same = "k".repeat(32);
        assert!(encryption.open(&passphrase(&same)).is_err());
        encryption.remove(0).unwrap();
        assert!(encryption.open(&passphrase("open sesame")).is_err());
        assert_eq!(encryption.remove(0), Err(KeyError::NoSlot(0)));
        assert_eq!(encryption.remove(1), Err(KeyError::LastSlot(1)));
        assert_eq!(encryption.add(&key, &file("m"), at()), Ok(0));
        assert!(encryption.is_of(&key) && !encryption.is_of(&DataKey::random()));
    }

    #[test]
    fn slots_are_bounded_and_a_changed_one_opens_nothing() {
        let key = DataKey::random();
        let mut encryption = Encryption::new(&key, &file("a"), at()).unwrap();
        for name in ["b", "c", "d", "e", "f", "g", "h"] {
            encryption.add(&key, &file(name), at()).unwrap();
        }
        assert_eq!(encryption.add(&key, &file("i"), at()), Err(KeyError::Full));
        let wrapped = encryption.slots[0].wrapped.clone();
        let mut bad = encryption.clone();
        bad.slots[0].wrapped = wrapped.replace(&wrapped[20..24], "AAAA");
        assert!(bad.open(&file("a")).is_err());
        let mut other = Encryption::new(&DataKey::random(), &file("a"), at()).unwrap();
        other.slots = encryption.slots.clone();
        assert!(other.open(&file("a")).is_err(), "slots of another key");
        let mut dear = Encryption::new(&key, &passphrase("p"), at()).unwrap();
        dear.slots[0].argon2id = Some(Costs {
            memory_kib: u32::MAX,
            ..COSTS
        });
        assert_eq!(
            dear.open(&passphrase("p")).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        dear.slots[0].argon2id = Some(Costs { passes: 1, ..COSTS });
        assert!(dear.open(&passphrase("p")).is_err(), "cheaper costs");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let key = DataKey::random();
        let encryption = Encryption::new(&key, &passphrase("open sesame"), at()).unwrap();
        let (shown, json) = (
            format!("{encryption:?}"),
            serde_json::to_string(&encryption).unwrap(),
        );
        let raw = BASE64.encode(key.bytes());
        for text in [shown, json] {
            assert!(!text.contains("sesame") && !text.contains(&raw), "{text}");
        }
    }
}
