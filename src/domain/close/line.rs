//! What a close puts out: lines as columns, and totals that come out even.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Population, Unearned,
    column::{NOBODY, at, index, update},
};
use crate::domain::{
    id::ComponentId,
    money::{Money, Rate},
    volume::Volume,
};

/// Why there is no money: of a component for a member, or of an offer for anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpaid {
    /// The member was not active in the period.
    NotActive,
    /// The rank is too low, or there is none.
    RankTooLow,
    /// The level is not unlocked: too few active legs, or the rank has fewer.
    LevelLocked,
    /// The rates of the rank are below the highest of the plan.
    LowerRate,
    /// Nobody stands above who could hold the level.
    EndOfUpline,
    /// No volume to be paid on, or too little for a minor unit.
    NoVolume,
    /// The group's volume does not reach the first bracket.
    BelowFirstBracket,
    /// All of the gross is owed to the groups of the frontline.
    OwedToFrontline,
    /// The own group is too small to receive the override.
    OwnGroupTooSmall,
    /// No leg below has broken away.
    NoLegBrokeAway,
    /// All that was received went up as the guaranteed amount of the sponsor.
    PassedUp,
    /// Nobody below earned in reach of the generations.
    NothingBelow,
    /// The bonus of the rank was paid before.
    AlreadyPaid,
    /// Nobody has a rank that shares in the pool.
    NobodyQualified,
    /// A cap took all of it.
    Capped,
    /// The component is computed elsewhere and gave nothing.
    NothingGiven,
    /// The left leg of the position holds no active distributor whom the owner enrolled.
    NoneEnrolledLeft,
    /// The right leg holds none.
    NoneEnrolledRight,
}

impl Unpaid {
    /// Whether breakage of this reason is withheld from nobody: there is no member who could have had it.
    pub fn of_nobody(self) -> bool {
        matches!(self, Self::EndOfUpline | Self::NobodyQualified)
    }

    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotActive => "not_active",
            Self::RankTooLow => "rank_too_low",
            Self::LevelLocked => "level_locked",
            Self::LowerRate => "lower_rate",
            Self::EndOfUpline => "end_of_upline",
            Self::NoVolume => "no_volume",
            Self::BelowFirstBracket => "below_first_bracket",
            Self::OwedToFrontline => "owed_to_frontline",
            Self::OwnGroupTooSmall => "own_group_too_small",
            Self::NoLegBrokeAway => "no_leg_broke_away",
            Self::PassedUp => "passed_up",
            Self::NothingBelow => "nothing_below",
            Self::AlreadyPaid => "already_paid",
            Self::NobodyQualified => "nobody_qualified",
            Self::Capped => "capped",
            Self::NothingGiven => "nothing_given",
            Self::NoneEnrolledLeft => "none_enrolled_left",
            Self::NoneEnrolledRight => "none_enrolled_right",
        }
    }
}

/// What the rate of a line is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Volume, which becomes money by the conversion of the component.
    Volume(Volume),
    /// Money: what others earned, the size of a pool, the amount of a rank.
    Money(Money),
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Title {
    /// The rate of the base.
    Share,
    /// Taken off: what the groups of the frontline are owed.
    OwedToFrontline,
    /// Taken off: what fills up the guaranteed amount of the sponsor.
    Guarantee,
    /// Received: what fills up the guaranteed amount.
    Guaranteed,
    /// The amount of a rank; the line's level is the rank's.
    Rank,
    /// The shares in a pool; the line's level is the number of shares.
    Shares,
}

/// One line of a close. Amounts may be negative: the lines of a member in a component add up to what
/// the component gives them before caps, which is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earning {
    /// Who earns, by the caller's number.
    pub member: u32,
    /// Whose volume or earnings it comes from, by the caller's number, where that is one member.
    pub source: Option<u32>,
    /// What it is.
    pub title: Title,
    /// The level, the generation, the rank or the number of shares; 0 where there is none.
    pub level: u32,
    /// What the rate is taken of.
    pub base: Base,
    /// The rate; 100 % where the amount is no rate of the base.
    pub rate: Rate,
    /// The money, rounded once.
    pub amount: Money,
}

/// The lines of a component as columns; members are positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lines {
    pub(super) member: Vec<u32>,
    pub(super) source: Vec<u32>,
    pub(super) title: Vec<Title>,
    pub(super) level: Vec<u32>,
    pub(super) base: Vec<Base>,
    pub(super) rate: Vec<Rate>,
    pub(super) amount: Vec<Money>,
}

impl Lines {
    /// The lines; `name` gives the caller's number of a position.
    pub(super) fn iter<'a, N: Fn(u32) -> u32 + 'a>(
        &'a self,
        name: N,
    ) -> impl Iterator<Item = Earning> + use<'a, N> {
        let who = self.member.iter().zip(&self.source).zip(&self.title).zip(&self.level);
        let what = self.base.iter().zip(&self.rate).zip(&self.amount);
        who.zip(what).map(move |((((member, source), title), level), ((base, rate), amount))| {
            Earning {
                member: name(*member),
                source: (*source != NOBODY).then(|| name(*source)),
                title: *title,
                level: *level,
                base: *base,
                rate: *rate,
                amount: *amount,
            }
        })
    }

    /// One line; `name` gives the caller's number of a position.
    pub(super) fn get(&self, row: u32, name: impl Fn(u32) -> u32) -> Option<Earning> {
        let row = index(row);
        let source = *self.source.get(row)?;
        Some(Earning {
            member: name(*self.member.get(row)?),
            source: (source != NOBODY).then(|| name(source)),
            title: *self.title.get(row)?,
            level: *self.level.get(row)?,
            base: *self.base.get(row)?,
            rate: *self.rate.get(row)?,
            amount: *self.amount.get(row)?,
        })
    }
}

