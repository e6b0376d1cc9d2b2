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
};
use crate::domain::{
    money::Rate,
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

pub(super) fn compute(plan: &UnilevelVolume, scene: &Scene<'_>) -> ComponentClose {
    let levels = Levels::new(plan, scene);
    let population = scene.population;
    let mut close = ComponentClose::new(&plan.id, population.len());
    // Who holds the level before, for the volume of each member: at first the member.
    let mut holders: Vec<u32> = population.positions().collect();
    let mut bases = vec![Volume::ZERO; population.len()];
    let mut above = levels.fixed_holders();
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
        let money = |volume: Volume, rate: Rate| scene.earning(volume, plan.conversion, rate);
        let unheld = money(lost.at_least_zero(), top);
        close.offer(unheld);
        close.breakage(Unpaid::EndOfUpline, unheld);
        for (member, base) in population.positions().zip(&bases).filter(|(_, b)| b.is_positive()) {
            let offered = money(*base, top);
            close.offer(offered);
            let rate = match levels.rate(member, level) {
                Ok(rate) => rate,
                Err(reason) => {
                    close.breakage(reason, offered);
                    continue;
                }
            };
            let amount = money(*base, rate);
            close.breakage(Unpaid::LowerRate, offered - amount);
            if amount.is_positive() {
                let level = u32::try_from(level).unwrap_or(u32::MAX);
                let base = Base::Volume(*base);
                let title = Title::Share;
                close.earn(Earning { member, source: None, title, level, base, rate, amount });
            }
        }
    }
    close
}

/// Why a member who earned nothing did not.
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
