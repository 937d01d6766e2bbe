//! `squall:script/random`: one stream of random numbers per VU, from the run's
//! seed.

use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::bindings::random as wit;
use super::state::State;

/// At most so many bytes come from one call.
const BYTES: u32 = 1 << 20;

/// A number from 0 (included) to 1 (excluded): 53 bits, each value equally
/// likely.
pub(super) fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

impl wit::Host for State {
    fn uniform(&mut self) -> wasmtime::Result<f64> {
        Ok(uniform(&mut self.random))
    }

    fn between(&mut self, min: i32, max: i32) -> wasmtime::Result<i32> {
        let (min, max) = (i64::from(min.min(max)), i64::from(min.max(max)));
        let span = (max - min + 1) as u64;
        // The high half of a product spreads 64 bits over the span; with spans
        // of at most 2^32 no value is likelier than another by more than 2^-32.
        let at = ((u128::from(self.random.next_u64()) * u128::from(span)) >> 64) as i64;
        Ok(i32::try_from(min + at)?)
    }

    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        if count > BYTES {
            return Err(wasmtime::Error::msg(format!(
                "{count} random bytes in one call: at most {BYTES}"
            )));
        }
        let mut bytes = vec![0; count as usize];
        self.random.fill_bytes(&mut bytes);
        Ok(bytes)
    }
}
