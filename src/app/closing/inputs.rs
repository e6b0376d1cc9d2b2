//! What a close is computed from, read from the books: the volumes of the period, what earlier closes say,
//! and what the orders earned.

use std::collections::HashMap;

use super::{ClosingError, calendar};
use crate::{
    domain::{
        close::{
            Basis, BelowZero, Carried, CarryRecord, CloseKey, GivenEarnings, PaidRank,
            RankBonusRecord,
            gather::{Gather, Late, Volumes},
        },
        genealogy::{Genealogy, Member},
        id::DistributorId,
        money::Money,
        plan::{
            Plan,
            rank::RankLevel,
            volume::{LineVolumes, Measure},
        },
        volume::Volume,
    },
    store::{JournalRange, postgres::Postgres},
};

/// Somebody whose entries in the journal are asked for: those that count in the period, by number.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) distributor: DistributorId,
    pub(super) seqs: Vec<u64>,
}

/// The volumes of the period, and what of them came late.
pub(super) async fn gather(
    store: &Postgres,
    basis: &Basis,
    tree: &Genealogy,
    group: Measure,
    mut watch: Option<&mut Watch>,
) -> Result<(Volumes, Late), ClosingError> {
    let (before, upto) = (basis.before, basis.counted.upto);
    let mut gather = Gather::new(&basis.period, before, upto, group, tree.len());
    let range = JournalRange { after: 0, upto, before: basis.period.end };
    let number = |id: &str| {
        let found = DistributorId::parse(id).ok().and_then(|id| tree.find(&id));
        found.map_or(u32::MAX, Member::number)
    };
    let watched = watch.as_ref().and_then(|watch| tree.find(&watch.distributor));
    let watched = watched.map(Member::number);
    store
        .volume_journal(range, number, |page| {
            let who = page.seq.iter().zip(&page.member).zip(&page.placed_at);
            let what = page.pv.iter().zip(&page.qv).zip(&page.cv);
            for (((seq, member), placed_at), ((pv, qv), cv)) in who.zip(what) {
                let amount = LineVolumes { pv: *pv, qv: *qv, cv: *cv };
                gather.take(*seq, *member, *placed_at, amount);
                if let Some(watch) = watch.as_mut().filter(|_| watched == Some(*member))
                    && gather.is_late(*seq, *placed_at).is_some()
                {
                    watch.seqs.push(*seq);
                }
            }
        })
        .await?;
    match gather.finish() {
        (volumes, late, 0) => Ok((volumes, late)),
        (_, _, unknown) => Err(ClosingError::Unknown(unknown)),
    }
}

/// What earlier closes say.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) earlier_pv: Vec<Vec<Volume>>,
    pub(super) achieved: Vec<RankLevel>,
    pub(super) paid: Vec<Money>,
    pub(super) carried: Vec<Carried>,
    pub(super) paid_ranks: Vec<PaidRank>,
    pub(super) below_zero: Vec<BelowZero>,
}

impl History {
    pub(super) async fn read(
        store: &Postgres,
        basis: &Basis,
        plan: &Plan,
        tree: &Genealogy,
    ) -> Result<Self, ClosingError> {
        let number = |id: &str| tree.find(&DistributorId::parse(id).ok()?).map(Member::number);
        let place = |id: &str| number(id).and_then(|number| usize::try_from(number).ok());
        let mut history =
            Self { achieved: vec![RankLevel::default(); tree.len()], ..Self::default() };
        let look_back = plan.activity.as_ref().map_or(1, |activity| activity.look_back);
        let calendar = calendar(plan)?;
        let mut period = Some(basis.period.clone());
        for back in 1..look_back.max(2) {
            let mut pv = vec![Volume::ZERO; tree.len()];
            // Before the first period of the calendar nobody had volume.
            if let Some(before) = period.take().and_then(|of| calendar.previous(&of).ok()) {
                let key = CloseKey { plan: basis.plan.id.clone(), period: before.id.clone() };
                let achieved = &mut history.achieved;
                store
                    .period_members(&key, |id, volume, rank| {
                        let Some(place) = place(id) else { return };
                        if let Some(known) = pv.get_mut(place) {
                            *known = volume;
                        }
                        let level = rank.and_then(|rank| plan.ranks.level(&rank));
                        if back == 1
                            && let (Some(known), Some(level)) = (achieved.get_mut(place), level)
                        {
                            *known = level;
                        }
                    })
                    .await?;
                period = Some(before);
            }
            if back < look_back {
                history.earlier_pv.push(pv);
            }
        }
        if let Some(previous) = &basis.previous {
            let key = CloseKey { plan: basis.plan.id.clone(), period: previous.clone() };
            let (paid, carried) = store.period_money(&key).await?;
            history.paid = by_member(paid, tree);
            let below = store.period_carries(&key).await?.into_iter();
            let below = below.filter_map(|CarryRecord { distributor, pv, qv, cv }| {
                Some(BelowZero { member: number(distributor.as_str())?, pv, qv, cv })
            });
            history.below_zero = below.collect();
            let carry = |(component, amount)| Carried { component, amount };
            history.carried = carried.into_iter().map(carry).collect();
        }
        history.paid_ranks = paid_ranks(store, basis, plan, tree).await?;
        Ok(history)
    }
}

/// The bonuses for ranks that were paid for periods before.
pub(super) async fn paid_ranks(
    store: &Postgres,
    basis: &Basis,
    plan: &Plan,
    tree: &Genealogy,
) -> Result<Vec<PaidRank>, ClosingError> {
    let mut paid = Vec::new();
    for RankBonusRecord { component, distributor, rank } in
        store.rank_bonuses(&basis.plan.id, basis.period.start).await?
    {
        // A rank or a component that the plan no longer has can be paid no second time.
        let kept = plan.components.iter().any(|known| *known.id() == component);
        let member = tree.find(&distributor).map(Member::number);
        if let (Some(member), Some(rank), true) = (member, plan.ranks.level(&rank), kept) {
            paid.push(PaidRank { component, member, rank });
        }
    }
    Ok(paid)
}

fn by_member(amounts: HashMap<String, Money>, tree: &Genealogy) -> Vec<Money> {
    let mut column = vec![Money::ZERO; tree.len()];
    for (id, amount) in amounts {
        let member = DistributorId::parse(&id).ok().and_then(|id| tree.find(&id));
        let place = member.and_then(|member| usize::try_from(member.number()).ok());
        if let Some(known) = place.and_then(|place| column.get_mut(place)) {
            *known = amount;
        }
    }
    column
}

/// The earnings of the components that others count and the close does not compute: those of orders.
pub(super) async fn given(
    store: &Postgres,
    basis: &Basis,
    plan: &Plan,
    tree: &Genealogy,
) -> Result<Vec<GivenEarnings>, ClosingError> {
    let mut given = Vec::new();
    for component in plan.given() {
        let earned = store.order_earnings(basis, &component).await?.into_iter().collect();
        given.push(GivenEarnings { component, earned: by_member(earned, tree), unearned: None });
    }
    Ok(given)
}
