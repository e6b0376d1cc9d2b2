//! Binaries, matrices and pools of a period: every figure that somebody needs to recompute them by hand.

use rust_decimal::Decimal;

use super::{name, shown};
use crate::{
    app::closing::{
        Became, BinaryTold, CameBack, ComponentTold, CorrectedTold, LegTold, LotTold,
        MatrixLevelTold, MatrixTold, PeriodStory, PositionTold,
    },
    domain::{
        close::{
            PoolStanding, Unpaid,
            binary::{self, told::Earned},
        },
        id::TreeId,
        money::Money,
        plan::pairs::{Base, Ratio},
    },
};

/// Why a placed component gave nothing, from its positions; nothing for other components.
pub(super) fn why_nothing(part: &ComponentTold) -> Option<String> {
    if !part.cuts.is_empty() {
        return None;
    }
    let unplaced = |tree: &TreeId| format!("they have no position in the tree {tree}");
    if let Some(told) = &part.binary {
        let Some(most) = told.most() else { return Some(unplaced(&told.tree)) };
        let nothing = told.positions.iter().all(|position| position.paid.is_zero());
        return nothing.then(|| most.unpaid.map_or("neither leg ever had volume", because).into());
    }
    let told = part.matrix.as_ref()?;
    if told.positions.is_empty() {
        return Some(unplaced(&told.tree));
    }
    let mut levels = told.positions.iter().flat_map(|position| &position.levels);
    let why = told.most().and_then(|level| level.because).map(level_because);
    let nothing = levels.all(|level| level.paid.is_zero());
    nothing.then(|| why.unwrap_or("no volume stands in reach below").to_owned())
}

/// What was lost beside what is paid, for the first line of a component.
pub(super) fn lost(part: &ComponentTold) -> String {
    let binary = part.binary.iter().flat_map(|binary| &binary.positions);
    let matrix = part.matrix.iter().flat_map(|matrix| &matrix.positions);
    let of_levels = matrix.flat_map(|position| &position.levels).map(|level| level.forfeited);
    let forfeited: Money = binary.clone().map(|p| p.forfeited).chain(of_levels).sum();
    let own = binary.map(|position| position.position_cap + position.owner_cap);
    let capped: Money = own.chain(part.cuts.iter().map(|cut| cut.amount)).sum();
    let withheld: Money = part
        .withheld
        .iter()
        .filter(|withheld| {
            !matches!(withheld.reason, Unpaid::AlreadyPaid | Unpaid::OwedToFrontline)
        })
        .map(|withheld| withheld.amount)
        .sum();
    let mut text = String::new();
    for (amount, how) in
        [(forfeited, "forfeited"), (withheld, "not got"), (capped, "taken by caps")]
    {
        if !amount.is_zero() {
            text += &format!("; {amount} {how}");
        }
    }
    text
}

/// The corrections of a component, each with the orders whose volume came back.
pub(super) fn corrections(corrected: &[&CorrectedTold]) -> String {
    let mut text = String::new();
    for CorrectedTold { corrects, amount, orders, .. } in corrected {
        text += &format!("  {amount} corrects {corrects}");
        text += if orders.is_empty() { "\n" } else { ", because volume of it came back\n" };
        text += &shown(orders, came_back, &["order", "of", "placed", " points", "journal entry"]);
    }
    text
}

fn came_back(back: &CameBack) -> Vec<String> {
    vec![
        back.order.clone(),
        back.distributor.to_string(),
        back.placed_at.to_string(),
        (-back.volume).to_string(),
        format!("#{}", back.entry),
    ]
}

/// The positions of a binary.
pub(super) fn binary(told: &BinaryTold, story: &PeriodStory) -> String {
    told.positions.iter().map(|position| of_position(told, position, story)).collect()
}

