//! Where an earning of an order comes from: the law asks how much is earned on sales to people outside.

use serde::{Deserialize, Serialize};

use super::{Account, Attribution, CommissionLine};

/// Where an earning comes from, seen from whoever earns. Every commission line names the order line that it
/// is earned on, so there is no earning without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarningSource {
    /// A retail customer whom the earner referred bought.
    RetailCustomer,
    /// The earner bought.
    OwnUse,
    /// A distributor below the earner bought, or referred the customer who did.
    Downline,
}

impl EarningSource {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetailCustomer => "retail_customer",
            Self::OwnUse => "own_use",
            Self::Downline => "downline",
        }
    }
}

impl CommissionLine {
    /// Where the money comes from, by the people of its order; none of what the company keeps.
    pub fn source(&self, people: &Attribution) -> Option<EarningSource> {
        let Account::Distributor(earner) = &self.account else { return None };
        let is = |who: &Option<_>| who.as_ref() == Some(earner);
        Some(match &people.own_purchase {
            buyer @ Some(_) if is(buyer) => EarningSource::OwnUse,
            None if is(&people.referrer) => EarningSource::RetailCustomer,
            Some(_) | None => EarningSource::Downline,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{
        commission::{Attribution, RankBook, Run, run, tests},
        genealogy::tests::{chain, id},
        plan::Plan,
    };

    const PLAN: &str = r#"
        id = "p"
        version = 1
        effective_from = "1970-01-01T00:00:00Z"
        rounding = "half_even"
        [[component]]
        kind = "direct"
        id = "direct"
        inactive_referrer = "breakage"
        rates = { kit = "20 %" }
        [[component]]
        kind = "unilevel"
        id = "levels"
        compression = "none"
        rates = { kit = ["5 %", "4 %", "3 %"] }
    "#;

    fn sources(run: &Run) -> Vec<String> {
        let people = &run.order.attribution;
        let source = |line: &super::CommissionLine| {
            let word = line.source(people).map_or("-", super::EarningSource::as_str);
            format!("{} {word}", line.account).replace("distributor:", "")
        };
        run.lines.iter().map(source).collect()
    }

    #[test]
    fn what_the_referrer_earns_is_of_a_customer_and_what_those_above_earn_is_of_the_downline() {
        let (tree, plan) = (chain(&["top", "sponsor", "who"]), Plan::parse(PLAN).unwrap());
        let order = tests::order(&tree, &plan, "who", &[("kit", "100")]);
        let of = |order| run(order, &tree, &RankBook::default(), &plan).unwrap();
        let above = ["sponsor downline", "top downline", "breakage -"];
        let customer = sources(&of(order.clone()));
        assert_eq!(customer, [&["who retail_customer"][..], &above].concat());
        let people = Attribution { own_purchase: Some(id("who")), ..Attribution::default() };
        let mut own = of(super::super::MappedOrder { attribution: people, ..order });
        assert_eq!(sources(&own), above);
        // A plan that pays buyers for what they buy pays them for own use.
        own.lines[0].account = super::Account::Distributor(id("who"));
        assert_eq!(sources(&own)[0], "who own_use");
    }
}
