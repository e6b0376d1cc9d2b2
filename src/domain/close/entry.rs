//! A close as transfers of money: what is posted when it is committed.
//!
//! Invariant: the entries of a component add up to its pool, less what of it is posted elsewhere; none is
//! nothing, and the same close gives the same entries with the same identities in the same order. What
//! orders earned is posted with the orders: of such a component a close posts only what caps take.

use std::fmt;

use super::{Close, Population, Unpaid};
use crate::domain::{
    digest::Digest,
    id::{ComponentId, DistributorId},
    ledger::{EXPENSE, EventId},
    money::{Currency, Money},
    plan::period::PeriodId,
};

/// Which close: of which plan and period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseKey {
    /// The plan's id.
    pub plan: Box<str>,
    /// The period.
    pub period: PeriodId,
}

impl fmt::Display for CloseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "close/{}/{}", self.plan, self.period)
    }
}

/// Where the money of a component goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beneficiary {
    /// To a distributor.
    Distributor(DistributorId),
    /// Nobody qualified: the company keeps it.
    Breakage(Unpaid),
    /// A cap took it: the company keeps it.
    Capped(ComponentId),
    /// Into the next period.
    Carried,
}

impl Beneficiary {
    /// Why it is nobody's, if it is: the lower-case name of the reason.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Breakage(reason) => Some(reason.as_str()),
            Self::Distributor(_) | Self::Capped(_) | Self::Carried => None,
        }
    }
}

impl fmt::Display for Beneficiary {
    /// The account in the ledger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distributor(id) => write!(f, "distributor:{id}"),
            Self::Breakage(_) => f.write_str("breakage"),
            Self::Capped(cap) => write!(f, "capped:{cap}"),
            Self::Carried => f.write_str("carried"),
        }
    }
}

/// One transfer between the commission expense and an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseEntry {
    /// Its identity: a hash of plan, period, component, account, reason and currency, and of the period
    /// that it corrects.
    pub event_id: EventId,
    /// The component of the plan.
    pub component: ComponentId,
    /// Who gets it.
    pub to: Beneficiary,
    /// How much, after the caps; not zero. Below zero the transfer goes the other way: more was taken
    /// back than earned.
    pub amount: Money,
    /// The closed period that it corrects, if it does.
    pub corrects: Option<PeriodId>,
}

impl CloseEntry {
    pub(super) fn new(
        key: &CloseKey,
        currency: Currency,
        component: &ComponentId,
        (to, amount): (Beneficiary, Money),
        corrects: Option<PeriodId>,
    ) -> Self {
        let (close, account) = (key.to_string(), to.to_string());
        let fields = [
            close.as_bytes(),
            component.as_str().as_bytes(),
            account.as_bytes(),
            to.reason().unwrap_or_default().as_bytes(),
            currency.as_str().as_bytes(),
        ];
        let corrected = corrects.as_ref().map(|period| period.as_str().as_bytes());
        let event_id =
            EventId::from_digest(&Digest::of_fields(fields.into_iter().chain(corrected)));
        Self { event_id, component: component.clone(), to, amount, corrects }
    }

    /// The transfer as it is posted, with an amount above zero: debit, credit, amount.
    pub fn posted(&self) -> (String, String, Money) {
        let (expense, account) = (EXPENSE.to_owned(), self.to.to_string());
        if self.amount.is_negative() {
            (account, expense, -self.amount)
        } else {
            (expense, account, self.amount)
        }
    }

    /// The leaf of the entry in its block's Merkle tree: everything that the entry says.
    pub fn leaf(&self, key: &CloseKey, currency: Currency) -> Digest {
        let (debit, credit, amount) = self.posted();
        let corrected = self.corrects.as_ref().map(|period| period.as_str().as_bytes());
        let (close, sum) = (key.to_string(), amount.to_string());
        let fields = [
            b"close".as_slice(),
            self.event_id.as_bytes().as_slice(),
            close.as_bytes(),
            self.component.as_str().as_bytes(),
            debit.as_bytes(),
            credit.as_bytes(),
            self.to.reason().unwrap_or_default().as_bytes(),
            sum.as_bytes(),
            currency.as_str().as_bytes(),
        ];
        Digest::of_fields(fields.into_iter().chain(corrected))
    }
}

