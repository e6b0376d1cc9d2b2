//! What the shape of the file cannot say about the parts of a close: names that exist, tables that
//! ascend, an order of evaluation without a circle.

use std::collections::BTreeMap;

use super::{Cap, CloseComponent, CloseParts, Limit, RankAmount, RateRow, Unlock};
use crate::domain::{
    id::{ComponentId, RankId},
    money::{Currency, Money},
    plan::{
        MAX_LEVELS,
        close::{Breaks, PoolSize},
        rank::{self, Ladder, RankLevel},
    },
};

/// Why the parts of a plan that a close uses do not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ClosePlanError {
    /// A rank is named that the plan does not have.
    #[error("the plan has no rank {0}, add it under `[[rank]]`")]
    UnknownRank(RankId),
    /// Two ranks have one name.
    #[error("two ranks are called {0}")]
    RepeatedRank(RankId),
    /// A rank asks for PGV and nothing says where an own group ends.
    #[error("rank {0} asks for PGV: name the rank that ends a group, `leader` in `[ladder]`")]
    NoLeader(RankId),
    /// A rank has a leg cap and asks for no group volume.
    #[error("rank {0} has a `leg_cap` without a `gv` that it is a share of")]
    CapOfNothing(RankId),
    /// A requirement of legs asks for nothing.
    #[error("rank {0}: an entry of `legs` needs a `count` above 0, and `gv`, `rank` or both")]
    EmptyLegs(RankId),
    /// A list is longer than the engine takes.
    #[error("{found} {what}, at most {max} are allowed")]
    TooMany { what: &'static str, found: usize, max: usize },
    /// Two components or caps have one id.
    #[error("two components or caps are called {0}")]
    Repeated(ComponentId),
    /// A component is named that does not stand before the one that names it.
    #[error("{by} names {named}, which must be a component that stands before it")]
    NotBefore { by: ComponentId, named: ComponentId },
    /// A cap is placed after something that is no component.
    #[error("cap {cap}: `after` names {named}, which is no component")]
    CapAfter { cap: ComponentId, named: ComponentId },
    /// Deeper generations of an override without a rate.
    #[error(
        "component {0}: `deeper` has no rates: give one for each generation above the first, or drop it"
    )]
    NoGenerations(ComponentId),
    /// A table does not ascend, has no entry or pays nothing.
    #[error("component {component}: `{table}` needs entries in ascending order that pay something")]
    Table { component: ComponentId, table: &'static str },
    /// A breakaway names something that lets no leg break away.
    #[error(
        "component {component}: `bracket` must name a bracket with `breakaway = \"top_bracket\"`"
    )]
    NotABracket { component: ComponentId },
    /// The look-back of the activity has no period.
    #[error("`look_back` in `[activity]` is 0: 1 is the period that is closed alone")]
    LookBack,
    /// An amount that is paid or a limit is finer than what can be paid.
    #[error(
        "component {component}: {amount} is finer than the minor unit of {currency}: give it at most {digits} decimal places",
        digits = currency.minor_digits()
    )]
    TooFine { component: ComponentId, amount: Money, currency: Currency },
    /// An amount that is paid or a limit is negative, or above what a close can add up.
    #[error("component {component}: an amount must not be negative")]
    Negative { component: ComponentId },
}

type Checked = Result<(), ClosePlanError>;

/// The most components or caps of a plan.
const MAX_PARTS: usize = 200;

impl CloseParts {
    /// Checks that the parts hold together and gives the ladder of the ranks.
    pub fn check(&self) -> Result<Ladder, ClosePlanError> {
        let ladder = rank::ladder(&self.ranks, &self.ladder)?;
        if self.activity.look_back == 0 {
            return Err(ClosePlanError::LookBack);
        }
        for (what, found) in [("components", self.components.len()), ("caps", self.caps.len())] {
            if found > MAX_PARTS {
                return Err(ClosePlanError::TooMany { what, found, max: MAX_PARTS });
            }
        }
        let mut before = BTreeMap::new();
        for (index, component) in self.components.iter().enumerate() {
            Check { ladder: &ladder, before: &before, id: component.id() }.component(component)?;
            if before.insert(component.id(), (index, component)).is_some() {
                return Err(ClosePlanError::Repeated(component.id().clone()));
            }
        }
        for (index, cap) in self.caps.iter().enumerate() {
            let twice = self.caps.iter().take(index).any(|other| other.id == cap.id);
            if twice || before.contains_key(&cap.id) {
                return Err(ClosePlanError::Repeated(cap.id.clone()));
            }
            let Some((after, _)) = before.get(&cap.after) else {
                let (cap, named) = (cap.id.clone(), cap.after.clone());
                return Err(ClosePlanError::CapAfter { cap, named });
            };
            let known = before.iter().filter(|(_, (place, _))| place <= after);
            let known = known.map(|(id, found)| (*id, *found)).collect();
            let check = Check { ladder: &ladder, before: &known, id: &cap.id };
            check.named(&cap.counts, "counts")?;
            if let Limit::Distributor { amount, by_rank, .. } = &cap.limit {
                check.amounts(
                    by_rank.iter().map(|row| (&row.from, row.amount)),
                    "by_rank",
                    true,
                )?;
                check.payable(!amount.is_negative())?;
            }
        }
        Ok(ladder)
    }
}

