use super::*;
use crate::log::DataKey;
use crate::{
    AttachmentRecord, CONVERTED, Conversion, ConversionStage, Costs, ENCRYPTION, Encryption, LayoutKind,
    LifeState, PoolRecord, VolumeRecord, ZSTD,
};
use restblk_types::{AttachmentId, BlockSize, Compression, HostId, KeyKind, KeySecret, VolumeId};
use std::fmt::Debug;
use zeroize::Zeroizing;

fn volume() -> VolumeRecord {
    VolumeRecord {
        id: VolumeId::from_bytes([7; 16]),
        name: "disk1".parse().unwrap(),
        layout: LayoutKind::Direct,
        size: 10 << 30,
        block_size: BlockSize::B512,
        dialect: Some("cdmi2".into()),
        durability: restblk_types::Durability::default(),
        compression: restblk_types::Compression::default(),
        encryption: None,
        rate_limits: restblk_types::RateLimits::default(),
        created_at: "2026-01-02T03:04:05Z".into(),
        state: LifeState::Ready,
        trash: None,
        log_id: None,
        conversion: None,
        incompat: vec![],
        ro_compat: vec![],
        other: serde_json::Map::new(),
    }
}

fn attachment() -> AttachmentRecord {
    AttachmentRecord {
        id: AttachmentId::from_bytes([1; 16]),
        volume: VolumeId::from_bytes([7; 16]),
        host: HostId::from_bytes([2; 16]),
        hostname: "node1".into(),
        boot_id: "c0ffee".into(),
        pid: 4711,
        since: "2026-01-02T03:04:06Z".into(),
        incompat: vec![],
        ro_compat: vec![],
    }
}

fn pool() -> PoolRecord {
    PoolRecord {
        id: "07070707-0707-0707-0707-070707070707".into(),
        created_at: "2026-01-02T03:04:05Z".into(),
        created_by: "0.1.0".into(),
        incompat: vec![],
        ro_compat: vec![],
        proved: None,
        other: Default::default(),
    }
}

/// The bytes of each record, as the first version wrote them. A test that wants one changed is wrong.
fn golden<R: Record + PartialEq + Debug>(record: &R, file: &[u8]) {
    assert_eq!(
        String::from_utf8_lossy(&record.encode().unwrap()),
        String::from_utf8_lossy(file)
    );
    let decoded = R::decode(file).unwrap();
    assert_eq!(&decoded.record, record);
    assert!(decoded.read_only_because.is_empty());
}

#[test]
fn records_are_written_as_ever() {
    golden(&volume(), include_bytes!("../golden/volume.record"));
    golden(&attachment(), include_bytes!("../golden/attachment.record"));
    golden(&pool(), include_bytes!("../golden/pool.record"));
}

fn conversion(to: LayoutKind) -> Conversion {
    Conversion {
        to,
        stage: ConversionStage::Copying,
        log_id: VolumeId::from_bytes([8; 16]),
        durability: restblk_types::Durability::Remote,
        compression: Compression::default(),
        dialect: (to == LayoutKind::Direct).then(|| "cdmi2".into()),
        since: "2026-11-30T00:00:00Z".into(),
    }
}

#[test]
fn a_volume_that_is_converted_is_written_as_ever() {
    let mut record = volume();
    record.convert(Some(conversion(LayoutKind::Log)));
    golden(&record, include_bytes!("../golden/converting.record"));
    let mut after = record.converted().unwrap();
    assert_eq!(
        after.conversion.as_ref().unwrap().stage,
        ConversionStage::Clearing
    );
    after.convert(None);
    golden(&after, include_bytes!("../golden/converted.record"));
    assert_eq!(
        (after.layout, after.log_id()),
        (LayoutKind::Log, VolumeId::from_bytes([8; 16]))
    );
    assert_eq!(
        (after.id, after.incompat.clone()),
        (record.id, vec![CONVERTED.to_owned()])
    );
    // There and back is nowhere.
    after.convert(Some(conversion(LayoutKind::Direct)));
    let mut back = after.converted().unwrap();
    back.convert(None);
    assert_eq!(back, volume());
}

/// Salts are random, so it is read alone: what opened it once opens it for ever.
#[test]
fn an_encrypted_volume_is_opened_as_ever() {
    let key = DataKey::new(Zeroizing::new([3; 32]));
    let secret = |kind, bytes: &[u8]| KeySecret::of_file(kind, bytes.to_vec()).unwrap();
    let (phrase, file) = (
        secret(KeyKind::Passphrase, b"open sesame"),
        secret(KeyKind::KeyFile, &[5; 32]),
    );
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/encrypted.record");
    if std::env::var_os("RESTBLK_GOLDEN_WRITE").is_some() && !path.exists() {
        let at = || "2026-11-30T00:00:00Z".to_owned();
        let mut encryption = Encryption::new(&key, &phrase, at()).unwrap();
        encryption.add(&key, &file, at()).unwrap();
        let mut record = volume();
        record.encrypt(encryption);
        record.compress(Compression::Zstd);
        std::fs::write(&path, record.encode().unwrap()).unwrap();
    }
    let record = VolumeRecord::decode(&std::fs::read(&path).unwrap())
        .unwrap()
        .record;
    assert_eq!(record.incompat, [ENCRYPTION, ZSTD]);
    assert_eq!(record.compression, Compression::Zstd);
    let encryption = record.encryption.unwrap();
    assert_eq!(encryption.open(&phrase).unwrap(), (key.clone(), 0));
    assert_eq!(encryption.open(&file).unwrap(), (key, 1));
}

