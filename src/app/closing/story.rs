//! A period from one distributor's side: of an open one as the books are now, of a closed one computed
//! again from its basis and held against its block.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{
    ClosingError, Prepared, Watch, again, asked, key_of, preview,
    told::{
        AssumedTold, ClosedBy, ComponentTold, CorrectedTold, CutTold, ForcedTold, LineTold,
        LockedLevel, Missing, OrderTold, OrdersTold, OwnEntry, OwnVolumes, PeriodStory, RankTold,
        SourceTold, To, WithheldTold,
    },
    traced::{PlacedStories, trace},
};
use crate::{
    domain::{
        close::{
            Base, Basis, CloseKey, ComponentStory, Earning, Instead, LevelSource, MemberStory,
            Shortfall, Title, Unpaid, Withheld, correct::Whose,
        },
        genealogy::Member,
        id::{ComponentId, DistributorId, RankId},
        ledger::merkle_root,
        money::Money,
        plan::{
            Component, Plan, PlanBook,
            period::PeriodId,
            rank::RankLevel,
            volume::{LineVolumes, NegativeVolume},
        },
        volume::{Conversion, Volume},
    },
    stage::map::Company,
    store::postgres::{Closed, CompanyReader, Postgres},
};

/// Tells a period of a distributor. `largest` is how many of their entries of volume and of their orders are
/// told, the largest ones; none for all.
pub async fn story(
    store: &Postgres,
    distributor: &DistributorId,
    id: &PeriodId,
    now: Timestamp,
    largest: Option<usize>,
) -> Result<PeriodStory, ClosingError> {
    let mut company = Company::default();
    let reader = CompanyReader::new(store.clone());
    company.plans = reader.plans().await?;
    let mut watch = Watch { distributor: distributor.clone(), entries: Vec::new() };
    if let Some(closed) = store.close_of(&key_of(&company.plans, id, now)?).await? {
        let prepared = again(store, &company.plans, &closed.basis, Some(&mut watch)).await?;
        let plan = company.plans.get(&closed.basis.plan);
        let plan = plan.ok_or_else(|| ClosingError::NotClosed(id.clone()))?;
        let closed = closed_by(store, &prepared, closed).await?;
        let told = Told { store, plan, plans: &company.plans, prepared: &prepared, earlier: &[] };
        return told.story(watch, largest, Some(closed)).await;
    }
    reader.catch_up(&mut company).await?;
    let (earlier, prepared) = preview(store, &company, id, now, (0, Some(&mut watch))).await?;
    let (plan, _) = asked(&company.plans, id, now)?;
    let (plans, prepared, earlier) = (&company.plans, &prepared, earlier.as_slice());
    Told { store, plan, plans, prepared, earlier }.story(watch, largest, None).await
}

/// Whether a period that was computed again is what its block sealed.
async fn closed_by(
    store: &Postgres,
    prepared: &Prepared,
    closed: Closed,
) -> Result<ClosedBy, ClosingError> {
    let text = store.stored_close(&prepared.basis.key()).await?.map(|stored| stored.basis);
    let block = store.stored_block(closed.block).await?;
    let sealed = text.zip(block).is_some_and(|(text, block)| {
        let (members, carries) = (prepared.members(), prepared.carries());
        let (entries, placed) = (prepared.entries(), prepared.placed());
        let leaves = prepared.basis.leaves(&text, &members, &carries, &entries, placed);
        merkle_root(&leaves) == block.root
    });
    Ok(ClosedBy { by: closed.by, at: closed.at, block: closed.block, sealed })
}

/// What a story is told from.
struct Told<'a> {
    store: &'a Postgres,
    plan: &'a Plan,
    plans: &'a PlanBook,
    prepared: &'a Prepared,
    /// The open closes before it that it assumes.
    earlier: &'a [Prepared],
}

