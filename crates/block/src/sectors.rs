//! A device of smaller blocks than the one beneath has: what is no whole block there is read, changed and written back.
//!
//! A volume keeps the block size that it was made with, whatever it lies on. Whole blocks go through as they are. Parts of a block are
//! changed by one request at a time, and so is what overlaps them; that costs every write a look at a list, and a read for those alone
//! that begin or end within a block. A discard leaves parts of blocks as they are.

use crate::{BlockDevice, BlockError, Geometry, Ranges, Span, WriteFlags};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::BlockSize;
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub struct Sectors<D> {
    device: D,
    block_size: BlockSize,
    /// The blocks beneath.
    block: u64,
    ranges: Ranges,
}

impl<D: BlockDevice> Sectors<D> {
    /// The device with blocks of this size.
    #[must_use]
    pub fn new(device: D, block_size: BlockSize) -> Self {
        Self {
            block: u64::from(device.geometry().block_size.bytes()),
            device,
            block_size,
            ranges: Ranges::default(),
        }
    }

    /// The whole blocks around a range: where they begin, and their length.
    fn around(&self, offset: u64, len: u64) -> (u64, u64) {
        let start = offset - offset % self.block;
        (start, (offset + len).next_multiple_of(self.block) - start)
    }

    /// The whole blocks within a range, if there are any.
    fn within(&self, offset: u64, len: u64) -> Option<(u64, u64)> {
        let (start, end) = (
            offset.next_multiple_of(self.block),
            (offset + len) / self.block * self.block,
        );
        (start < end).then(|| (start, end - start))
    }

    fn is_whole(&self, offset: u64, len: u64) -> bool {
        offset.is_multiple_of(self.block) && len.is_multiple_of(self.block)
    }

    /// Writes a range that begins or ends within a block. Its blocks are this request's alone.
    async fn change(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        let (start, len) = self.around(offset, data.len() as u64);
        let mut blocks = vec![0; index(len)];
        let (last, block) = (len - self.block, index(self.block));
        self.device.read(start, &mut blocks[..block]).await?;
        if last > 0 {
            self.device.read(start + last, &mut blocks[index(last)..]).await?;
        }
        let at = index(offset - start);
        blocks[at..at + data.len()].copy_from_slice(data);
        self.device.write_bytes(start, Bytes::from(blocks), flags).await
    }
}

