//! The orders of a case, computed by the engine of orders.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use toml::Spanned;

use super::{
    Failure, Unusable,
    company::Company,
    verify::{Got, Place, Report, Results, Totals},
};
use crate::domain::{
    commission::{
        self, Account, Attribution, CommissionLine, Locks, MappedLine, MappedOrder, Run, Step,
        VolumeBasis, WonBy,
    },
    genealogy::DistributorStatus,
    id::{ComponentId, DistributorId, LineId, OrderKey},
    money::Money,
    order::{RefundPolicy, Status},
    plan::case::{BREAKAGE, LineRow, OrderRow},
};

/// The first of January 2026: when an order was placed that does not say it.
const PLACED: i64 = 1_767_225_600;

/// Computes an order and holds it against what is expected of it.
pub(super) fn compute(
    number: u32,
    spanned: &Spanned<OrderRow>,
    company: &Company<'_>,
    report: &Report<'_>,
) -> Result<Vec<Failure>, Unusable> {
    let (line, row) = (company.cases.line(spanned), spanned.get_ref());
    let order = mapped(number, row, company, line)?;
    let run = commission::run(order, &company.tree, &company.ranks, company.plan);
    let run = run.map_err(|error| Unusable::new(line, error))?;
    report.money(&Place::new("order", number, line), &mut results(&run), &row.expect, &row.totals)
}

fn mapped(
    number: u32,
    row: &OrderRow,
    company: &Company<'_>,
    line: usize,
) -> Result<MappedOrder, Unusable> {
    let wrong = |error: &dyn std::fmt::Display| Unusable::new(line, error);
    for id in [&row.buyer, &row.referrer].into_iter().flatten() {
        company.find(id.get_ref(), company.cases.line(id))?;
    }
    if row.lines.iter().any(|line| line.cv.is_some()) && company.plan.volumes.is_none() {
        return Err(wrong(&"the plan has no [volumes], so a line has no `cv`: drop it"));
    }
    let ranked = company.ranks.version();
    let key = OrderKey::parse(&format!("api/case/{number}")).map_err(|error| wrong(&error))?;
    let lines = (1_u32..).zip(&row.lines).map(|(number, row)| line_of(number, row));
    let lines: Vec<MappedLine> = lines.collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    Ok(MappedOrder {
        key,
        revision: 1,
        status: Status::Paid,
        refund_policy: RefundPolicy::default(),
        placed_at: match row.placed {
            Some(placed) => placed.0,
            None => Timestamp::from_second(PLACED).map_err(|error| wrong(&error))?,
        },
        currency: company.currency,
        total: lines.iter().map(|line| line.net).sum(),
        attribution: attribution(row, line)?,
        locks: Locks {
            genealogy: company.tree.version(),
            plan: company.plan.reference.clone(),
            catalog: 0,
            late_lines: BTreeMap::new(),
            rate: None,
            attribution: None,
            ranks: (ranked > 0).then_some(ranked),
            ranks_hash: None,
        },
        chargebacks: Vec::new(),
        lines,
    })
}

fn attribution(row: &OrderRow, line: usize) -> Result<Attribution, Unusable> {
    let id = |named: &Option<Spanned<DistributorId>>| named.as_ref().map(|id| id.get_ref().clone());
    let (referrer, own_purchase) = (id(&row.referrer), id(&row.buyer));
    let won_by = match (&referrer, &own_purchase) {
        (None, Some(_)) => WonBy::OwnPurchase,
        (Some(_), None) => WonBy::Source("case".into()),
        (None, None) => WonBy::Nobody,
        (Some(_), Some(_)) => {
            let problem = "an order is a member's own (`buyer`) or a customer's whom a member \
                           referred (`referrer`), not both";
            return Err(Unusable::new(line, problem));
        }
    };
    Ok(Attribution { referrer, own_purchase, won_by, ..Attribution::default() })
}

fn line_of(number: u32, row: &LineRow) -> Result<MappedLine, crate::domain::id::IdError> {
    Ok(MappedLine {
        id: LineId::parse(&number.to_string())?,
        sku: None,
        class: Some(row.class.clone()),
        quantity: Decimal::ONE,
        net: row.net.0,
        refunded: Money::ZERO,
        base: row.net.0,
        payout_base: None,
        zero: None,
        decision: None,
        volume: row.cv.map(|cv| VolumeBasis {
            qv: None,
            cv: Some(cv.0),
            units: Decimal::ONE,
            units_net: row.net.0,
        }),
    })
}

fn results(run: &Run) -> Results {
    let mut results = Results { got: run.lines.iter().map(got).collect(), ..Results::default() };
    for (component, totals) in &run.totals {
        let (pool, paid, breakage) = (totals.pool, totals.paid, totals.breakage);
        let totals = Totals { pool, paid, breakage, ..Totals::default() };
        results.totals.insert(component.clone(), totals);
    }
    for (component, idle) in &run.idle {
        let told = format!("{component}: looked for nobody ({})", word(idle));
        results.step(component, "", told);
    }
    for (component, walk) in &run.walks {
        for step in walk {
            let reason = nothing(run, component, step);
            let who = step.distributor.as_str();
            results.step(component, who, told(component, step, reason.as_deref()));
            if let Some(reason) = reason {
                results.nothing.insert((component.clone(), who.into()), reason);
            }
        }
    }
    results
}

fn got(line: &CommissionLine) -> Got {
    let who: Box<str> = match &line.account {
        Account::Distributor(id) => id.as_str().into(),
        Account::Breakage => BREAKAGE.into(),
    };
    let reason: Option<Box<str>> = line.breakage.map(|reason| reason.as_str().into());
    let because = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let rank = line.rank.as_ref().map(|rank| format!(", {rank}")).unwrap_or_default();
    let base = line.volume.map_or_else(|| line.base.to_string(), |points| points.to_string());
    let told = format!(
        "{}: level {}, {who}{because}{rank}: {} of {base} (line {}) = {}",
        line.component, line.level, line.rate, line.line, line.amount
    );
    Got {
        component: line.component.clone(),
        who,
        level: Some(line.level.into()),
        reason,
        amount: line.amount,
        told,
    }
}

/// Why somebody who was met got nothing; `None` if they hold a level and nothing speaks against it.
fn nothing(run: &Run, component: &ComponentId, step: &Step) -> Option<Box<str>> {
    if let Some(why) = step.why {
        return Some(word(&why));
    }
    if step.status != DistributorStatus::Active {
        return Some("inactive".into());
    }
    let lines = run.lines.iter().filter(|line| line.component == *component);
    let mut at_level = lines.filter(|line| Some(line.level) == step.level);
    at_level.find_map(|line| line.breakage).map(|breakage| breakage.as_str().into())
}

fn told(component: &ComponentId, step: &Step, reason: Option<&str>) -> String {
    let rank = step.rank.as_ref().map(|rank| format!(", {rank}")).unwrap_or_default();
    let level = match step.level {
        Some(level) => format!("holds level {level}"),
        None => "holds no level".to_owned(),
    };
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{component}: met {}{rank}: {level}{reason}", step.distributor)
}

/// The word by which a choice stands in files.
pub(super) fn word(choice: &impl Serialize) -> Box<str> {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(word)) => word.into(),
        Ok(other) => other.to_string().into(),
        Err(_never) => "".into(),
    }
}
