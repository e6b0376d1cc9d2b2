//! Unilevel on the volume of a period, level by level.
//!
//! The pool of a level is, for the volume that stands at it under each holder, and for that under
//! nobody, the highest rate of the level in the plan, each rounded once. A lower rate leaves breakage.
//! Who qualifies moves the pool by the rounding of each holder's part and by no more.

use super::{
    Scene,
    column::{NOBODY, at, index, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    table::{Rates, open_levels},
    withheld::{Ear, Instead, LevelSource, Withheld, at_or_nobody, keep, passing},
};
use crate::domain::{
    money::{Money, Rate},
    plan::{
        close::{UnilevelVolume, VolumeCompression},
        volume::Measure,
    },
    volume::Volume,
};

/// The component at work: who has which level open at which rate.
struct Levels<'a> {
    plan: &'a UnilevelVolume,
    scene: &'a Scene<'a>,
    rates: Rates<'a>,
}

pub(super) fn compute<E: Ear>(
    plan: &UnilevelVolume,
    scene: &Scene<'_>,
    ear: &mut E,
) -> ComponentClose {
    let levels = Levels::new(plan, scene);
    let population = scene.population;
    let mut close = ComponentClose::new(&plan.id, population.len());
    // Who holds the level before, for the volume of each member: at first the member.
    let mut holders: Vec<u32> = population.positions().collect();
    let mut bases = vec![Volume::ZERO; population.len()];
    let mut above = levels.fixed_holders();
    // What each holder of the level before lets rise, for who listens.
    let mut held = if E::LISTENS { population.volume(Measure::Cv).to_vec() } else { Vec::new() };
    for (level, top) in levels.rates.top() {
        if plan.compression == VolumeCompression::Dynamic {
            above = population.next_above(|member| levels.holds(member, level, top));
        }
        let mut lost = Volume::ZERO;
        bases.fill(Volume::ZERO);
        for (holder, cv) in holders.iter_mut().zip(population.volume(Measure::Cv)) {
            if *holder == NOBODY {
                lost += *cv;
                continue;
            }
            *holder = above.get(index(*holder)).copied().unwrap_or(NOBODY);
            match *holder {
                NOBODY => lost += *cv,
                holder => update(&mut bases, holder, |base| *base += *cv),
            }
        }
        let unheld = levels.money(lost.at_least_zero(), top);
        close.offer(unheld);
        close.breakage(Unpaid::EndOfUpline, unheld);
        for (member, base) in population.positions().zip(&bases).filter(|(_, b)| b.is_positive()) {
            levels.pay(&mut close, ear, (level, top), member, *base);
        }
        if E::LISTENS {
            let standing = holders.iter().zip(population.positions());
            for ((holder, member), volume) in standing.zip(population.volume(Measure::Cv)) {
                let level = u32::try_from(level).unwrap_or(u32::MAX);
                ear.stands(*holder, LevelSource { level, member, volume: *volume });
            }
            levels.passed_over((level, top), &above, &held, ear);
            held.clone_from(&bases);
        }
    }
    close
}

/// Why a member from whom nothing was withheld earned nothing.
pub(super) fn why_not(plan: &UnilevelVolume, scene: &Scene<'_>, member: u32) -> Unpaid {
    match Levels::new(plan, scene).rate(member, 1) {
        Ok(_) => Unpaid::NoVolume,
        Err(reason) => reason,
    }
}

/// The levels that are closed to a member, and why.
pub(super) fn closed(plan: &UnilevelVolume, scene: &Scene<'_>, member: u32) -> Vec<(u32, Unpaid)> {
    let levels = Levels::new(plan, scene);
    let why = |level| levels.rate(member, level).err();
    (1u32..).zip(levels.rates.top()).filter_map(|(n, (level, _))| Some((n, why(level)?))).collect()
}

impl<'a> Levels<'a> {
    fn new(plan: &'a UnilevelVolume, scene: &'a Scene<'a>) -> Self {
        Self { plan, scene, rates: Rates::new(&plan.rates, scene.ladder) }
    }

    /// The rate of a member at a level, or why there is none.
    fn rate(&self, member: u32, level: usize) -> Result<Rate, Unpaid> {
        let ranking = self.scene.ranking;
        if !ranking.is_active(member) {
            return Err(Unpaid::NotActive);
        }
        if open_levels(&self.plan.unlock, at(&ranking.active_legs, member)) < level {
            return Err(Unpaid::LevelLocked);
        }
        let rank = ranking.rank(self.plan.rank, member);
        self.rates.rate(rank, level).ok_or(Unpaid::RankTooLow)
    }

    fn money(&self, volume: Volume, rate: Rate) -> Money {
        self.scene.earning(volume, self.plan.conversion, rate)
    }

    /// Pays who holds a level on the volume that stands there.
    fn pay<E: Ear>(
        &self,
        close: &mut ComponentClose,
        ear: &mut E,
        (level, top): (usize, Rate),
        member: u32,
        volume: Volume,
    ) {
        let offered = self.money(volume, top);
        close.offer(offered);
        let (number, base) = (u32::try_from(level).unwrap_or(u32::MAX), Base::Volume(volume));
        let (source, to) = (None, Instead::Company);
        let kept = |reason, amount| Withheld { source, level: number, reason, base, amount, to };
        let rate = match self.rate(member, level) {
            Ok(rate) => rate,
            Err(reason) => return keep(close, ear, member, kept(reason, offered)),
        };
        let amount = self.money(volume, rate);
        keep(close, ear, member, kept(Unpaid::LowerRate, offered - amount));
        if amount.is_positive() {
            let (level, title) = (number, Title::Share);
            close.earn(Earning { member, source, title, level, base, rate, amount });
        }
    }

    /// Tells those who were passed over at a level what rose past them, and to whom.
    fn passed_over<E: Ear>(
        &self,
        (level, top): (usize, Rate),
        above: &[u32],
        held: &[Volume],
        ear: &mut E,
    ) {
        let population = self.scene.population;
        let passing = passing(population, above, held);
        let passed = population.positions().zip(passing).filter(|(_, volume)| volume.is_positive());
        for (member, volume) in passed {
            let (to, rate) = match at_or_nobody(above, member) {
                NOBODY => (Instead::Nobody, top),
                holder => match self.rate(holder, level) {
                    Ok(rate) => (Instead::Member(holder), rate),
                    Err(_) => (Instead::Rose(holder), top),
                },
            };
            ear.hear(
                member,
                Withheld {
                    source: None,
                    level: u32::try_from(level).unwrap_or(u32::MAX),
                    reason: self.rate(member, level).err().unwrap_or(Unpaid::LowerRate),
                    base: Base::Volume(volume),
                    amount: self.money(volume, rate),
                    to,
                },
            );
        }
    }

    /// Whether a member holds a level under dynamic compression: 0 % holds none that pays somebody.
    fn holds(&self, member: u32, level: usize, top: Rate) -> bool {
        self.rate(member, level).is_ok_and(|rate| rate > Rate::ZERO || top == Rate::ZERO)
    }

    /// The next holder above each member where that is the same at every level.
    fn fixed_holders(&self) -> Vec<u32> {
        let population = self.scene.population;
        match self.plan.compression {
            VolumeCompression::None => population.sponsors().to_vec(),
            VolumeCompression::RollUp => {
                population.next_above(|member| self.scene.ranking.is_active(member))
            }
            VolumeCompression::Dynamic => Vec::new(),
        }
    }
}