fn of_position(told: &BinaryTold, position: &PositionTold, story: &PeriodStory) -> String {
    let mut text = format!("  position {} in the tree {}\n", position.position, told.tree);
    let legs = [("left", &position.left), ("right", &position.right)];
    let rows = legs.map(|(side, leg)| {
        let LegTold { opening, arrived, paired, expired, flushed, carried, .. } = leg;
        let volumes = [opening, arrived, paired, expired, flushed, carried];
        std::iter::once(side.to_owned()).chain(volumes.map(ToString::to_string)).collect()
    });
    let head = ["leg", " carried in", " arrived", " paired", " expired", " flushed", " carried on"];
    text += &shown(&rows, Vec::clone, &head);
    text += &match &position.earned {
        Some(earned) => pairs(earned, position, story),
        None => format!("  nothing is paired{}\n", unpaired(told, position)),
    };
    if let Some(limit) = told.cap_limit {
        let meaning = match told.cap {
            "pay_cap" => "what is earned above it is cut off",
            "volume_cap" => "only so much is paired as it pays for",
            _ => "what is earned above it is cut off, and both legs are emptied",
        };
        let took = Some(position.position_cap).filter(|took| !took.is_zero());
        let took = took.map(|took| format!(": it takes {took}")).unwrap_or_default();
        text += &format!("  cap of a position {limit}, {meaning}{took}\n");
    }
    if let Some(limit) = told.owner_cap {
        let took = Some(position.owner_cap).filter(|took| !took.is_zero());
        let took = took.map(|took| format!(": it takes {took} here")).unwrap_or_default();
        text += &format!("  cap of all positions together {limit}{took}\n");
    }
    if let Some(reason) = position.refused {
        let what = match told.unqualified {
            "breakage" if position.forfeited.is_zero() => {
                "what is paired would be forfeited".to_owned()
            }
            "breakage" => format!("{} are forfeited to the company", position.forfeited),
            "hold" => "no pairs are made and the volume waits".to_owned(),
            _ => "no pairs are made and both legs are emptied".to_owned(),
        };
        text += &format!("  {what}, because {}\n", because(reason));
    }
    for (side, leg) in legs {
        if !leg.lots.is_empty() {
            text += &format!("  orders of the {side} leg, the oldest first\n");
        }
        let head = ["order", "of", "placed", "counted in", " points", "became"];
        text += &shown(&leg.lots, lot, &head);
        if leg.more > 0 {
            text += &format!("  and {} entries beyond these\n", leg.more);
        }
    }
    text
}

/// Why nothing is paired, where that is for want of volume and not because the plan makes no pairs then.
fn unpaired(told: &BinaryTold, position: &PositionTold) -> String {
    let empty = |leg: &LegTold| !(leg.opening + leg.arrived).is_positive();
    let reason = match (empty(&position.left), empty(&position.right)) {
        (true, true) => binary::Unpaid::NoVolume,
        (true, false) | (false, true) => binary::Unpaid::OneLegEmpty,
        (false, false) if position.refused.is_some() && told.unqualified != "breakage" => {
            return String::new();
        }
        (false, false) => binary::Unpaid::BelowOnePair,
    };
    format!(": {}", because(reason))
}

fn lot(lot: &LotTold) -> Vec<String> {
    let became = match lot.became {
        Became::Paired => "paired",
        Became::Expired => "expired",
        Became::Flushed => "flushed",
        Became::Carried => "carried on",
    };
    vec![
        lot.order.clone().unwrap_or_else(|| "an earlier system".to_owned()),
        name(lot.distributor.as_ref()),
        lot.placed_at.map(|at| at.to_string()).unwrap_or_default(),
        lot.of.as_ref().map(ToString::to_string).unwrap_or_default(),
        lot.volume.to_string(),
        became.to_owned(),
    ]
}

/// How the pairs earn, as a sum that can be done by hand.
fn pairs(earned: &Earned, position: &PositionTold, story: &PeriodStory) -> String {
    let currency = story.currency;
    let sum = match earned {
        Earned::Cycles { cycles, weaker, stronger, each } => {
            let s = if *cycles == 1 { "" } else { "s" };
            format!(
                "{cycles} cycle{s} of {weaker} points of the leg that has less and {stronger} of the other, \
                 {each} each"
            )
        }
        Earned::Rates { ratio, base, share, payable, conversion, parts } => {
            let ratio = match ratio {
                Ratio::OneToOne => "a point with a point",
                Ratio::OneToTwo => "a point with two",
                Ratio::OneThirdTwoThirds => "a point with up to two",
            };
            let base = match base {
                Base::Weaker => "of the leg that has less",
                Base::Both => "of both legs",
            };
            let share = if share.as_decimal() == Decimal::ONE {
                String::new()
            } else {
                format!("{share} of them, ")
            };
            let parts: Vec<String> = parts
                .iter()
                .map(|part| match part.from {
                    Some(from) => {
                        format!("{} at {} (from {from} on)", part.volume, part.rate)
                    }
                    None => format!("{} at {}", part.volume, part.rate),
                })
                .collect();
            let parts = if parts.is_empty() {
                "below the first tier".to_owned()
            } else {
                parts.join(" + ")
            };
            let point = conversion.as_decimal().normalize();
            format!(
                "{ratio}; points {base} pay: {share}{payable}; a point is {point} {currency}; {parts}"
            )
        }
    };
    let exact = position.exact.filter(|exact| *exact != position.pool.as_decimal());
    let exact = exact.map(|exact| format!("{exact}, rounded ")).unwrap_or_default();
    format!("  pairs: {sum} = {exact}{} {currency}\n", position.pool)
}

