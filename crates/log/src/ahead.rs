//! Reading ahead of those who read in order.
//!
//! A few streams are known by where their next read would begin. One that goes on gets what follows it read before it asks, twice as
//! much each time up to [`WINDOW_MAX`], so that a long round trip is paid for once. Reads by chance cost nothing: they go on nowhere.

use std::ops::Range;

/// Streams that are known.
const STREAMS: usize = 8;
/// Blocks that are read ahead at first: 256 KiB.
const WINDOW_MIN: u64 = 64;
/// And at last: 8 MiB, as much as a segment has.
const WINDOW_MAX: u64 = 2048;
/// Reads of one stream may come out of their order by so many blocks, or by as many as the read has: a device's queue has several.
const NEAR: u64 = 128;
/// What is read ahead ends at a multiple of so many blocks, 1 MiB, once it is that long: readers and writers of much go by them, and
/// what one write left side by side is read by one request then.
const ALIGN: u64 = 256;

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Where the next read is expected.
    next: u64,
    /// Up to where was read ahead.
    ahead: u64,
    window: u64,
}

/// The streams of a device.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The one that went on last is at the end.
    streams: Vec<Stream>,
}

impl Ahead {
    /// Notes a read of a device of so many blocks; what is to be read ahead, if anything is.
    pub(crate) fn note(&mut self, read: &Range<u64>, blocks: u64) -> Option<Range<u64>> {
        let near = NEAR.max(read.end - read.start);
        let goes_on = |stream: &Stream| {
            read.start <= stream.next + near && stream.next <= read.start + near && read.end > stream.next
        };
        let Some(at) = self.streams.iter().position(goes_on) else {
            if self.streams.len() == STREAMS {
                self.streams.remove(0);
            }
            self.streams.push(Stream {
                next: read.end,
                ahead: read.end,
                window: WINDOW_MIN,
            });
            return None;
        };
        let mut stream = self.streams.remove(at);
        stream.next = read.end;
        let from = stream.ahead.max(read.end);
        let wanted = if from < blocks && from - read.end <= stream.window / 2 {
            let align = if stream.window < ALIGN { 1 } else { ALIGN };
            let to = (read.end + stream.window).next_multiple_of(align).min(blocks);
            stream.ahead = to;
            stream.window = (stream.window * 2).min(WINDOW_MAX);
            (from < to).then_some(from..to)
        } else {
            None
        };
        self.streams.push(stream);
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_order_finds_twice_as_much_each_time() {
        let mut ahead = Ahead::default();
        let mut fetched = 0;
        for at in (0..4096).step_by(32) {
            let wanted = ahead.note(&(at..at + 32), 1 << 20);
            assert!(at > 0 || wanted.is_none(), "one read is no stream");
            if let Some(wanted) = wanted {
                assert!(
                    wanted.start >= at + 32 && wanted.start >= fetched,
                    "nothing twice"
                );
                fetched = wanted.end;
            }
            assert!(at == 0 || fetched >= at + 64, "always ahead: {fetched} at {at}");
        }
        assert!(fetched > 4096 + WINDOW_MAX / 2);
        let end = ahead.note(&(4096..4128), 4200);
        assert!(end.is_none_or(|end| end.end <= 4200), "not beyond the device");
    }

    #[test]
    fn reads_by_chance_are_left_alone_and_several_streams_are_told_apart() {
        let mut ahead = Ahead::default();
        for at in 0..100_u64 {
            let at = at * 7919 % 100_000 * 1000;
            assert_eq!(ahead.note(&(at..at + 1), 1 << 40), None);
        }
        let mut told = [0; STREAMS];
        for at in (0..320).step_by(32) {
            for (stream, told) in (0..).zip(&mut told) {
                let from = stream * 1_000_000 + at;
                let wanted = ahead.note(&(from..from + 32), 1 << 40);
                assert!(at > 0 || wanted.is_none());
                *told += usize::from(wanted.is_some());
            }
        }
        assert!(told.iter().all(|told| *told > 1), "{told:?}");
    }

    #[test]
    fn a_queue_of_reads_may_come_out_of_order() {
        let mut ahead = Ahead::default();
        let mut wanted = Vec::new();
        for at in [0, 64, 32, 96, 160, 128, 192] {
            wanted.extend(ahead.note(&(at..at + 32), 1 << 20));
        }
        assert!(!wanted.is_empty());
    }
}
