//! Volumes change their layout under their users; every request can be the last before a crash, and every one can fail.

use crate::{claim, repository_on, volume};
use async_trait::async_trait;
use restblk_block::{BlockDevice, Limiter, WriteFlags};
use restblk_engine::convert::{Ended, Ground, NewLayout, Opener, Orders, convert};
use restblk_engine::direct::{DirectDevice, Tuning};
use restblk_engine::log::{Local, Writer};
use restblk_engine::{EngineError, Lease, NewVolume, Repository, Side, Takeover, Volume};
use restblk_format::{ConversionStage, LayoutKind, VolumeRecord};
use restblk_store::faulty::{Fault, Faulty};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{
    AttachmentId, BlockSize, Compression, Durability, ErrorKind, RateLimits, VolumeId, VolumeName,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A step of the copy, and a bit.
const SIZE: u64 = (1 << 20) + (64 << 10);
const DURABLE: WriteFlags = WriteFlags {
    fua: true,
    no_unmap: false,
};

fn name() -> VolumeName {
    "v".parse().unwrap()
}

fn orders() -> Orders {
    Orders {
        limiter: Limiter::new(RateLimits::default()),
        cancel: tokio::sync::watch::Sender::new(false),
    }
}

fn other(layout: LayoutKind) -> LayoutKind {
    match layout {
        LayoutKind::Direct => LayoutKind::Log,
        LayoutKind::Log => LayoutKind::Direct,
    }
}

fn new_layout(to: LayoutKind) -> NewLayout {
    NewLayout {
        to,
        log_id: VolumeId::random(),
        durability: Durability::Remote,
        compression: Compression::Lz4,
        since: "2026-01-02T03:04:05Z".into(),
    }
}

/// A host that has the volume.
struct Host {
    repository: Arc<Repository>,
    store: Arc<dyn Store>,
    lease: Lease,
    volume: Volume,
}

impl Host {
    async fn attach(store: Arc<dyn Store>, id: AttachmentId) -> Self {
        let repository = repository_on(Arc::clone(&store)).await;
        let mut claim = claim("h");
        claim.id = id;
        let (lease, record, _) = repository.take(&name(), claim, Takeover::Own(id)).await.unwrap();
        let side = open(&repository, &store, &lease, &record).await.unwrap();
        Self {
            volume: Volume::new(side),
            repository,
            store,
            lease,
        }
    }

    async fn record(&self) -> VolumeRecord {
        self.repository.record(&name()).await.unwrap()
    }

    async fn begin(&self, to: LayoutKind) -> Result<VolumeRecord, EngineError> {
        self.repository.begin_conversion(&name(), &new_layout(to)).await
    }

    /// Goes on with what was begun.
    async fn go_on(&self, orders: &Orders) -> Result<Ended, EngineError> {
        let name = name();
        let ground = Ground {
            repository: &self.repository,
            lease: &self.lease,
            name: &name,
            volume: &self.volume,
        };
        convert(ground, self, orders, &|_| {}).await
    }

    async fn convert(&self, to: LayoutKind) -> Result<Ended, EngineError> {
        self.begin(to).await?;
        self.go_on(&orders()).await
    }

    async fn bytes(&self) -> Vec<u8> {
        let mut found = vec![0xEE; SIZE as usize];
        self.volume.device().read(0, &mut found).await.unwrap();
        found
    }

    /// The volume is settled, of this layout, and there is nothing besides.
    async fn is_settled(&self, layout: LayoutKind, memory: &MemoryStore) {
        let record = self.record().await;
        assert_eq!((record.layout, &record.conversion), (layout, &None));
        let has_file = memory.head(&Key::new("v").unwrap()).await.is_ok();
        assert_eq!(has_file, layout == LayoutKind::Direct);
        for id in crate::log::ids(memory) {
            let lives = crate::log::objects_of(memory, id).await > 0;
            assert_eq!(lives, layout == LayoutKind::Log && id == record.log_id(), "{id}");
        }
    }
}

#[async_trait]
impl Opener for Host {
    async fn open(&self, record: &VolumeRecord) -> Result<Side, EngineError> {
        open(&self.repository, &self.store, &self.lease, record).await
    }
}

async fn open(
    repository: &Repository,
    store: &Arc<dyn Store>,
    lease: &Lease,
    record: &VolumeRecord,
) -> Result<Side, EngineError> {
    if record.layout == LayoutKind::Direct {
        lease.guard(store);
        let device =
            DirectDevice::open(repository, Arc::clone(store), record, false, Tuning::default()).await?;
        return Ok(Side::direct(device));
    }
    let writer = Writer {
        nonce: *VolumeId::random().as_bytes(),
        hostname: "h".into(),
        since: "2026-01-02T03:04:05Z".into(),
        key: None,
    };
    let log = repository
        .open_log(Arc::clone(store), record, writer, Local::default())
        .await?;
    Ok(Side::log(log, record.block_size))
}

/// A volume with something in it; of a direct one of small blocks not all in whole ones.
async fn made(memory: &MemoryStore, layout: LayoutKind, block_size: BlockSize) -> (AttachmentId, Vec<u8>) {
    let store: Arc<dyn Store> = Arc::new(memory.another_client());
    let new = NewVolume {
        layout,
        block_size,
        ..volume("v", SIZE)
    };
    repository_on(Arc::clone(&store))
        .await
        .create_volume(new)
        .await
        .unwrap();
    let id = AttachmentId::random();
    let host = Host::attach(store, id).await;
    let mut bytes = vec![0; SIZE as usize];
    let unit = block_size.bytes() as usize;
    for (at, len) in [(0, 3 * unit), (1 << 19, 100 << 10), (SIZE as usize - unit, unit)] {
        for (i, byte) in bytes[at..at + len].iter_mut().enumerate() {
            *byte = (i % 251) as u8 | 1;
        }
        host.volume
            .device()
            .write(at as u64, &bytes[at..at + len], DURABLE)
            .await
            .unwrap();
    }
    (id, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_again_the_bytes_and_the_block_size_stay() {
    for block_size in [BlockSize::B512, BlockSize::B4096] {
        let memory = MemoryStore::new();
        let (id, bytes) = made(&memory, LayoutKind::Direct, block_size).await;
        let mut host = Host::attach(Arc::new(memory.another_client()), id).await;
        let mut layout = LayoutKind::Direct;
        for _ in 0..4 {
            layout = other(layout);
            let ended = host.convert(layout).await.unwrap();
            assert!(matches!(ended, Ended::Converted), "{ended:?}");
            assert_eq!(host.bytes().await, bytes);
            host.is_settled(layout, &memory).await;
            // Opened anew, it is the same.
            host.volume.stop().await.unwrap();
            host = Host::attach(Arc::new(memory.another_client()), id).await;
            assert_eq!(host.bytes().await, bytes);
            assert_eq!(host.volume.device().geometry().block_size, block_size);
            let record = host.record().await;
            assert_eq!(record.log_id.is_some(), layout == LayoutKind::Log);
        }
        // Nothing is left that an older version would have to know of.
        assert!(host.record().await.incompat.is_empty());
        host.lease.release().await.unwrap();
        host.repository.delete_volume(&name()).await.unwrap();
        assert!(memory.head(&Key::new("v").unwrap()).await.is_err());
    }
}

/// What users do at random, each in its own part of the volume, and what must be there.
struct Users {
    model: Arc<Mutex<Vec<u8>>>,
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Users {
    fn start(host: &Host, bytes: Vec<u8>, count: u64, block: u64) -> Self {
        let (model, stop) = (
            Arc::new(Mutex::new(bytes)),
            tokio::sync::watch::Sender::new(false),
        );
        let part = SIZE / count / block * block;
        let user = |number: u64| {
            let (device, model, stop) = (host.volume.device(), Arc::clone(&model), stop.subscribe());
            tokio::spawn(async move {
                let mut random = number + 1;
                let mut draw = move |below: u64| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (random >> 33) % below
                };
                let mut done = 0;
                while !*stop.borrow() {
                    let at = number * part + draw(part / block) * block;
                    let len = ((draw(24) + 1) * block).min((number + 1) * part - at);
                    let range = at as usize..(at + len) as usize;
                    match draw(8) {
                        0 => {
                            device.discard(at, len).await.unwrap();
                            // What it reads as is the device's choice, for once and all.
                            let mut found = vec![0; len as usize];
                            device.read(at, &mut found).await.unwrap();
                            model.lock().unwrap()[range].copy_from_slice(&found);
                        }
                        1 => {
                            device.write_zeroes(at, len, WriteFlags::default()).await.unwrap();
                            model.lock().unwrap()[range].fill(0);
                        }
                        2 => device.flush().await.unwrap(),
                        3 | 4 => {
                            let mut found = vec![0; len as usize];
                            device.read(at, &mut found).await.unwrap();
                            assert_eq!(found, model.lock().unwrap()[range], "{len} bytes at {at}");
                        }
                        _ => {
                            let data = vec![draw(256) as u8; len as usize];
                            device.write(at, &data, WriteFlags::default()).await.unwrap();
                            model.lock().unwrap()[range].copy_from_slice(&data);
                        }
                    }
                    done += 1;
                }
                done
            })
        };
        let tasks = (0..count).map(user).collect();
        Self { model, stop, tasks }
    }

    /// Ends them; returns what must be there, and how much they did.
    async fn stop(self) -> (Vec<u8>, u64) {
        self.stop.send_replace(true);
        let mut done = 0;
        for task in self.tasks {
            done += task.await.unwrap();
        }
        let model = self.model.lock().unwrap().clone();
        (model, done)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn users_see_nothing_of_it() {
    for block_size in [BlockSize::B512, BlockSize::B4096] {
        let memory = MemoryStore::new();
        let (id, bytes) = made(&memory, LayoutKind::Direct, block_size).await;
        let host = Host::attach(Arc::new(memory.another_client()), id).await;
        let users = Users::start(&host, bytes, 8, u64::from(block_size.bytes()));
        let mut layout = LayoutKind::Direct;
        for _ in 0..6 {
            layout = other(layout);
            let ended = host.convert(layout).await.unwrap();
            assert!(matches!(ended, Ended::Converted), "{ended:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (model, done) = users.stop().await;
        assert!(done > 100, "{done}");
        assert!(host.bytes().await == model, "the bytes differ");
        host.is_settled(layout, &memory).await;
    }
}

/// Requests that overlap have no order on a device, but both sides must have the same one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_of_one_place_end_alike_on_both_sides() {
    let memory = MemoryStore::new();
    let (id, _) = made(&memory, LayoutKind::Direct, BlockSize::B4096).await;
    let host = Host::attach(Arc::new(memory.another_client()), id).await;
    let stop = tokio::sync::watch::Sender::new(false);
    let tasks: Vec<_> = (0..8u8)
        .map(|number| {
            let (device, stop) = (host.volume.device(), stop.subscribe());
            tokio::spawn(async move {
                while !*stop.borrow() {
                    device
                        .write(0, &[number; 8192], WriteFlags::default())
                        .await
                        .unwrap();
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            })
        })
        .collect();
    let mut layout = LayoutKind::Direct;
    for _ in 0..4 {
        layout = other(layout);
        host.convert(layout).await.unwrap();
        let mut found = [0; 8192];
        host.volume.device().read(0, &mut found).await.unwrap();
        // Never a mixture of two, for a write of one store request is whole.
        assert!(found[..4096].iter().all(|byte| *byte == found[0]));
    }
    stop.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
}

/// Dies at each request, with a writer beside it; whoever comes next finds all that was answered, and ends the conversion.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_request_loses_nothing_and_is_gone_on_from() {
    let mut deaths = std::collections::BTreeMap::new();
    for from in [LayoutKind::Direct, LayoutKind::Log] {
        let mut after = 0;
        loop {
            let memory = MemoryStore::new();
            let (id, mut bytes) = made(&memory, from, BlockSize::B4096).await;
            let cut = Arc::new(Faulty::scripted(Arc::new(memory.another_client())));
            let host = Host::attach(cut.clone(), id).await;
            cut.die_after(after);
            // Flushed writes here and there, the last one perhaps cut off.
            let (device, written) = (host.volume.device(), Arc::new(Mutex::new((Vec::new(), None))));
            let told = Arc::clone(&written);
            let writer = tokio::spawn(async move {
                for number in 0..u64::MAX {
                    let at = number.wrapping_mul(37) % (SIZE / 4096) * 4096;
                    let data = [number as u8 | 1; 4096];
                    told.lock().unwrap().1 = Some((at, data));
                    device.write(at, &data, DURABLE).await.unwrap();
                    told.lock().unwrap().0.push((at, data));
                    told.lock().unwrap().1 = None;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            let ended = tokio::time::timeout(Duration::from_secs(600), host.convert(other(from))).await;
            let is_cut = cut.is_dead();
            writer.abort();
            let _ = writer.await;
            let (all, last) = written.lock().unwrap().clone();
            drop(host);
            for (at, data) in all {
                bytes[at as usize..][..4096].copy_from_slice(&data);
            }

            let host = Host::attach(Arc::new(memory.another_client()), id).await;
            let found = host.bytes().await;
            if let Some((at, data)) = last
                && found[at as usize..][..4096] == data
            {
                bytes[at as usize..][..4096].copy_from_slice(&data);
            }
            assert!(found == bytes, "from {from:?}, request {after}");
            let stage = host.record().await.conversion.map(|conversion| conversion.stage);
            if let Some(stage) = stage {
                *deaths.entry(stage.as_str()).or_insert(0) += 1;
                let ended = host.go_on(&orders()).await.unwrap();
                assert!(matches!(ended, Ended::Converted), "{ended:?}");
            }
            if !is_cut {
                assert!(matches!(ended, Ok(Ok(Ended::Converted))), "{ended:?}");
            }
            // Killed before it was begun, or after it was done; what one side had of the last write is what it stays.
            let layout = host.record().await.layout;
            assert!(
                host.bytes().await == bytes,
                "afterwards, from {from:?}, request {after}"
            );
            host.is_settled(layout, &memory).await;
            if !is_cut {
                break;
            }
            // A side is removed by many requests that are all alike.
            after += if stage == Some(ConversionStage::Clearing) {
                5
            } else {
                1
            };
        }
    }
    assert!(
        deaths["making"] > 3 && deaths["copying"] > 20 && deaths["clearing"] > 20,
        "{deaths:?}"
    );
}

/// Each request of a conversion fails once: the volume has no error, and is converted or as it was.
#[tokio::test(start_paused = true)]
async fn an_error_of_any_request_is_no_error_of_the_volume() {
    let (mut taken_back, mut converted, mut own) = (0, 0, 0);
    for from in [LayoutKind::Direct, LayoutKind::Log] {
        for fault in [Fault::Refuse(ErrorKind::NoSpace), Fault::LostAnswer] {
            let mut after = 0;
            loop {
                let memory = MemoryStore::new();
                let (id, bytes) = made(&memory, from, BlockSize::B4096).await;
                let faulty = Arc::new(Faulty::scripted(Arc::new(memory.another_client())));
                let host = Host::attach(faulty.clone(), id).await;
                for _ in 0..after {
                    faulty.next(None, Fault::Delay(Duration::ZERO));
                }
                faulty.next(None, fault.clone());
                let before = faulty.calls();
                let ended = host.convert(other(from)).await;
                let is_struck = faulty.calls() - before > after;
                faulty.forget_script();
                if let Some(failure) = host.volume.failure() {
                    // The volume's own flush, which ends it whoever asks for it.
                    assert!(failure.to_string().contains("flush v at"), "{failure}");
                    assert_eq!((from, host.record().await.layout), (LayoutKind::Direct, from));
                    (own, after) = (own + 1, after + 1);
                    continue;
                }
                assert!(
                    host.bytes().await == bytes,
                    "from {from:?}, {fault:?}, request {after}"
                );
                host.volume
                    .device()
                    .write(0, &bytes[..4096], DURABLE)
                    .await
                    .unwrap();
                if ended.is_err() && host.record().await.conversion.is_some() {
                    host.go_on(&orders()).await.unwrap();
                }
                match host.record().await.layout == from {
                    true => taken_back += 1,
                    false => converted += 1,
                }
                assert!(
                    host.bytes().await == bytes,
                    "from {from:?}, {fault:?}, request {after}"
                );
                let layout = host.record().await.layout;
                host.is_settled(layout, &memory).await;
                if !is_struck {
                    break;
                }
                after += 1;
            }
        }
    }
    assert!(
        taken_back > 20 && converted > 10 && own < 3,
        "{taken_back} {converted} {own}"
    );
}

#[tokio::test]
async fn it_can_be_taken_back_until_the_switch() {
    for from in [LayoutKind::Direct, LayoutKind::Log] {
        let memory = MemoryStore::new();
        let (id, bytes) = made(&memory, from, BlockSize::B4096).await;
        let host = Host::attach(Arc::new(memory.another_client()), id).await;
        host.begin(other(from)).await.unwrap();
        let slow = Orders {
            limiter: Limiter::new(RateLimits {
                bytes_per_s: Some(1 << 20),
                bytes_burst: Some(1),
                ..RateLimits::default()
            }),
            ..orders()
        };
        let cancelling = async {
            while host.record().await.conversion.unwrap().stage != ConversionStage::Copying {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let data = [9; 4096];
            host.volume.device().write(0, &data, DURABLE).await.unwrap();
            slow.cancel.send_replace(true);
        };
        let (ended, ()) = tokio::join!(host.go_on(&slow), cancelling);
        assert!(matches!(ended, Ok(Ended::TakenBack(why)) if why.to_string().contains("cancelled")));
        let mut wanted = bytes;
        wanted[..4096].fill(9);
        assert_eq!(host.bytes().await, wanted);
        host.is_settled(from, &memory).await;
    }
}

#[tokio::test]
async fn what_cannot_be_converted_is_refused_with_the_reason() {
    let memory = MemoryStore::new();
    let (id, _) = made(&memory, LayoutKind::Log, BlockSize::B4096).await;
    let host = Host::attach(Arc::new(memory.another_client()), id).await;
    let refused = async |to, kind, word: &str| {
        let error = host.begin(to).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(host.record().await.conversion.is_none());
    };
    refused(LayoutKind::Log, ErrorKind::Invalid, "already").await;
    let log = host.volume.log().unwrap();
    let snapshot = log.snapshot("monday", "").await.unwrap();
    refused(
        LayoutKind::Direct,
        ErrorKind::Busy,
        "convert main/v: it has 1 snapshots",
    )
    .await;
    log.delete_snapshot(snapshot).await.unwrap();
    // A foreign file of its name, with or without bytes, before it was begun.
    let key = Key::new("v").unwrap();
    memory
        .put(&key, bytes::Bytes::new(), Precondition::Always)
        .await
        .unwrap();
    refused(LayoutKind::Direct, ErrorKind::Exists, "file of its name").await;
    memory.delete(&key, Precondition::Always).await.unwrap();

    // And one that comes in between is not touched.
    host.begin(LayoutKind::Direct).await.unwrap();
    let foreign = bytes::Bytes::from_static(b"somebody's");
    memory
        .put(&key, foreign.clone(), Precondition::Always)
        .await
        .unwrap();
    let ended = host.go_on(&orders()).await.unwrap();
    assert!(
        matches!(&ended, Ended::TakenBack(why) if why.to_string().contains("file of its name")),
        "{ended:?}"
    );
    let found = memory.get(&key, None).await.unwrap().payload.into_bytes();
    assert_eq!(found, foreign);
    memory.delete(&key, Precondition::Always).await.unwrap();
    host.is_settled(LayoutKind::Log, &memory).await;

    // While one is under way there is no other, and no larger size.
    host.begin(LayoutKind::Direct).await.unwrap();
    host.begin(LayoutKind::Direct).await.unwrap();
    let error = host.begin(LayoutKind::Log).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    host.go_on(&orders()).await.unwrap();
    host.begin(LayoutKind::Log).await.unwrap();
    let extended = host.repository.extend_volume(&name(), SIZE * 2).await;
    assert_eq!(extended.unwrap_err().kind(), ErrorKind::Busy);
    // What is left of one that was cut off goes with the volume.
    host.lease.release().await.unwrap();
    host.repository.delete_volume(&name()).await.unwrap();
    assert!(memory.head(&key).await.is_err());
}

#[tokio::test]
async fn snapshots_that_were_made_meanwhile_are_not_lost() {
    let memory = MemoryStore::new();
    let (id, bytes) = made(&memory, LayoutKind::Log, BlockSize::B4096).await;
    let host = Host::attach(Arc::new(memory.another_client()), id).await;
    host.begin(LayoutKind::Direct).await.unwrap();
    host.volume.log().unwrap().snapshot("monday", "").await.unwrap();
    let ended = host.go_on(&orders()).await.unwrap();
    assert!(
        matches!(&ended, Ended::TakenBack(why) if why.to_string().contains("snapshots")),
        "{ended:?}"
    );
    assert_eq!(host.bytes().await, bytes);
    host.is_settled(LayoutKind::Log, &memory).await;
    assert_eq!(host.volume.log().unwrap().snapshots().len(), 1);
}

#[tokio::test]
async fn clones_that_are_gone_are_in_nobodys_way() {
    let memory = MemoryStore::new();
    let (id, bytes) = made(&memory, LayoutKind::Log, BlockSize::B4096).await;
    let host = Host::attach(Arc::new(memory.another_client()), id).await;
    let log = host.volume.log().unwrap();
    let snapshot = log.snapshot("monday", "").await.unwrap();
    let clone = NewVolume {
        layout: LayoutKind::Log,
        ..volume("clone", SIZE)
    };
    let clone = host.repository.clone_volume(clone, &log, snapshot).await.unwrap();
    log.delete_snapshot(snapshot).await.unwrap();
    let error = host.begin(LayoutKind::Direct).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    host.repository.delete_volume(&clone.name).await.unwrap();
    let ended = host.convert(LayoutKind::Direct).await.unwrap();
    assert!(matches!(ended, Ended::Converted), "{ended:?}");
    assert_eq!(host.bytes().await, bytes);
    host.is_settled(LayoutKind::Direct, &memory).await;
}

#[tokio::test]
async fn a_former_holder_changes_nothing() {
    let memory = MemoryStore::new();
    let (id, bytes) = made(&memory, LayoutKind::Direct, BlockSize::B4096).await;
    let a = Host::attach(Arc::new(memory.another_client()), id).await;
    a.begin(LayoutKind::Log).await.unwrap();
    // Another host takes it by force, and converts it.
    let store: Arc<dyn Store> = Arc::new(memory.another_client());
    let repository = repository_on(Arc::clone(&store)).await;
    let (lease, record, _) = repository
        .take(&name(), claim("b"), Takeover::Forced)
        .await
        .unwrap();
    let b = Host {
        volume: Volume::new(open(&repository, &store, &lease, &record).await.unwrap()),
        repository,
        store,
        lease,
    };
    let error = a.go_on(&orders()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    b.go_on(&orders()).await.unwrap();
    assert_eq!(b.bytes().await, bytes);
    b.is_settled(LayoutKind::Log, &memory).await;
}
