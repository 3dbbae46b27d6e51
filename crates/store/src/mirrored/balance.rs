//! Which mirror gets a request: two are drawn by their weights, and the less loaded of them has it.
//!
//! The first draw stands unless the second is clearly better, so that equal mirrors share by their weights, and one that is
//! slower or busier gets less the more it is so. Two random choices do nearly as well as a look at all, and never send
//! everybody to the one that was best a moment ago.
//!
//! Load is the time that a request may be expected to take: what they took lately, times those that are under way already for each
//! unit of weight. Chance comes in, by a seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// So much less loaded the second has to be; measured latencies of equal servers differ by less.
const BETTER: f64 = 1.25;
/// Latencies below this, in microseconds, are all alike: a server on the same host. Also what a mirror is taken to have that was
/// never asked.
const LATENCY_FLOOR_US: u64 = 100;

/// A source of chance that needs no lock: `SplitMix64` over a counter.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(super) fn share(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A number below `limit`, from this much chance, which is left with what was not used.
fn below(chance: &mut u64, limit: u64) -> u64 {
    let wide = u128::from(*chance) * u128::from(limit);
    *chance = u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0);
    u64::try_from(wide >> 64).unwrap_or(0)
}

/// What is known of a mirror's load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) latency_us: u64,
    pub(super) outstanding: u64,
    pub(super) weight: u32,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "a comparison of times")]
    fn expected(self) -> f64 {
        let latency = self.latency_us.max(LATENCY_FLOOR_US) as f64;
        latency * (1.0 + self.outstanding as f64 / f64::from(self.weight.max(1)))
    }
}

/// Picks one of `len`. `weight` is 0 for those that may not have it; `load` is looked up for two at the most.
pub(super) fn pick(
    len: usize,
    weight: impl Fn(usize) -> u32,
    load: impl Fn(usize) -> Load,
    dice: &Dice,
) -> Option<usize> {
    let mut chance = dice.next();
    let mut draw = |without: Option<usize>| {
        let weights = || {
            (0..len)
                .filter(|at| Some(*at) != without)
                .map(|at| (at, u64::from(weight(at))))
        };
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let mut left = below(&mut chance, total);
        weights().find_map(|(at, weight)| match left.checked_sub(weight) {
            Some(less) => {
                left = less;
                None
            }
            None => Some(at),
        })
    };
    let first = draw(None)?;
    let Some(second) = draw(Some(first)) else {
        return Some(first);
    };
    if load(second).expected() * BETTER < load(first).expected() {
        Some(second)
    } else {
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(latency_us: u64, outstanding: u64) -> Load {
        Load {
            latency_us,
            outstanding,
            weight: 1,
        }
    }

    /// How often each is picked, of 10,000.
    fn picks(weights: &[u32], load: impl Fn(usize) -> Load) -> Vec<u32> {
        let dice = Dice::new(7);
        let mut picked = vec![0; weights.len()];
        for _ in 0..10_000 {
            let at = pick(weights.len(), |at| weights[at], &load, &dice).unwrap();
            picked[at] += 1;
        }
        picked
    }

    #[test]
    fn equal_mirrors_share_by_their_weights() {
        for (weights, wanted) in [
            (&[1, 1, 1][..], &[3333, 3333, 3333][..]),
            (&[1, 3], &[2500, 7500]),
            (&[0, 5, 0], &[0, 10_000, 0]),
        ] {
            for (picked, wanted) in picks(weights, |_| load(1000, 3)).iter().zip(wanted) {
                assert!(
                    picked.abs_diff(*wanted) < 300,
                    "{weights:?}: {picked} for {wanted}"
                );
            }
        }
        assert_eq!(pick(2, |_| 0, |_| load(1, 1), &Dice::new(1)), None);
        assert_eq!(pick(0, |_| 1, |_| load(1, 1), &Dice::new(1)), None);
    }

    #[test]
    fn one_that_is_slow_or_busy_gets_nothing_that_another_can_take() {
        assert_eq!(
            picks(&[1, 1, 1], |at| load(if at == 1 { 500_000 } else { 1000 }, 2))[1],
            0
        );
        assert_eq!(picks(&[1, 1], |at| load(1000, if at == 0 { 9 } else { 1 }))[0], 0);
        // A weight of ten bears ten times as much.
        let heavy = |at| Load {
            latency_us: 1000,
            outstanding: if at == 0 { 10 } else { 1 },
            weight: if at == 0 { 10 } else { 1 },
        };
        assert!(picks(&[10, 1], heavy)[0] > 8500);
    }

    #[test]
    fn what_is_below_the_floor_is_alike() {
        let picked = picks(&[1, 1], |at| load(if at == 0 { 1 } else { 99 }, 0));
        assert!(picked.iter().all(|picked| *picked > 4500), "{picked:?}");
    }

    #[test]
    fn chance_is_even_and_comes_from_the_seed() {
        let (one, same) = (Dice::new(3), Dice::new(3));
        let mut counts = [0_u32; 7];
        for _ in 0..7000 {
            let drawn = below(&mut one.next(), 7);
            assert_eq!(drawn, below(&mut same.next(), 7));
            counts[usize::try_from(drawn).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| count.abs_diff(1000) < 150),
            "{counts:?}"
        );
        assert!((0..1000).all(|_| (0.0..1.0).contains(&one.share())));
    }
}
