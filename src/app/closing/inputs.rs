//! What a close is computed from, read from the books: the volumes of the period, what earlier closes say,
//! and what the orders earned.

use std::collections::HashMap;

use super::{ClosingError, Prepared};
use crate::{
    domain::{
        close::{
            Basis, BelowZero, Carried, CarryRecord, CloseKey, GivenEarnings, PaidRank,
            RankBonusRecord,
            gather::{Gather, Late, Orders, Volumes},
        },
        genealogy::{Genealogy, Member},
        id::{ComponentId, DistributorId, RankId},
        money::Money,
        plan::{
            Component, Plan,
            close::CloseComponent,
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
    /// The number of each, and its size: the most that it changes.
    pub(super) entries: Vec<(u64, Volume)>,
}

/// The volumes of the period, and what of them came late.
pub(super) async fn gather(
    store: &Postgres,
    basis: &Basis,
    tree: &Genealogy,
    (plan, earlier): (&Plan, &[Prepared]),
    mut watch: Option<&mut Watch>,
) -> Result<(Volumes, Late), ClosingError> {
    let (before, upto) = (basis.before, basis.counted.upto);
    let group = plan.volumes.as_ref().map_or(Measure::Pv, |volumes| volumes.group);
    let gather = Gather::new(&basis.period, before, upto, group, tree.len());
    let mut gather = gather.asking_for(orders(store, basis, plan, earlier).await?);
    let range = JournalRange { after: 0, upto, before: basis.period.end };
    let number = |id: &str| {
        let found = DistributorId::parse(id).ok().and_then(|id| tree.find(&id));
        found.map_or(u32::MAX, Member::number)
    };
    let watched = watch.as_ref().and_then(|watch| tree.find(&watch.distributor));
    let watched = watched.map(Member::number);
    store
        .volume_journal(range, number, |page| {
            let who =
                page.seq.iter().zip(&page.member).zip(page.placed_at.iter().zip(&page.source));
            let what = page.pv.iter().zip(&page.qv).zip(&page.cv);
            for (((seq, member), (placed_at, source)), ((pv, qv), cv)) in who.zip(what) {
                let amount = LineVolumes { pv: *pv, qv: *qv, cv: *cv };
                gather.take(*seq, *member, *placed_at, amount);
                gather.take_order(*seq, *member, (*placed_at, *source), amount);
                if let Some(watch) = watch.as_mut().filter(|_| watched == Some(*member))
                    && gather.is_late(*seq, *placed_at).is_some()
                {
                    let sizes = [*pv, *qv, *cv].map(|volume| volume.max(-volume));
                    watch.entries.push((*seq, sizes.into_iter().max().unwrap_or_default()));
                }
            }
        })
        .await?;
    match gather.finish() {
        (volumes, late, 0) => Ok((volumes, late)),
        (_, _, unknown) => Err(ClosingError::Unknown(unknown)),
    }
}

/// The orders that make somebody active in a period, if the plan asks for any: those since the first period of
/// the look-back, as far as there are closes.
async fn orders(
    store: &Postgres,
    basis: &Basis,
    plan: &Plan,
    earlier: &[Prepared],
) -> Result<Option<Orders>, ClosingError> {
    let Some(activity) = &plan.activity else { return Ok(None) };
    let Some(of) = activity.order else { return Ok(None) };
    let back = activity.look_back.saturating_sub(1);
    let start = basis.period.start;
    let closed = store.closed_before(&basis.plan.id, start, back).await?.into_iter();
    let open = earlier.iter().rev().map(|close| close.basis.period.start);
    let starts = open.chain(closed.map(|(_, start)| start));
    let since = starts.take(usize::from(back)).last().unwrap_or(start);
    Ok(Some(Orders { since, of }))
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
    /// `earlier` are the open closes before this one, computed and not written, the latest last: they stand
    /// between it and the last that is closed.
    pub(super) async fn read(
        store: &Postgres,
        basis: &Basis,
        plan: &Plan,
        tree: &Genealogy,
        earlier: &[Prepared],
    ) -> Result<Self, ClosingError> {
        let mut history =
            Self { achieved: vec![RankLevel::default(); tree.len()], ..Self::default() };
        history.look_back(store, basis, (plan, tree), earlier).await?;
        history.money(store, basis, tree, earlier).await?;
        let mut bonuses = store.rank_bonuses(&basis.plan.id, basis.period.start).await?;
        bonuses.extend(earlier.iter().flat_map(Prepared::rank_bonuses));
        for RankBonusRecord { component, distributor, rank } in bonuses {
            // A rank or a component that the plan no longer has can be paid no second time.
            let kept = plan.components.iter().any(|known| *known.id() == component);
            if let (Some(member), Some(rank), true) =
                (number(tree, distributor.as_str()), plan.ranks.level(&rank), kept)
            {
                history.paid_ranks.push(PaidRank { component, member, rank });
            }
        }
        history.brought(store, basis, plan, tree).await?;
        Ok(history)
    }

    /// The PV of the periods before, and the highest ranks of the last one.
    async fn look_back(
        &mut self,
        store: &Postgres,
        basis: &Basis,
        (plan, tree): (&Plan, &Genealogy),
        earlier: &[Prepared],
    ) -> Result<(), ClosingError> {
        let look_back = plan.activity.as_ref().map_or(1, |activity| activity.look_back);
        let closed = store.closed_before(&basis.plan.id, basis.period.start, look_back).await?;
        let mut open = earlier.iter().rev();
        let mut closed = closed.into_iter();
        for back in 1..look_back.max(2) {
            // Before the first close nobody had volume.
            let mut pv = vec![Volume::ZERO; tree.len()];
            let achieved = &mut self.achieved;
            let mut take = |id: &str, volume: Volume, rank: Option<&RankId>| {
                let place = number(tree, id).and_then(|number| usize::try_from(number).ok());
                let Some(place) = place else { return };
                if let Some(known) = pv.get_mut(place) {
                    *known = volume;
                }
                let level = rank.and_then(|rank| plan.ranks.level(rank));
                if back == 1
                    && let (Some(known), Some(level)) = (achieved.get_mut(place), level)
                {
                    *known = level;
                }
            };
            if let Some(close) = open.next() {
                for member in close.members() {
                    take(member.distributor.as_str(), member.pv, member.achieved.as_ref());
                }
            } else if let Some((period, _)) = closed.next() {
                let key = CloseKey { plan: basis.plan.id.clone(), period };
                store.period_members(&key, |id, pv, rank| take(id, pv, rank.as_ref())).await?;
            }
            if back < look_back {
                self.earlier_pv.push(pv);
            }
        }
        Ok(())
    }

    /// What the close before paid and carried on.
    async fn money(
        &mut self,
        store: &Postgres,
        basis: &Basis,
        tree: &Genealogy,
        earlier: &[Prepared],
    ) -> Result<(), ClosingError> {
        let Some(previous) = &basis.previous else { return Ok(()) };
        let key = CloseKey { plan: basis.plan.id.clone(), period: previous.clone() };
        let ((paid, carried), below) = if let Some(close) = earlier.last() {
            (close.money(), close.carries())
        } else {
            (store.period_money(&key).await?, store.period_carries(&key).await?)
        };
        self.paid = by_member(paid, tree);
        let below = below.into_iter().filter_map(|CarryRecord { distributor, pv, qv, cv }| {
            Some(BelowZero { member: number(tree, distributor.as_str())?, pv, qv, cv })
        });
        self.below_zero = below.collect();
        let carry = |(component, amount)| Carried { component, amount };
        self.carried = carried.into_iter().map(carry).collect();
        Ok(())
    }

    /// What members brought along from an earlier system: the highest rank, for the first close, and the ranks
    /// whose bonus was paid there, for every one.
    async fn brought(
        &mut self,
        store: &Postgres,
        basis: &Basis,
        plan: &Plan,
        tree: &Genealogy,
    ) -> Result<(), ClosingError> {
        let Some(version) = basis.ranks else { return Ok(()) };
        let bonuses = plan.components.iter().filter_map(|component| {
            let Component::Close(CloseComponent::RankBonus(bonus)) = component else { return None };
            Some(&bonus.id)
        });
        let components: Vec<&ComponentId> = bonuses.collect();
        let level = |name: &str| plan.ranks.level(&RankId::parse(name).ok()?);
        let first = basis.previous.is_none();
        let take = |id: &str, highest: Option<&str>, bonuses: Option<&str>| {
            let Some(member) = number(tree, id) else { return };
            let known = usize::try_from(member).ok().and_then(|at| self.achieved.get_mut(at));
            if let (Some(known), Some(highest), true) = (known, highest.and_then(level), first) {
                *known = highest;
            }
            for rank in bonuses.into_iter().flat_map(|names| names.split(',')).filter_map(level) {
                let of = |component: &&ComponentId| (*component).clone();
                let paid = components.iter().map(of);
                let paid = paid.map(|component| PaidRank { component, member, rank });
                self.paid_ranks.extend(paid);
            }
        };
        Ok(store.brought_titles(&basis.plan.id, version.seq, take).await?)
    }
}

/// The number of a distributor in the tree.
fn number(tree: &Genealogy, id: &str) -> Option<u32> {
    tree.find(&DistributorId::parse(id).ok()?).map(Member::number)
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
