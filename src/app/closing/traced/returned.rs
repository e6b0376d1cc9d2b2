//! Orders whose volume came back after the period that counted it was closed.

use std::collections::BTreeMap;

use super::{super::told::CameBack, Past};
use crate::domain::{
    close::returns::takes,
    genealogy::{Genealogy, Member},
    id::DistributorId,
    plan::{period::PeriodId, volume::Measure},
    volume::Volume,
};

impl Past {
    /// The orders whose volume this close takes out of closed ones, by the period that counted it:
    /// `concerns` says of a distributor and the number of that close whether they are asked for.
    pub(super) fn came_back(
        &self,
        tree: &Genealogy,
        measure: Measure,
        concerns: impl Fn(Member, usize) -> bool,
    ) -> BTreeMap<PeriodId, Vec<CameBack>> {
        let mut found: BTreeMap<PeriodId, Vec<CameBack>> = BTreeMap::new();
        for (first, entries) in self.orders() {
            let Ok(distributor) = DistributorId::parse(&first.distributor) else { continue };
            let Some(member) = tree.find(&distributor) else { continue };
            let taken = takes(&self.counted(entries, measure));
            for take in taken.into_iter().filter(|take| take.at == self.last()) {
                let Some(then) = self.bases.get(take.from) else { continue };
                if !concerns(member, take.from) {
                    continue;
                }
                let last = entries.iter().rev().find(|entry| {
                    entry.amount.of(measure) < Volume::ZERO
                        && self.closes.of(entry.seq, entry.placed_at) == Some(take.at)
                });
                found.entry(then.period.id.clone()).or_default().push(CameBack {
                    order: first.order.clone(),
                    distributor: distributor.clone(),
                    placed_at: first.placed_at,
                    entry: last.map(|entry| entry.seq).unwrap_or_default(),
                    volume: take.volume,
                });
            }
        }
        found
    }
}