impl Told<'_> {
    async fn story(
        &self,
        watch: Watch,
        largest: Option<usize>,
        closed: Option<ClosedBy>,
    ) -> Result<PeriodStory, ClosingError> {
        let Prepared { basis, plan, population, close, tree, .. } = self.prepared;
        let Watch { distributor, entries } = watch;
        let member = tree.find(&distributor).map(Member::number);
        let found = member.and_then(|member| close.explain(plan, population, member));
        let Some(story) = found else {
            let period = basis.period.id.clone();
            return Err(ClosingError::NoMember { distributor, period });
        };
        let mut placed = PlacedStories::default();
        let mut corrected = Vec::new();
        if let Some(member) = member {
            placed =
                trace(self.store, &self.plan.components, (self.earlier, self.prepared), member)
                    .await?;
            corrected = self.corrected(member, &mut placed);
        }
        let of_period: Money = story.components.iter().map(|part| part.posted).sum();
        let of_closed: Money = corrected.iter().map(|part| part.amount).sum();
        Ok(PeriodStory {
            period: basis.period.clone(),
            plan: basis.plan.clone(),
            currency: basis.currency,
            rounding: self.plan.rounding,
            closed,
            basis: basis.clone(),
            paid: of_period + of_closed,
            corrected,
            assumes: self.prepared.assumes.iter().map(AssumedTold::of).collect(),
            brought: self.store.brought_by(basis, &distributor).await?,
            volumes: self.volumes(&distributor, &story, (entries, largest)).await?,
            look_back: self.look_back(story.activity.periods.len()).await?,
            rank: self.rank(&story),
            components: story
                .components
                .iter()
                .map(|part| self.component(&story, part, &mut placed))
                .collect(),
            orders: self.orders(&distributor, largest).await?,
            activity: story.activity,
            distributor,
        })
    }

    /// What corrects closed periods, by component and period.
    fn corrected(&self, member: u32, placed: &mut PlacedStories) -> Vec<CorrectedTold> {
        let mut sums: BTreeMap<(ComponentId, PeriodId), Money> = BTreeMap::new();
        let own = self.prepared.corrections.iter();
        for correction in own.filter(|correction| correction.whose == Whose::Member(member)) {
            let key = (correction.component.clone(), correction.corrects.clone());
            *sums.entry(key).or_default() += correction.amount;
        }
        let told = |((component, corrects), amount): ((ComponentId, PeriodId), Money)| {
            let orders = placed.took_back(&component, &corrects);
            CorrectedTold { component, corrects, amount, orders }
        };
        sums.into_iter().filter(|(_, amount)| !amount.is_zero()).map(told).collect()
    }

    /// The closed period that something placed before this one belongs to.
    async fn late_for(&self, placed_at: Timestamp) -> Result<Option<PeriodId>, ClosingError> {
        let basis = &self.prepared.basis;
        if placed_at >= basis.period.start {
            return Ok(None);
        }
        let mut open = self.prepared.assumes.iter();
        if let Some(period) = open.find(|period| period.contains(placed_at)) {
            return Ok(Some(period.id.clone()));
        }
        Ok(self.store.closed_at(&basis.plan.id, placed_at).await?)
    }

    async fn volumes(
        &self,
        distributor: &DistributorId,
        story: &MemberStory,
        (entries, largest): (Vec<(u64, Volume)>, Option<usize>),
    ) -> Result<OwnVolumes, ClosingError> {
        let basis = &self.prepared.basis;
        let mut carried_in = None;
        if let Some(previous) = &basis.previous {
            let key = CloseKey { plan: basis.plan.id.clone(), period: previous.clone() };
            let carries = match self.earlier.last() {
                Some(close) => close.carries(),
                None => self.store.period_carries(&key).await?,
            };
            let own = carries.into_iter().find(|carry| carry.distributor == *distributor);
            carried_in = own.map(|own| LineVolumes { pv: own.pv, qv: own.qv, cv: own.cv });
        }
        let below = story.below_zero;
        let below = below.map(|below| LineVolumes { pv: below.pv, qv: below.qv, cv: below.cv });
        let (seqs, more) = of_the_largest(entries, largest);
        let mut told = Vec::with_capacity(seqs.len());
        for entry in self.store.own_volumes(&seqs).await? {
            told.push(OwnEntry { late_for: self.late_for(entry.placed_at).await?, entry });
        }
        let volumes = self.plan.volumes.as_ref();
        Ok(OwnVolumes {
            counted: LineVolumes { pv: story.pv, qv: story.qv, cv: story.cv },
            carried_in,
            below_zero: below,
            negative_volume: volumes.map_or(NegativeVolume::Forgive, |v| v.negative_volume),
            entries: told,
            more,
        })
    }

    /// The ids of the periods that activity looks back at.
    async fn look_back(&self, periods: usize) -> Result<Vec<Option<PeriodId>>, ClosingError> {
        let Basis { period, plan, .. } = &self.prepared.basis;
        let limit = u8::try_from(periods).unwrap_or(u8::MAX);
        let closed = self.store.closed_before(&plan.id, period.start, limit).await?;
        let open = self.prepared.assumes.iter().rev().map(|open| open.id.clone());
        let own = std::iter::once(period.id.clone());
        let mut ids: Vec<Option<PeriodId>> = own
            .chain(open)
            .chain(closed.into_iter().map(|(id, _)| id))
            .take(periods)
            .map(Some)
            .collect();
        // Before the first close, by the calendar alone.
        let mut first = period.clone();
        for _ in 0..periods {
            let Some((_, before)) = self.plans.period_before(&plan.id, &first) else { break };
            let known = ids.iter().flatten().any(|id| *id == before.id);
            if !known && ids.len() < periods {
                ids.push(Some(before.id.clone()));
            }
            first = before;
        }
        ids.resize(periods, None);
        Ok(ids)
    }

    fn rank_name(&self, level: u32) -> Option<RankId> {
        let level = RankLevel(u8::try_from(level).ok()?);
        self.prepared.plan.ladder().rank(level).cloned()
    }

    fn rank(&self, story: &MemberStory) -> RankTold {
        let missing = story.missing.iter().map(|shortfall| {
            let leg_rank = match shortfall {
                Shortfall::Legs { rank: Some(rank), .. } => self.rank_name(u32::from(rank.0)),
                Shortfall::Legs { rank: None, .. }
                | Shortfall::Active
                | Shortfall::Pv { .. }
                | Shortfall::Qv { .. }
                | Shortfall::Gv { .. }
                | Shortfall::Pgv { .. }
                | Shortfall::Accumulated { .. }
                | Shortfall::ActiveLegs { .. }
                | Shortfall::EnrolledActive { .. } => None,
            };
            Missing { shortfall: *shortfall, leg_rank }
        });
        let forced = story.forced.iter().map(|forced| ForcedTold {
            rank: self.rank_name(u32::from(forced.rank.0)),
            hold: forced.hold,
            operator: forced.operator.clone(),
            reason: forced.reason.clone(),
        });
        RankTold {
            paid_as: story.paid_as.clone(),
            achieved: story.achieved.clone(),
            next: story.next.clone(),
            missing: missing.collect(),
            forced: forced.collect(),
            gv: story.gv,
            pgv: story.pgv,
            accumulated: story.accumulated,
            active_legs: story.active_legs,
        }
    }

    fn component(
        &self,
        story: &MemberStory,
        part: &ComponentStory,
        placed: &mut PlacedStories,
    ) -> ComponentTold {
        let Prepared { plan, population, close, .. } = self.prepared;
        let sources = close.level_sources(plan, population, &part.component, story.member);
        let kind = self.plan.components.iter().find(|known| *known.id() == part.component);
        let kind = kind.map_or("given", Component::kind);
        let lines = part.lines.iter().map(|line| self.line(line, part.conversion, &sources));
        let withheld = part.withheld.iter().map(|withheld| self.withheld(withheld, kind));
        let binary = placed.binaries.remove(&part.component);
        let matrix = placed.matrices.remove(&part.component);
        // A placed component comes in as given: why it gave nothing, its positions know.
        let unpaid = part.unpaid.map(|unpaid| match (&binary, &matrix) {
            (Some(told), _) if unpaid == Unpaid::NothingGiven => told.unpaid(),
            (_, Some(told)) if unpaid == Unpaid::NothingGiven => told.unpaid(),
            _ => unpaid,
        });
        let cuts = part.cuts.iter();
        let locked = part.closed.iter();
        ComponentTold {
            component: part.component.clone(),
            kind,
            conversion: part.conversion,
            paid: part.paid,
            posted: part.posted,
            unpaid,
            lines: lines.collect(),
            cuts: cuts.map(|(cap, amount)| CutTold { cap: cap.clone(), amount: *amount }).collect(),
            withheld: withheld.collect(),
            locked: locked
                .map(|(level, reason)| LockedLevel { level: *level, reason: *reason })
                .collect(),
            bracket: part.bracket,
            pool: part.pool,
            binary,
            matrix,
            totals: part.totals.clone(),
        }
    }

    fn name(&self, member: u32) -> Option<DistributorId> {
        self.prepared.tree.by_number(member)
    }

    fn line(
        &self,
        line: &Earning,
        conversion: Option<Conversion>,
        sources: &[LevelSource],
    ) -> LineTold {
        let of_rank = line.title == Title::Rank;
        let sources = sources.iter().filter(|source| source.level == line.level);
        let mut sources: Vec<SourceTold> = sources
            .filter_map(|source| {
                Some(SourceTold { distributor: self.name(source.member)?, volume: source.volume })
            })
            .collect();
        sources.sort_by_key(|source| Reverse(source.volume));
        LineTold {
            from: line.source.and_then(|source| self.name(source)),
            sources,
            title: line.title,
            level: if of_rank { 0 } else { line.level },
            rank: of_rank.then(|| self.rank_name(line.level)).flatten(),
            base: line.base,
            rate: line.rate,
            exact: exact(line, conversion),
            amount: line.amount,
        }
    }

    fn withheld(&self, withheld: &Withheld, kind: &str) -> WithheldTold {
        let of_rank = kind == "rank_bonus";
        let to = match withheld.to {
            Instead::Company => To::Company,
            Instead::Member(member) => self.name(member).map_or(To::Nobody, To::Distributor),
            Instead::Rose(member) => self.name(member).map_or(To::Nobody, To::Rose),
            Instead::Nobody => To::Nobody,
            Instead::Earlier => To::Earlier,
            Instead::Later => To::Later,
        };
        WithheldTold {
            from: withheld.source.and_then(|source| self.name(source)),
            level: if of_rank { 0 } else { withheld.level },
            rank: of_rank.then(|| self.rank_name(withheld.level)).flatten(),
            reason: withheld.reason,
            base: withheld.base,
            amount: withheld.amount,
            to,
        }
    }

    async fn orders(
        &self,
        distributor: &DistributorId,
        largest: Option<usize>,
    ) -> Result<Vec<OrdersTold>, ClosingError> {
        let mut told: Vec<OrdersTold> = Vec::new();
        let basis = &self.prepared.basis;
        for earning in self.store.own_earnings(basis, distributor, largest).await? {
            let (all, orders) = (earning.all, earning.orders);
            let order = OrderTold {
                late_for: self.late_for(earning.placed_at).await?,
                order: earning.order,
                placed_at: earning.placed_at,
                amount: earning.amount,
            };
            // They come sorted by component and currency.
            match told.last_mut() {
                Some(last)
                    if last.component == earning.component && last.currency == earning.currency =>
                {
                    last.orders.push(order);
                }
                _ => told.push(OrdersTold {
                    component: earning.component,
                    currency: earning.currency,
                    earned: all,
                    orders: vec![order],
                    more: orders,
                }),
            }
        }
        for part in &mut told {
            part.more = part.more.saturating_sub(u64::try_from(part.orders.len()).unwrap_or(0));
        }
        Ok(told)
    }
}

/// The numbers of the entries that are told, the largest of them where not all are, and how many are not.
fn of_the_largest(mut entries: Vec<(u64, Volume)>, largest: Option<usize>) -> (Vec<u64>, u64) {
    let told = largest.unwrap_or(usize::MAX).min(entries.len());
    let more = u64::try_from(entries.len().saturating_sub(told)).unwrap_or(u64::MAX);
    if more > 0 {
        entries.sort_unstable_by_key(|(seq, size)| (Reverse(*size), *seq));
        entries.truncate(told);
    }
    (entries.into_iter().map(|(seq, _)| seq).collect(), more)
}

/// The amount of a line before it was rounded; none where it is no rate of its base.
fn exact(line: &Earning, conversion: Option<Conversion>) -> Option<Decimal> {
    if line.title != Title::Share {
        return None;
    }
    let base = match line.base {
        Base::Money(money) => money.as_decimal(),
        Base::Volume(volume) => {
            volume.at_least_zero().as_decimal().checked_mul(conversion?.as_decimal())?
        }
    };
    Some(base.checked_mul(line.rate.as_decimal())?.normalize())
}