impl CloseParts {
    /// Checks that the close can pay every amount to the minor unit of its currency.
    pub fn check_amounts(&self, currency: Currency) -> Result<(), ClosePlanError> {
        let of_component = |component: &CloseComponent| match component {
            CloseComponent::RankBonus(bonus) => amounts_of(&bonus.amounts),
            CloseComponent::Pool(pool) => match pool.size {
                PoolSize::Fixed { amount } => vec![amount],
                PoolSize::ShareOfCv { .. } => Vec::new(),
            },
            CloseComponent::Given(_)
            | CloseComponent::UnilevelVolume(_)
            | CloseComponent::Bracket(_)
            | CloseComponent::Breakaway(_)
            | CloseComponent::Matching(_) => Vec::new(),
        };
        let of_cap = |cap: &Cap| match &cap.limit {
            Limit::Distributor { amount, by_rank, .. } => {
                let mut amounts = amounts_of(by_rank);
                amounts.push(*amount);
                amounts
            }
            Limit::Company { .. } => Vec::new(),
        };
        let components = self.components.iter().map(|part| (part.id(), of_component(part)));
        let caps = self.caps.iter().map(|cap| (&cap.id, of_cap(cap)));
        for (id, amounts) in components.chain(caps) {
            if let Some(amount) = amounts.into_iter().find(|amount| !amount.is_whole_in(currency)) {
                return Err(ClosePlanError::TooFine { component: id.clone(), amount, currency });
            }
        }
        Ok(())
    }
}

fn amounts_of(rows: &[RankAmount]) -> Vec<Money> {
    rows.iter().map(|row| row.amount).collect()
}

struct Check<'a> {
    ladder: &'a Ladder,
    before: &'a BTreeMap<&'a ComponentId, (usize, &'a CloseComponent)>,
    id: &'a ComponentId,
}

