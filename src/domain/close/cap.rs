//! Limits on earnings. A cap takes from what the components before it have paid, and names itself in
//! their totals. Whoever is paid less than nothing is left alone; a limit of all bounds the sum, so what
//! is taken back from some leaves more for the others.
//!
//! What returns correct of closed periods has been under the caps of those (`placed::spare`), so a limit of a
//! distributor looks at what was earned in the period only: neither makes a correction room for more, nor
//! does it pay the correction out again. A limit of the company counts it, as its CV is less what came back.

use super::{
    Scene,
    column::at,
    line::ComponentClose,
    share::{split, weights},
    table::ByRank,
};
use crate::domain::{
    money::Money,
    plan::{
        close::{Cap, CapMethod, Limit},
        volume::Measure,
    },
    volume::Volume,
};

/// A cap at work on the components that it counts, in the order of the plan.
struct Work<'a> {
    number: u16,
    cap: &'a Cap,
    scene: &'a Scene<'a>,
    counted: Vec<&'a mut ComponentClose>,
    /// What a component pays a member, as the limit looks at it.
    pays: fn(&ComponentClose, u32) -> Money,
}

pub(super) fn apply(number: u16, cap: &Cap, scene: &Scene<'_>, before: &mut [ComponentClose]) {
    let counted = before.iter_mut().filter(|close| cap.counts.contains(&close.id)).collect();
    let pays = match cap.limit {
        Limit::Distributor { .. } => ComponentClose::earned_by,
        Limit::Company { .. } => ComponentClose::paid_to,
    };
    let mut work = Work { number, cap, scene, counted, pays };
    match &cap.limit {
        Limit::Distributor { amount, by_rank, rank } => {
            let limits = ByRank::amounts(by_rank, scene.ladder);
            for position in scene.population.positions() {
                let limit = limits.get(scene.ranking.rank(*rank, position)).unwrap_or(*amount);
                let excess = work.paid_to(position) - limit;
                if excess.is_positive() {
                    work.take(position, excess);
                }
            }
        }
        Limit::Company { share_of_cv, method } => {
            let cv = scene.population.volume(Measure::Cv).iter().copied().sum::<Volume>();
            let limit = scene.earning(cv.at_least_zero(), None, *share_of_cv);
            let paid: Money = work.counted.iter().map(|close| close.totals.paid).sum();
            if paid <= limit {
                return;
            }
            match method {
                CapMethod::ProRata => {
                    let all = work.earners();
                    let earned: Money = all.iter().map(|(_, paid)| *paid).sum();
                    work.share(&all, limit + (earned - paid));
                }
                CapMethod::RankPriority => {
                    let earned: Money = work.earners().iter().map(|(_, paid)| *paid).sum();
                    work.by_rank(limit + (earned - paid));
                }
                CapMethod::HardStop => work.stop(limit),
            }
        }
    }
}

impl Work<'_> {
    fn paid_to(&self, position: u32) -> Money {
        self.counted.iter().map(|close| (self.pays)(close, position)).sum()
    }

    /// Takes from a member, from the components in proportion to what they pay.
    fn take(&mut self, position: u32, amount: Money) {
        let currency = self.scene.currency;
        let pays = self.counted.iter().map(|close| (self.pays)(close, position));
        let weights = weights(pays, currency);
        let parts = split(amount, &weights, currency);
        for (close, part) in self.counted.iter_mut().zip(parts) {
            close.cut((self.number, &self.cap.id), position, part);
        }
    }

    /// Those who are paid something, in the order of their member numbers: of equal remainders the
    /// lowest number gets the odd unit.
    fn earners(&self) -> Vec<(u32, Money)> {
        let paid = self.scene.by_member().map(|position| (position, self.paid_to(position)));
        paid.filter(|(_, paid)| paid.is_positive()).collect()
    }

    /// Leaves these members a sum together, in proportion to what they are paid.
    fn share(&mut self, earners: &[(u32, Money)], sum: Money) {
        let currency = self.scene.currency;
        let weights = weights(earners.iter().map(|(_, paid)| *paid), currency);
        let left = split(sum, &weights, currency);
        for ((position, paid), left) in earners.iter().zip(left) {
            if *paid > left {
                self.take(*position, *paid - left);
            }
        }
    }

    fn by_rank(&mut self, limit: Money) {
        let mut left = limit;
        let ranking = self.scene.ranking;
        let rank = |(position, _): &(u32, Money)| at(&ranking.paid_as, *position);
        let mut earners = self.earners();
        earners.sort_by_key(|earner| std::cmp::Reverse(rank(earner)));
        for of_rank in earners.chunk_by(|a, b| rank(a) == rank(b)) {
            let paid: Money = of_rank.iter().map(|(_, paid)| *paid).sum();
            if paid <= left {
                left -= paid;
            } else {
                self.share(of_rank, left);
                left = Money::ZERO;
            }
        }
    }

    fn stop(&mut self, limit: Money) {
        let taken_back = |close: &&mut ComponentClose| -> Money {
            close.paid.iter().copied().filter(|paid| paid.is_negative()).sum()
        };
        let mut left = limit - self.counted.iter().map(taken_back).sum();
        for close in &mut self.counted {
            for position in self.scene.by_member() {
                let paid = close.paid_to(position).at_least_zero();
                let kept = paid.min(left);
                left -= kept;
                close.cut((self.number, &self.cap.id), position, paid - kept);
            }
        }
    }
}
