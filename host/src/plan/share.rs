//! A part of a plan: what one node, or one thread of it, has to run.

use serde::{Deserialize, Serialize};

/// One of `of` parts of a whole, counted from 0.
///
/// There are two ways to part a whole. Numbers of iterations are parted in
/// runs, by [`part`](Self::part). VUs and arrivals come one after the other and
/// are dealt out like cards: item `k` belongs to part `k mod of`, so that the
/// parts stay even at every instant, and grow and shrink with the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Share {
    index: u32,
    of: u32,
}

impl TryFrom<(u32, u32)> for Share {
    type Error = &'static str;

    fn try_from((index, of): (u32, u32)) -> Result<Self, Self::Error> {
        Self::new(index, of).ok_or("there is no such part")
    }
}

impl From<Share> for (u32, u32) {
    fn from(share: Share) -> Self {
        (share.index, share.of)
    }
}

impl Share {
    /// Everything: the share of a run in one process.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Part `index` of `of`, or `None` if there is no such part.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Part `index` of `of` of this part, or `None` if there is no such part.
    /// The items dealt to the parts of a part are those dealt to it.
    pub fn within(self, index: u32, of: u32) -> Option<Self> {
        let parts = self.of.checked_mul(of)?;
        (index < of).then(|| Self {
            index: self.index + self.of * index,
            of: parts,
        })
    }

    /// The item, from 0, that is the `place`-th dealt to this part, from 0.
    pub fn item(self, place: u64) -> u64 {
        u64::from(self.index) + u64::from(self.of) * place
    }

    /// Whether an item is dealt to this part.
    pub fn has(self, item: u64) -> bool {
        item % u64::from(self.of) == u64::from(self.index)
    }

    /// How many of the first `whole` items are dealt to this part.
    pub fn dealt(self, whole: u64) -> u64 {
        (whole + u64::from(self.of - 1 - self.index)) / u64::from(self.of)
    }

    /// How many of `whole` items are in this part: they are contiguous, from
    /// `whole*index/of` up to `whole*(index+1)/of`.
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

    proptest! {
        #[test]
        fn items_are_dealt_to_one_part_each(
            whole in 0u64..5_000,
            nodes in 1u32..9,
            threads in 1u32..9,
        ) {
            let mut dealt = 0;
            let mut holders = vec![0; whole as usize];
            for node in 0..nodes {
                let node = Share::new(node, nodes).expect("the index is in range");
                let mut of_node = 0;
                for thread in 0..threads {
                    let share = node.within(thread, threads).expect("the index is in range");
                    for place in 0..share.dealt(whole) {
                        prop_assert!(share.has(share.item(place)) && node.has(share.item(place)));
                        holders[share.item(place) as usize] += 1;
                    }
                    of_node += share.dealt(whole);
                }
                prop_assert_eq!(of_node, node.dealt(whole));
                prop_assert!(node.dealt(whole).abs_diff(whole / u64::from(nodes)) <= 1);
                dealt += of_node;
            }
            prop_assert_eq!(dealt, whole);
            prop_assert!(holders.iter().all(|holders| *holders == 1));
        }
    }

    #[test]
    fn a_share_beyond_the_whole_does_not_exist() {
        assert_eq!(Share::new(2, 2), None);
        assert_eq!(Share::WHOLE.within(2, 2), None);
    }
}
