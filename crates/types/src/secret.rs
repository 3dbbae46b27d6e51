//! What opens an encrypted volume: a passphrase, or the bytes of a key file. Overwritten in memory when it is dropped, and shown by
//! nothing: `Debug` tells its kind alone.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a secret at the most.
pub const SECRET_LEN_MAX: usize = 64 << 10;
/// Bytes of a key file at the least: as many as the key that is made of it, because nothing makes a short one slow to guess.
const KEY_FILE_LEN_MIN: usize = 32;

/// Whether people remember a secret or machines keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Something that people remember: made slow to guess.
    Passphrase,
    /// Random bytes in a file.
    KeyFile,
}

impl KeyKind {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key file",
        }
    }
}

/// See the module. In JSON `{"kind": "passphrase" | "key-file", "value": "BASE64"}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeySecret {
    kind: KeyKind,
    /// The bytes in base64.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    value: Zeroizing<Vec<u8>>,
}

/// Why bytes are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing there.
    #[error("the passphrase is empty: write it on the first line of the file")]
    Empty,
    /// Not enough of it.
    #[error(
        "the key file has {0} bytes, and {KEY_FILE_LEN_MIN} are the least: make one with `head -c 32 /dev/urandom`, or give it as a passphrase file"
    )]
    Short(usize),
    /// Too much of it.
    #[error("the file is longer than {SECRET_LEN_MAX} bytes: it is no key")]
    Long,
}

impl KeySecret {
    /// The secret that a file holds: of a passphrase file the first line, of a key file every byte.
    pub fn of_file(kind: KeyKind, bytes: Vec<u8>) -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new(bytes);
        if kind == KeyKind::Passphrase {
            let line = bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(bytes.len());
            bytes.truncate(line);
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        let secret = Self { kind, value: bytes };
        secret.check()?;
        Ok(secret)
    }

    /// Refuses what is no secret, wherever it came from.
    pub fn check(&self) -> Result<(), SecretError> {
        match (self.kind, self.value.len()) {
            (_, len) if len > SECRET_LEN_MAX => Err(SecretError::Long),
            (KeyKind::Passphrase, 0) => Err(SecretError::Empty),
            (KeyKind::KeyFile, len @ 0..KEY_FILE_LEN_MIN) => Err(SecretError::Short(len)),
            _ => Ok(()),
        }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The secret itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySecret({})", self.kind.as_str())
    }
}

fn encode<S: Serializer>(value: &Zeroizing<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&Zeroizing::new(BASE64.encode(value.as_slice())))
}

fn decode<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    let text = Zeroizing::new(String::deserialize(from)?);
    // The error must not quote what it is about.
    let bytes = BASE64
        .decode(text.as_bytes())
        .map_err(|_| D::Error::custom("the key is no base64"))?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: KeyKind, bytes: &[u8]) -> Result<KeySecret, SecretError> {
        KeySecret::of_file(kind, bytes.to_vec())
    }

    #[test]
    fn a_passphrase_is_a_line_and_a_key_file_is_all_its_bytes() {
        let passphrase = of(KeyKind::Passphrase, b"open sesame\r\nnot this\n").unwrap();
        assert_eq!(passphrase.bytes(), b"open sesame");
        assert_eq!(of(KeyKind::Passphrase, b"\nx"), Err(SecretError::Empty));
        let bytes = [b'\n'; 32];
        assert_eq!(of(KeyKind::KeyFile, &bytes).unwrap().bytes(), bytes);
        assert_eq!(of(KeyKind::KeyFile, &bytes[1..]), Err(SecretError::Short(31)));
        assert_eq!(
            of(KeyKind::KeyFile, &vec![0; SECRET_LEN_MAX + 1]),
            Err(SecretError::Long)
        );
    }

    #[test]
    fn it_travels_as_json_and_is_not_shown() {
        let secret = of(KeyKind::Passphrase, b"open sesame").unwrap();
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, r#"{"kind":"passphrase","value":"b3BlbiBzZXNhbWU="}"#);
        assert_eq!(serde_json::from_str::<KeySecret>(&json).unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "KeySecret(passphrase)");
        let error = serde_json::from_str::<KeySecret>(r#"{"kind":"passphrase","value":"secret word"}"#);
        assert!(!error.unwrap_err().to_string().contains("secret word"));
    }
}