impl Close {
    /// The entries: by component in the order of the plan; in each the members by number, then
    /// breakage by reason, caps, and what is carried on. `name` knows the members; somebody whom it
    /// does not know has no account, so it must know all.
    pub fn entries<'a>(
        &'a self,
        key: &'a CloseKey,
        currency: Currency,
        population: &'a Population,
        name: impl Fn(u32) -> Option<DistributorId> + Copy + 'a,
    ) -> impl Iterator<Item = CloseEntry> + 'a {
        self.components().iter().flat_map(move |component| {
            let members = population.positions().filter_map(move |member| {
                let amount = component.posted_to(population.position(member)?);
                let amount = Some(amount).filter(|amount| !amount.is_zero())?;
                Some((Beneficiary::Distributor(name(member)?), amount))
            });
            let totals = &component.totals;
            let broken = totals.breakage.iter();
            let broken = broken.map(|(reason, amount)| (Beneficiary::Breakage(*reason), *amount));
            let capped = totals.capped.iter();
            let capped = capped.map(|(cap, amount)| (Beneficiary::Capped(cap.clone()), *amount));
            let carried = std::iter::once((Beneficiary::Carried, totals.carried));
            let all = members.chain(broken).chain(capped).chain(carried);
            all.filter(|(_, amount)| !amount.is_zero())
                .map(move |part| CloseEntry::new(key, currency, &component.id, part, None))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        close::{ClosePlan, evaluate, random},
        money::Rounding,
    };

    fn name(member: u32) -> Option<DistributorId> {
        DistributorId::parse(&format!("D{member}")).ok()
    }

    proptest! {
        #[test]
        fn the_entries_of_a_component_are_its_pool_less_what_is_posted_elsewhere((columns, parts, inputs) in random::worlds()) {
            let eur = Currency::parse("EUR").unwrap();
            let plan = ClosePlan::new(parts, Rounding::HalfUp, eur).unwrap();
            let population = Population::new(&columns).unwrap();
            let close = evaluate(&plan, &population, &inputs).unwrap();
            let key = CloseKey { plan: "p".into(), period: PeriodId::parse("2026-02").unwrap() };
            let entries: Vec<CloseEntry> = close.entries(&key, eur, &population, name).collect();
            let mut sums: BTreeMap<&ComponentId, Money> = BTreeMap::new();
            let mut ids = BTreeSet::new();
            for entry in &entries {
                prop_assert!(!entry.amount.is_zero(), "{entry:?}");
                prop_assert!(ids.insert(entry.event_id), "two entries of one identity: {entry:?}");
                *sums.entry(&entry.component).or_default() += entry.amount;
            }
            for component in close.components() {
                let sum = sums.get(&component.id).copied().unwrap_or_default();
                let given = inputs.given.iter().find(|given| given.component == component.id);
                let elsewhere: Money = match given.map(|given| (given, &given.unearned)) {
                    Some((given, None)) => given.earned.iter().copied().sum(),
                    Some((_, Some(unearned))) => {
                        unearned.corrected.iter().map(|(_, amount)| *amount).sum()
                    }
                    None => Money::ZERO,
                };
                prop_assert_eq!(sum, component.totals.pool - elsewhere, "{}", component.id);
            }
            let again: Vec<CloseEntry> = close.entries(&key, eur, &population, name).collect();
            prop_assert_eq!(entries, again);
        }
    }

    #[test]
    fn what_orders_earned_is_not_posted_again_but_what_a_cap_takes_of_it_is() {
        let eur = Currency::parse("EUR").unwrap();
        let text = r#"
            component = [{ kind = "given", id = "direct" }]
            cap = [{ id = "company", after = "direct", counts = ["direct"], limit = { per = "distributor", amount = "30", by_rank = [], rank = "paid_as" } }]
            [volumes]
            pv = "qv"
            group = "pv"
            retail_orders = "referrer"
            negative_volume = "carry"
            conversion = "1"
            qv = { source = "net", rate = "100 %" }
            cv = { source = "net", rate = "100 %" }
            [activity]
            pv = "0"
            look_back = 1
            window = "sum"
            active_leg = "frontline"
            [ladder]
            reach = "each_step"
            leg_rank = "paid_as"
        "#;
        let plan = ClosePlan::new(toml::from_str(text).unwrap(), Rounding::HalfEven, eur).unwrap();
        let none = vec![crate::domain::volume::Volume::ZERO; 2];
        let columns = crate::domain::close::Columns {
            sponsor: vec![u32::MAX, 0],
            status: vec![crate::domain::genealogy::DistributorStatus::Active; 2],
            pv: none.clone(),
            qv: none.clone(),
            cv: none.clone(),
            accumulated: none,
            earlier_pv: Vec::new(),
            ordered: vec![false; 2],
            achieved: vec![crate::domain::plan::rank::RankLevel(0); 2],
        };
        let population = Population::new(&columns).unwrap();
        let euros = |amount: &str| Money::parse(amount).unwrap();
        let key = CloseKey { plan: "p".into(), period: PeriodId::parse("2026-02").unwrap() };
        let posted = |unearned: Option<crate::domain::close::Unearned>| -> Vec<String> {
            let given = crate::domain::close::GivenEarnings {
                component: ComponentId::parse("direct").unwrap(),
                earned: vec![euros("40"), euros("20")],
                unearned,
            };
            let inputs = crate::domain::close::Inputs { given: vec![given], ..Default::default() };
            let close = evaluate(&plan, &population, &inputs).unwrap();
            let entries = close.entries(&key, eur, &population, name);
            entries.map(|entry| format!("{} {}", entry.to, entry.amount)).collect()
        };
        assert_eq!(posted(None), ["distributor:D0 -10.00", "capped:company 10.00"]);
        let unearned = crate::domain::close::Unearned {
            breakage: BTreeMap::from([(Unpaid::NoneEnrolledLeft, euros("7"))]),
            capped: euros("5"),
            corrected: vec![(1, euros("-2"))],
        };
        // D1 earned 22 in the period, and 2 less in an earlier one.
        assert_eq!(
            posted(Some(unearned)),
            [
                "distributor:D0 30.00",
                "distributor:D1 22.00",
                "breakage 7.00",
                "capped:company 10.00",
                "capped:direct 5.00",
            ]
        );
    }
}