/// Where the money of a component went: `pool = paid + breakage + capped + carried`, to the minor
/// unit. What the pool is, each component says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What the component offered.
    pub pool: Money,
    /// What members get.
    pub paid: Money,
    /// What the company keeps because nobody qualified, by reason.
    pub breakage: BTreeMap<Unpaid, Money>,
    /// What caps took, by cap; what a binary's own caps took under the binary's id.
    pub capped: BTreeMap<ComponentId, Money>,
    /// What goes into the next period.
    pub carried: Money,
}

impl Totals {
    /// Whether the money that was offered is the money that went somewhere.
    pub fn is_even(&self) -> bool {
        let broken: Money = self.breakage.values().copied().sum();
        let capped: Money = self.capped.values().copied().sum();
        self.pool == self.paid + broken + capped + self.carried
    }
}

/// What a cap took from a member in a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    /// The cap, by its place in the plan.
    pub(super) cap: u16,
    /// The position.
    pub(super) member: u32,
    pub(super) amount: Money,
}

/// What one component gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentClose {
    /// The component.
    pub id: ComponentId,
    /// Where its money went.
    pub totals: Totals,
    pub(super) lines: Lines,
    /// What each position gets, after the caps so far.
    pub(super) paid: Vec<Money>,
    pub(super) cuts: Vec<Cut>,
    /// What of `paid` is posted elsewhere, by position: with its orders, or as the correction of a closed
    /// period. Empty where there is nothing of it.
    #[serde(default)]
    pub(super) elsewhere: Vec<Money>,
    /// Whether that corrects closed periods.
    #[serde(default)]
    pub(super) corrects: bool,
    /// The own groups of a bracket component.
    pub(super) groups: Option<Box<super::bracket::Groups>>,
}

impl ComponentClose {
    pub(super) fn new(id: &ComponentId, len: usize) -> Self {
        Self {
            id: id.clone(),
            totals: Totals::default(),
            lines: Lines::default(),
            paid: vec![Money::ZERO; len],
            cuts: Vec::new(),
            elsewhere: Vec::new(),
            corrects: false,
            groups: None,
        }
    }

    /// Offers money. Every offer must be settled by lines, breakage or a carry.
    pub(super) fn offer(&mut self, amount: Money) {
        self.totals.pool += amount;
    }

    /// Gives a line to the position that it names as member.
    pub(super) fn earn(&mut self, line: Earning) {
        update(&mut self.paid, line.member, |paid| *paid += line.amount);
        self.totals.paid += line.amount;
        self.lines.member.push(line.member);
        self.lines.source.push(line.source.unwrap_or(NOBODY));
        self.lines.title.push(line.title);
        self.lines.level.push(line.level);
        self.lines.base.push(line.base);
        self.lines.rate.push(line.rate);
        self.lines.amount.push(line.amount);
    }

    /// Leaves money to the company.
    pub(super) fn breakage(&mut self, reason: Unpaid, amount: Money) {
        if !amount.is_zero() {
            *self.totals.breakage.entry(reason).or_default() += amount;
        }
    }

    /// Leaves what nobody gets of a binary or a matrix to the company.
    pub(super) fn leave(&mut self, unearned: &Unearned, population: &Population) {
        for (reason, amount) in &unearned.breakage {
            self.offer(*amount);
            self.breakage(*reason, *amount);
        }
        if !unearned.capped.is_zero() {
            self.offer(unearned.capped);
            *self.totals.capped.entry(self.id.clone()).or_default() += unearned.capped;
        }
        if !unearned.corrected.is_empty() {
            self.elsewhere = vec![Money::ZERO; self.paid.len()];
            self.corrects = true;
        }
        for (member, amount) in &unearned.corrected {
            if let Some(position) = population.position(*member) {
                update(&mut self.elsewhere, position, |sum| *sum += *amount);
            }
        }
    }

    /// Takes money back because of the cap with this number and id.
    pub(super) fn cut(&mut self, (number, cap): (u16, &ComponentId), member: u32, amount: Money) {
        if amount.is_zero() {
            return;
        }
        self.cuts.push(Cut { cap: number, member, amount });
        update(&mut self.paid, member, |paid| *paid -= amount);
        self.totals.paid -= amount;
        match self.totals.capped.get_mut(cap) {
            Some(capped) => *capped += amount,
            None => {
                self.totals.capped.insert(cap.clone(), amount);
            }
        }
    }

    /// What each position gets, after all caps.
    pub fn paid(&self) -> &[Money] {
        &self.paid
    }

    /// What caps took: the place of the cap in the plan, the position, the amount; in the order in which
    /// it was taken.
    pub fn cuts(&self) -> impl Iterator<Item = (u16, u32, Money)> {
        self.cuts.iter().map(|cut| (cut.cap, cut.member, cut.amount))
    }

    /// What a position gets.
    pub(super) fn paid_to(&self, position: u32) -> Money {
        at(&self.paid, position)
    }

    /// What of it was earned in the period, without what corrects closed ones.
    pub(super) fn earned_by(&self, position: u32) -> Money {
        if self.corrects { self.posted_to(position) } else { self.paid_to(position) }
    }

    /// What of it the close posts as its own; below zero where caps take from what is posted elsewhere.
    pub(super) fn posted_to(&self, position: u32) -> Money {
        at(&self.paid, position) - at(&self.elsewhere, position)
    }

    /// What the close posts as its own for all members.
    pub(super) fn posted(&self) -> Money {
        self.totals.paid - self.elsewhere.iter().copied().sum()
    }
}