/// The levels of a matrix.
pub(super) fn matrix(told: &MatrixTold, story: &PeriodStory) -> String {
    let mut text = String::new();
    let point = told.conversion.as_decimal().normalize();
    let line = if told.by_order { "each order" } else { "each level" };
    for position in &told.positions {
        text += &format!(
            "  position {} in the tree {}; a point is {point} {}; {line} rounded\n",
            position.position, told.tree, story.currency
        );
        let some = |level: &&MatrixLevelTold| level.positions > 0 || level.volume.parts() != 0;
        let levels: Vec<&MatrixLevelTold> = position.levels.iter().filter(some).collect();
        let head = [
            "level",
            " positions",
            " points",
            " rate",
            " exact",
            " amount",
            " forfeited",
            "because",
        ];
        text += &shown(&levels, |level| of_level(level), &head);
    }
    text
}

fn of_level(level: &MatrixLevelTold) -> Vec<String> {
    let come_to = level.paid + level.forfeited;
    let exact = level.exact.filter(|exact| *exact != come_to.as_decimal());
    let forfeited = Some(level.forfeited).filter(|amount| !amount.is_zero());
    vec![
        level.level.to_string(),
        level.positions.to_string(),
        level.volume.to_string(),
        level.rate.to_string(),
        exact.map(|exact| exact.to_string()).unwrap_or_default(),
        level.paid.to_string(),
        forfeited.map(|amount| amount.to_string()).unwrap_or_default(),
        level.because.map(level_because).unwrap_or_default().to_owned(),
    ]
}

/// The shares of a pool.
pub(super) fn pool(pool: &PoolStanding, part: &ComponentTold, story: &PeriodStory) -> String {
    let PoolStanding { size, shares, of, holders } = pool;
    let currency = story.currency;
    if *of == 0 {
        return format!("  the pool is {size} {currency}; nobody has a share in it\n");
    }
    let mut text = format!("  the pool is {size} {currency}; {of} shares of {holders} members\n");
    let per_share = size.as_decimal().checked_div(Decimal::from(*of));
    let (Some(value), true) = (per_share, *shares > 0) else { return text };
    let exact = value.saturating_mul(Decimal::from(*shares));
    let [value, exact] = [value, exact].map(|figure| figure.round_dp(6).normalize());
    let got: Money = part.lines.iter().map(|line| line.amount).sum();
    text += &format!(
        "  {shares} of {of} shares; a share is {value} {currency}: {exact} are {got} in whole minor units, the \
         odd ones to the largest remainders, of equal ones to who enrolled first\n"
    );
    text
}

fn because(reason: binary::Unpaid) -> &'static str {
    match reason {
        binary::Unpaid::Inactive => "they were not active",
        binary::Unpaid::NoneEnrolledLeft => {
            "the left leg holds no active distributor whom they enrolled"
        }
        binary::Unpaid::NoneEnrolledRight => {
            "the right leg holds no active distributor whom they enrolled"
        }
        binary::Unpaid::NoVolume => "neither leg has volume",
        binary::Unpaid::OneLegEmpty => "one leg has no volume, so there is no pair",
        binary::Unpaid::BelowOnePair => "the legs have volume, but less than one pair takes",
        binary::Unpaid::BelowOneUnit => {
            "the pairs reach no tier, or come to less than a minor unit"
        }
        binary::Unpaid::Cap => "the cap of the position leaves nothing",
        binary::Unpaid::OwnerCap => "the cap of all positions together leaves nothing",
    }
}

fn level_because(reason: &'static str) -> &'static str {
    match reason {
        "inactive" => "they were not active, or their rank has no level",
        "locked" => "their rank has fewer levels",
        other => other,
    }
}

#[cfg(test)]
mod tests;