#[test]
fn the_largest_record_has_room_for_all_slots() {
    let key = DataKey::random();
    let file = |byte| KeySecret::of_file(KeyKind::KeyFile, vec![byte; 32]).unwrap();
    let mut record = volume();
    record.name = "n".repeat(200).parse().unwrap();
    let mut encryption = Encryption::new(&key, &file(0), "2026-11-30T00:00:00Z".to_owned()).unwrap();
    for byte in 1..8 {
        encryption
            .add(&key, &file(byte), "2026-11-30T00:00:00Z".to_owned())
            .unwrap();
    }
    for slot in &mut encryption.slots {
        slot.argon2id = Some(Costs {
            memory_kib: u32::MAX,
            passes: u32::MAX,
            lanes: u32::MAX,
        });
    }
    record.encrypt(encryption);
    record.encode().unwrap();
}

#[test]
fn every_flipped_bit_of_the_content_is_noticed() {
    let good = volume().encode().unwrap();
    let end = good.iter().rposition(|b| *b == b'}').unwrap();
    for at in 0..=end {
        let mut bad = good.clone();
        bad[at] ^= 1;
        if let Ok(decoded) = VolumeRecord::decode(&bad) {
            // The case of a hex digit of the checksum is the one thing that may differ.
            assert_eq!(decoded.record, volume(), "byte {at}");
        }
    }
}

#[test]
fn a_torn_record_is_damaged() {
    let good = volume().encode().unwrap();
    let end = good.iter().rposition(|b| *b == b'}').unwrap();
    for len in 0..=end {
        assert!(VolumeRecord::decode(&good[..len]).is_err(), "{len}");
    }
    assert!(VolumeRecord::decode(&good[..=end]).is_ok());
    assert_eq!(
        VolumeRecord::decode(&[0; RECORD_LEN]),
        Err(FormatError::NotARecord)
    );
}

#[test]
fn a_later_version_says_what_an_earlier_one_may_do() {
    let mut record = volume();
    record.incompat = vec!["erasure".into()];
    assert_eq!(
        VolumeRecord::decode(&record.encode().unwrap()),
        Err(FormatError::Incompatible(vec!["erasure".into()]))
    );
    let mut record = volume();
    record.ro_compat = vec!["journal".into()];
    assert_eq!(
        VolumeRecord::decode(&record.encode().unwrap())
            .unwrap()
            .read_only_because,
        ["journal"]
    );
}

#[test]
fn unknown_fields_and_other_types_are_told_apart() {
    let json = r#"{"id":"x","created_at":"t","created_by":"v","colour":"blue"}"#;
    let bytes = format!(
        "restblk 1 pool {} {:08x}\n{json}",
        json.len(),
        crc32c(json.as_bytes())
    );
    assert_eq!(PoolRecord::decode(bytes.as_bytes()).unwrap().record.id, "x");
    assert!(matches!(
        VolumeRecord::decode(bytes.as_bytes()),
        Err(FormatError::WrongType { .. })
    ));
}

#[test]
fn what_a_later_version_added_outlives_a_rewrite_by_this_one() {
    let mut later = volume();
    later.other.insert("colour".into(), "blue".into());
    let mut read = VolumeRecord::decode(&later.encode().unwrap()).unwrap().record;
    read.size += 512;
    let again = VolumeRecord::decode(&read.encode().unwrap()).unwrap().record;
    assert_eq!(again.other["colour"], "blue");
}

#[test]
fn a_proof_is_kept_as_far_as_there_is_room() {
    let full = crate::Proved {
        can: vec!["punch".into()],
        notes: vec!["note".into()],
        mirrors: vec![crate::ProvedMirror::default()],
        ..crate::Proved::default()
    };
    let kept = |change: fn(&mut crate::Proved)| {
        let mut proved = full.clone();
        change(&mut proved);
        let mut record = pool();
        record.keep_proof(proved);
        PoolRecord::decode(&record.encode().unwrap())
            .unwrap()
            .record
            .proved
    };
    assert_eq!(kept(|_| {}), Some(full.clone()));
    let shorter = kept(|proved| proved.notes[0] = "n".repeat(RECORD_LEN)).unwrap();
    assert_eq!((shorter.notes.len(), shorter.mirrors.len()), (0, 1));
    let shorter = kept(|proved| proved.mirrors[0].url = "u".repeat(RECORD_LEN)).unwrap();
    assert_eq!((shorter.can.len(), shorter.mirrors.len()), (1, 0));
    assert_eq!(kept(|proved| proved.by = "b".repeat(RECORD_LEN)), None);
}

#[test]
fn a_record_that_would_not_fit_is_refused() {
    let mut record = attachment();
    record.hostname = "h".repeat(RECORD_LEN);
    assert!(matches!(record.encode(), Err(FormatError::TooLarge(_))));
}

proptest::proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        let _ = VolumeRecord::decode(&bytes);
        let mut framed = b"restblk 1 volume ".to_vec();
        framed.extend(bytes);
        let _ = VolumeRecord::decode(&framed);
    }
}
