//! A part of a plan: what one node, or one thread of it, has to run.

/// One of `of` parts of a whole, counted from 0.
///
/// The parts of a whole number are contiguous, differ by at most one, and add
/// up to it: part `i` of `n` holds the items from `n*i/of` up to `n*(i+1)/of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: u32,
    of: u32,
}

impl Share {
    /// Everything: the share of a run in one process.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Part `index` of `of`, or `None` if there is no such part.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// How many of `whole` items are in this part.
    pub fn part(self, whole: u64) -> u64 {
        self.start(whole, self.index + 1) - self.start(whole, self.index)
    }

    /// The first of `whole` items, from 0, that is in this part.
    pub fn first(self, whole: u64) -> u64 {
        self.start(whole, self.index)
    }

    fn start(self, whole: u64, index: u32) -> u64 {
        let start = u128::from(whole) * u128::from(index) / u128::from(self.of);
        u64::try_from(start).expect("a part is not larger than the whole")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_add_up_to_the_whole(whole in any::<u64>(), of in 1u32..500) {
            let mut next = 0u64;
            for index in 0..of {
                let share = Share::new(index, of).expect("the index is in range");
                prop_assert_eq!(share.first(whole), next);
                next += share.part(whole);
                prop_assert!(share.part(whole).abs_diff(whole / u64::from(of)) <= 1);
            }
            prop_assert_eq!(next, whole);
        }
    }

    #[test]
    fn a_share_beyond_the_whole_does_not_exist() {
        assert_eq!(Share::new(2, 2), None);
    }
}