/// A length within a request's buffer.
fn index(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[async_trait]
impl<D: BlockDevice> BlockDevice for Sectors<D> {
    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: self.block_size,
            ..self.device.geometry()
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.device.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        if self.is_whole(offset, buf.len() as u64) {
            return self.device.read(offset, buf).await;
        }
        let (start, len) = self.around(offset, buf.len() as u64);
        let mut blocks = vec![0; index(len)];
        self.device.read(start, &mut blocks).await?;
        let at = index(offset - start);
        buf.copy_from_slice(&blocks[at..at + buf.len()]);
        Ok(())
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        if self.is_whole(offset, len as u64) {
            return self.device.read_pieces(offset, len).await;
        }
        let mut buf = vec![0; len];
        self.read(offset, &mut buf).await?;
        Ok(vec![Bytes::from(buf)])
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        let (start, around) = self.around(offset, len);
        let mut skip = offset - start;
        let mut left = len;
        let mut spans = self.device.spans(start, around).await?;
        for span in &mut spans {
            let before = span.len.min(skip);
            skip -= before;
            span.len = (span.len - before).min(left);
            left -= span.len;
        }
        spans.retain(|span| span.len > 0);
        Ok(spans)
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        let (start, len) = self.around(offset, data.len() as u64);
        let _mine = self.ranges.lock(start, len).await;
        if self.is_whole(offset, data.len() as u64) {
            self.device.write(offset, data, flags).await
        } else {
            self.change(offset, data, flags).await
        }
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        let (start, len) = self.around(offset, data.len() as u64);
        let _mine = self.ranges.lock(start, len).await;
        if self.is_whole(offset, data.len() as u64) {
            self.device.write_bytes(offset, data, flags).await
        } else {
            self.change(offset, &data, flags).await
        }
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.device.flush().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let Some((start, len)) = self.within(offset, len) else {
            return Ok(());
        };
        let _mine = self.ranges.lock(start, len).await;
        self.device.discard(start, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        let (around, around_len) = self.around(offset, len);
        let _mine = self.ranges.lock(around, around_len).await;
        let end = offset + len;
        let (start, stop) = match self.within(offset, len) {
            Some((start, whole)) => {
                self.device.write_zeroes(start, whole, flags).await?;
                (start, start + whole)
            }
            None => (end, end),
        };
        for (from, to) in [(offset, start), (stop, end)] {
            if from < to {
                self.change(from, &vec![0; index(to - from)], flags).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::*;
    use crate::MemoryDevice;
    use proptest::prelude::*;
    use std::sync::Arc;

    const SIZE: u64 = 16 * 4096;

    fn device() -> Sectors<MemoryDevice> {
        Sectors::new(MemoryDevice::new(index(SIZE), BlockSize::B4096), BlockSize::B512)
    }

    #[tokio::test]
    async fn spans_begin_and_end_with_what_is_asked_for() {
        let device = device();
        device
            .write(4096, &[7; 512], WriteFlags::default())
            .await
            .unwrap();
        let of = async |offset, len| {
            let spans = device.spans(offset, len).await.unwrap();
            spans
                .iter()
                .map(|span| (span.len, span.is_hole))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(0, SIZE).await,
            [(4096, true), (4096, false), (SIZE - 8192, true)]
        );
        assert_eq!(of(3584, 1024).await, [(512, true), (512, false)]);
        assert_eq!(of(4608, 512).await, [(512, false)]);
        assert_eq!(of(7680, 8192).await, [(512, false), (7680, true)]);
    }

    #[derive(Clone, Debug)]
    enum Request {
        Read,
        ReadPieces,
        Write(u8),
        WriteBytes(u8),
        Zero,
    }

    fn requests() -> impl Strategy<Value = Vec<(u64, u64, Request)>> {
        let one = prop_oneof![
            Just(Request::Read),
            Just(Request::ReadPieces),
            any::<u8>().prop_map(Request::Write),
            any::<u8>().prop_map(Request::WriteBytes),
            Just(Request::Zero),
        ];
        let sectors = SIZE / 512;
        let ranged = (0..sectors, one)
            .prop_flat_map(move |(at, one)| (Just(at * 512), 1..=(sectors - at).min(40), Just(one)));
        proptest::collection::vec(ranged.prop_map(|(at, n, one)| (at, n * 512, one)), 1..40)
    }

    /// So that a sector in the wrong place is seen.
    fn pattern(len: u64, byte: u8) -> Vec<u8> {
        (0..len).map(|at| byte.wrapping_add((at / 512) as u8)).collect()
    }

    async fn apply(device: &dyn BlockDevice, (at, len, request): &(u64, u64, Request)) -> Vec<u8> {
        let flags = WriteFlags::default();
        match request {
            Request::Read => {
                let mut buf = vec![0xEE; index(*len)];
                device.read(*at, &mut buf).await.unwrap();
                return buf;
            }
            Request::ReadPieces => return device.read_pieces(*at, index(*len)).await.unwrap().concat(),
            Request::Write(byte) => device.write(*at, &pattern(*len, *byte), flags).await.unwrap(),
            Request::WriteBytes(byte) => {
                let data = Bytes::from(pattern(*len, *byte));
                device.write_bytes(*at, data, flags).await.unwrap();
            }
            Request::Zero => device.write_zeroes(*at, *len, flags).await.unwrap(),
        }
        Vec::new()
    }

    proptest! {
        #[test]
        fn it_is_like_a_device_of_small_blocks(requests in requests()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (sectors, plain) = (device(), MemoryDevice::new(index(SIZE), BlockSize::B512));
                for request in &requests {
                    assert_eq!(apply(&sectors, request).await, apply(&plain, request).await, "{request:?}");
                }
                let all = (0, SIZE, Request::Read);
                assert_eq!(apply(&sectors, &all).await, apply(&plain, &all).await);
            });
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sectors_of_one_block_that_are_written_at_once_are_all_there() {
        let device = Arc::new(device());
        for round in 0..200u8 {
            let tasks: Vec<_> = (0..8u64)
                .map(|sector| {
                    let device = Arc::clone(&device);
                    let data = vec![round ^ sector as u8; 512];
                    tokio::spawn(
                        async move { device.write(sector * 512, &data, WriteFlags::default()).await },
                    )
                })
                .collect();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            let mut block = vec![0; 4096];
            device.read(0, &mut block).await.unwrap();
            for (sector, bytes) in block.chunks(512).enumerate() {
                assert!(
                    bytes.iter().all(|byte| *byte == round ^ sector as u8),
                    "{round} {sector}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_discard_spares_parts_of_blocks() {
        let device = device();
        device
            .write(0, &[7; 3 * 4096], WriteFlags::default())
            .await
            .unwrap();
        device.discard(512, 4096 + 3584).await.unwrap();
        device.discard(8192 + 512, 512).await.unwrap();
        let mut found = vec![0; 3 * 4096];
        device.read(0, &mut found).await.unwrap();
        assert!(found[..4096].iter().all(|byte| *byte == 7));
        assert!(found[4096..8192].iter().all(|byte| *byte == 0));
        assert!(found[8192..].iter().all(|byte| *byte == 7));
    }
}
