//! The cap of an owner over all their positions.

use super::{
    super::share::{split, weights},
    Line, Rules, Unpaid,
};
use crate::domain::{
    money::{Currency, Money},
    placement::BinaryColumns,
};

/// Applies the cap of owners to the lines of a close: what an owner earns above it is capped.
pub(super) fn share(rules: &Rules, tree: BinaryColumns<'_>, lines: &mut [Line]) {
    let Some(cap) = rules.owner_cap else { return };
    let mut by_owner: Vec<(u32, usize)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.paid.is_positive())
        .filter_map(|(index, line)| Some((tree.owner(line.position)?.0, index)))
        .collect();
    by_owner.sort_unstable();
    let mut paid = Vec::new();
    for same in by_owner.chunk_by(|(a, _), (b, _)| a == b) {
        paid.clear();
        paid.extend(same.iter().filter_map(|(_, index)| lines.get(*index)).map(|line| line.paid));
        let Some(shares) = shares(&paid, cap, rules.currency) else { continue };
        for ((_, index), share) in same.iter().zip(shares) {
            if let Some(line) = lines.get_mut(*index) {
                line.capped += line.paid - share;
                line.paid = share;
                line.unpaid = (!share.is_positive()).then_some(Unpaid::OwnerCap);
            }
        }
    }
}

/// What each position of an owner is paid, if they earn more than the cap together: the cap in
/// proportion, by largest remainder, ties to the position placed first. No share is above what was earned.
pub(super) fn shares(paid: &[Money], cap: Money, currency: Currency) -> Option<Vec<Money>> {
    let earned: Money = paid.iter().copied().sum();
    (earned > cap).then(|| split(cap, &weights(paid.iter().copied(), currency), currency))
}
