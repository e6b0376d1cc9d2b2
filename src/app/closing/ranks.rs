//! Ranks at a close: those that people forced come in, those that orders are paid by from then on go out.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::{ClosingError, Prepared};
use crate::{
    domain::{
        close::{Basis, ForcedRank, RankChange},
        commission::{RankBooks, RankRecord, RankSource, RankVersion, standings},
        genealogy::{Genealogy, Member},
        id::{DistributorId, RankId},
        plan::Plan,
    },
    stage::map::Company,
    store::postgres::Postgres,
};

/// The version of the facts that a close takes, also of a plan without ranks: an earlier version of it may
/// have had some.
pub(super) fn version(company: &Company) -> Option<RankVersion> {
    let version = company.ranks.version();
    (version.seq > 0).then_some(version)
}

/// The forced ranks of a period: those in force at its last instant.
pub(super) async fn forced(
    store: &Postgres,
    basis: &Basis,
    plan: &Plan,
    tree: &Genealogy,
) -> Result<Vec<ForcedRank>, ClosingError> {
    let Some(version) = basis.ranks else { return Ok(Vec::new()) };
    let records = store.decided_ranks(&basis.plan.id, version.seq).await?;
    let end = basis.period.end;
    let last = end.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(end);
    let standings = standings(&records, last).into_values();
    let force = |record: &RankRecord| {
        let RankSource::Forced { hold, .. } = record.fact.source else { return None };
        let rank = record.fact.paid_as.as_ref().and_then(|rank| plan.ranks.level(rank));
        Some(ForcedRank {
            member: tree.find(&record.fact.distributor).map(Member::number)?,
            rank: rank.unwrap_or_default(),
            hold,
            raises_title: record.raises_title,
            operator: record.by.clone()?,
            reason: record.why.clone()?,
        })
    };
    Ok(standings.filter_map(|standing| force(standing.by_hand?)).collect())
}

impl Prepared {
    /// The ranks that orders are paid by from the end of the period on, where the facts say others.
    /// Open closes before it count as if they were in the books.
    pub(super) fn changed_ranks(
        &self,
        books: &RankBooks,
        plan: &Plan,
        earlier: &[Self],
    ) -> Vec<RankChange> {
        let changes = earlier.iter().flat_map(|close| &close.rank_changes);
        let assumed: HashMap<&DistributorId, Option<&RankId>> =
            changes.map(|change| (&change.distributor, change.rank.as_ref())).collect();
        let book = books.of(&plan.reference.id);
        let known = book.as_of(self.basis.period.end, u64::MAX, &plan.ranks);
        let name = |member| self.tree.by_number(member);
        let known = |id: &_| match assumed.get(id) {
            Some(rank) => *rank,
            None => self.tree.find(id).and_then(|member| known.by_close(member)),
        };
        self.close.rank_changes(&self.plan, &self.population, name, known).collect()
    }
}