impl Check<'_> {
    fn component(&self, component: &CloseComponent) -> Checked {
        match component {
            CloseComponent::Given(_) => Ok(()),
            CloseComponent::UnilevelVolume(unilevel) => {
                self.unlock(&unilevel.unlock)?;
                self.rates(&unilevel.rates)
            }
            CloseComponent::Bracket(bracket) => {
                let pairs = bracket.table.iter().zip(bracket.table.iter().skip(1));
                let rises = pairs.into_iter().all(|(a, b)| a.from < b.from && a.rate <= b.rate);
                let starts = bracket.table.first().is_some_and(|step| step.from.is_positive());
                self.table(rises && starts, "table")
            }
            CloseComponent::Breakaway(breakaway) => {
                let deeper = breakaway.deeper.as_ref().map(|deeper| deeper.rates.len());
                if let Some(found) = deeper.filter(|found| *found >= MAX_LEVELS) {
                    let what = "generations";
                    return Err(ClosePlanError::TooMany { what, found, max: MAX_LEVELS });
                }
                if deeper == Some(0) {
                    return Err(ClosePlanError::NoGenerations(self.id.clone()));
                }
                self.named(std::slice::from_ref(&breakaway.bracket), "bracket")?;
                match self.before.get(&breakaway.bracket) {
                    Some((_, CloseComponent::Bracket(b))) if b.breakaway == Breaks::TopBracket => {
                        Ok(())
                    }
                    _ => Err(ClosePlanError::NotABracket { component: self.id.clone() }),
                }
            }
            CloseComponent::Matching(matching) => {
                self.named(&matching.on, "on")?;
                self.rates(&matching.rates)
            }
            CloseComponent::RankBonus(bonus) => {
                let amounts = bonus.amounts.iter().map(|row| (&row.from, row.amount));
                self.amounts(amounts, "amounts", false)
            }
            CloseComponent::Pool(pool) => {
                if let PoolSize::Fixed { amount } = pool.size {
                    self.payable(!amount.is_negative())?;
                }
                self.table(pool.shares.iter().all(|row| row.shares > 0), "shares")?;
                self.ascending(pool.shares.iter().map(|row| Some(&row.from)), "shares", false)
            }
        }
    }

    fn table(&self, holds: bool, table: &'static str) -> Checked {
        let refused = || ClosePlanError::Table { component: self.id.clone(), table };
        if holds { Ok(()) } else { Err(refused()) }
    }

    fn payable(&self, holds: bool) -> Checked {
        let refused = || ClosePlanError::Negative { component: self.id.clone() };
        if holds { Ok(()) } else { Err(refused()) }
    }

    /// Names of components that stand before, each once, at least one.
    fn named(&self, names: &[ComponentId], table: &'static str) -> Checked {
        self.table(!names.is_empty(), table)?;
        for (index, wanted) in names.iter().enumerate() {
            if !self.before.contains_key(wanted) {
                let by = self.id.clone();
                return Err(ClosePlanError::NotBefore { by, named: wanted.clone() });
            }
            if names.iter().take(index).any(|other| other == wanted) {
                return Err(ClosePlanError::Repeated(wanted.clone()));
            }
        }
        Ok(())
    }

    fn ascending<'r>(
        &self,
        rows: impl Iterator<Item = Option<&'r RankId>>,
        table: &'static str,
        empty: bool,
    ) -> Checked {
        let mut last = None;
        for row in rows {
            let level = match row {
                None => RankLevel(0),
                Some(rank) => match self.ladder.level(rank) {
                    Some(level) => level,
                    None => return Err(ClosePlanError::UnknownRank(rank.clone())),
                },
            };
            self.table(last.is_none_or(|last| last < level), table)?;
            last = Some(level);
        }
        self.table(empty || last.is_some(), table)
    }

    fn amounts<'r>(
        &self,
        rows: impl Iterator<Item = (&'r RankId, Money)> + Clone,
        table: &'static str,
        empty: bool,
    ) -> Checked {
        self.payable(rows.clone().all(|(_, amount)| !amount.is_negative()))?;
        self.ascending(rows.map(|(rank, _)| Some(rank)), table, empty)
    }

    fn rates(&self, rows: &[RateRow]) -> Checked {
        let longest = rows.iter().map(|row| row.rates.len()).max().unwrap_or_default();
        if longest > MAX_LEVELS {
            let what = "levels";
            return Err(ClosePlanError::TooMany { what, found: longest, max: MAX_LEVELS });
        }
        self.table(rows.iter().all(|row| !row.rates.is_empty()), "rates")?;
        self.ascending(rows.iter().map(|row| row.from.as_ref()), "rates", false)
    }

    fn unlock(&self, tiers: &[Unlock]) -> Checked {
        let mut pairs = tiers.iter().zip(tiers.iter().skip(1));
        let rises = pairs.all(|(a, b)| a.active_legs < b.active_legs && a.levels < b.levels);
        self.table(rises && tiers.iter().all(|tier| tier.levels > 0), "unlock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &str = r#"
        volumes.qv = { source = "net", rate = "1" }
        volumes.cv = { source = "net", rate = "1" }
        volumes.pv = "qv"
        volumes.group = "pv"
        volumes.retail_orders = "nobody"
        volumes.conversion = "1"
        volumes.negative_volume = "carry"
        activity = { pv = "1", look_back = 1, window = "sum", active_leg = "anyone" }
        ladder = { reach = "each_step", leg_rank = "paid_as" }
        rank = [{ id = "silver", active = true }, { id = "gold", active = true, pv = "10" }]
        [[component]]
        kind = "bracket"
        id = "performance"
        picks = "pv"
        breakaway = "top_bracket"
        inactive = "pass_up"
        table = [{ from = "100", rate = "3 %" }, { from = "200", rate = "6 %" }]
        [[component]]
        kind = "breakaway"
        id = "leadership"
        bracket = "performance"
        rate = "4 %"
        own_group = "200"
        unqualified = "breakage"
        guarantee = { kind = "none" }
        [[component]]
        kind = "matching"
        id = "matching"
        on = ["performance"]
        rank = "achieved"
        compression = "dynamic"
        negative_earnings = "ignore"
        rates = [{ from = "silver", rates = ["1 %"] }, { from = "gold", rates = ["2 %"] }]
        [[cap]]
        id = "own"
        after = "leadership"
        counts = ["performance", "leadership"]
        limit = { per = "distributor", amount = "100", rank = "paid_as" }
    "#;

    fn refused(from: &str, to: &str) -> String {
        assert!(PARTS.contains(from), "{from}");
        let parts: CloseParts = toml::from_str(&PARTS.replacen(from, to, 1)).unwrap();
        parts.check().unwrap_err().to_string()
    }

    #[test]
    fn parts_that_do_not_hold_together_are_refused_by_name() {
        let parts: CloseParts = toml::from_str(PARTS).unwrap();
        assert_eq!(parts.check().unwrap().len(), 2);
        let later = "leadership names matching, which must be a component that stands before it";
        assert_eq!(refused("bracket = \"performance\"", "bracket = \"matching\""), later);
        let cap = refused("counts = [\"performance\"", "counts = [\"matching\"");
        assert!(cap.starts_with("own names matching"), "{cap}");
        assert!(
            refused("after = \"leadership\"", "after = \"x\"").contains("which is no component")
        );
        let none = refused(
            "kind = \"none\" }",
            "kind = \"none\" }\ndeeper = { rates = [], leader = \"qualified\" }",
        );
        assert!(none.contains("`deeper` has no rates"), "{none}");
        assert!(refused("top_bracket", "never").contains("breakaway = \"top_bracket\""));
        assert!(refused("id = \"matching\"", "id = \"leadership\"").contains("called leadership"));
        assert!(refused("id = \"own\"", "id = \"matching\"").contains("called matching"));
        assert!(
            refused("from = \"200\"", "from = \"100\"").contains("`table`"),
            "two of one start"
        );
        assert!(refused("\"6 %\"", "\"2 %\"").contains("`table`"), "a rate that falls");
        assert!(refused("from = \"gold\"", "from = \"silver\"").contains("`rates`"));
        assert!(refused("from = \"gold\"", "from = \"crown\"").contains("no rank crown"));
        assert!(refused("on = [\"performance\"]", "on = []").contains("`on`"));
        assert!(refused("amount = \"100\"", "amount = \"-1\"").contains("negative"));
    }

    #[test]
    fn an_amount_finer_than_the_minor_unit_is_refused() {
        let bonus = "[[component]]\nkind = \"rank_bonus\"\nid = \"bonus\"\npays = \"once\"\n\
            passed = \"all\"\nrank = \"paid_as\"\namounts = [{ from = \"gold\", amount = \"AMOUNT\" }]\n";
        let pool = "[[component]]\nkind = \"pool\"\nid = \"pool\"\nrank = \"paid_as\"\n\
            nobody = \"carry\"\nshares = [{ from = \"gold\", shares = 1 }]\n\
            size = { kind = \"fixed\", amount = \"AMOUNT\" }\n";
        let own = PARTS.replace("amount = \"100\"", "amount = \"AMOUNT\"");
        let by_rank = PARTS.replace(
            "amount = \"100\"",
            "amount = \"1\", by_rank = [{ from = \"gold\", amount = \"AMOUNT\" }]",
        );
        for text in [format!("{PARTS}{bonus}"), format!("{PARTS}{pool}"), own, by_rank] {
            let fits = |amount: &str, code: &str| {
                let parts: CloseParts = toml::from_str(&text.replace("AMOUNT", amount)).unwrap();
                parts.check().unwrap();
                parts.check_amounts(Currency::parse(code).unwrap()).map_err(|e| e.to_string())
            };
            for (amount, code) in [("100", "JPY"), ("100.50", "EUR"), ("100.125", "KWD")] {
                assert_eq!(fits(amount, code), Ok(()));
            }
            for (amount, code) in [("1000.50", "JPY"), ("0.125", "EUR"), ("0.0005", "KWD")] {
                let error = fits(amount, code).unwrap_err();
                assert!(error.contains("finer than the minor unit"), "{error}");
            }
        }
    }

    #[test]
    fn a_field_of_two_readings_has_no_default() {
        for line in [
            "inactive = \"pass_up\"",
            "unqualified = \"breakage\"",
            "compression = \"dynamic\"",
            "negative_earnings = \"ignore\"",
        ] {
            let error = toml::from_str::<CloseParts>(&PARTS.replacen(line, "", 1)).unwrap_err();
            let field = line.split(' ').next().unwrap();
            assert!(error.to_string().contains(&format!("missing field `{field}`")), "{error}");
        }
    }
}
