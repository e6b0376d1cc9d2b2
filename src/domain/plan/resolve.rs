//! Finds the ranks that the components of an order name, and refuses what does not fit together.

use super::{
    MAX_LEVELS,
    by_rank::{ByRank, Fault, Problem, names, unknown},
    order_time::{
        Boundary, Compression, Differential, Direct, FastStart, Generation, Infinity,
        InfinityModel, Levels, RankRates, Unilevel,
    },
    pairs::{Binary, Matrix, PairsError, Unlocks},
    rank::{Ladder, RankLevel},
};
use crate::domain::money::Rate;

impl RankRates {
    fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        for (class, table) in &mut self.by_class {
            let at = |problem| Fault::at(["rates", class.as_str()], problem);
            table.resolve(ladder).map_err(at)?;
            self.rated.resize(table.steps().len(), false);
            for (rated, rate) in self.rated.iter_mut().zip(table.steps()) {
                *rated |= *rate > Rate::ZERO;
            }
        }
        if !self.rated.contains(&true) {
            return Err(Fault::at(["rates"], Problem::NoRates));
        }
        let tables = || self.by_class.values().map(ByRank::steps);
        let highest = |rank: RankLevel| {
            tables().all(|steps| steps.get(usize::from(rank.0)) == steps.iter().max())
        };
        let top = (0..=u8::MAX).map(RankLevel).find(|rank| highest(*rank));
        self.top = top.unwrap_or(RankLevel(u8::MAX));
        Ok(())
    }

    /// Resolves the rates of a differential: they do not fall from one rank to the next.
    fn resolve_rising(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        self.resolve(ladder)?;
        for (class, table) in &self.by_class {
            let pairs = table.steps().iter().zip(table.steps().iter().skip(1));
            let falls = pairs.zip(names(ladder).skip(1)).find(|((lower, rate), _)| rate < lower);
            if let Some((_, rank)) = falls {
                let problem = Problem::Falling(rank.into());
                return Err(Fault::at(["rates", class.as_str(), rank], problem));
            }
        }
        Ok(())
    }
}

impl Unilevel {
    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        for (class, table) in &mut self.rates_by_rank {
            let at = |problem| Fault::at(["rates_by_rank", class.as_str()], problem);
            table.resolve(ladder).map_err(at)?;
            if self.rates.contains_key(class) {
                return Err(at(Problem::TwoTables(class.clone())));
            }
            for rates in table.steps() {
                let offered = self.rates.entry(class.clone()).or_default();
                offered.resize(offered.len().max(rates.len()), Rate::ZERO);
                for (offered, rate) in offered.iter_mut().zip(rates) {
                    *offered = (*offered).max(*rate);
                }
            }
        }
        levels(&self.rates)?;
        self.reach = self.unlock(ladder)?;
        match &mut self.compression {
            Compression::None | Compression::RollUp => Ok(()),
            Compression::SkipBelowRank(skip) => skip.threshold.resolve(ladder).map_err(|problem| {
                Fault::at(["compression", "skip_below_rank", "threshold"], problem)
            }),
            Compression::Dynamic(_) if self.reach.is_empty() => {
                Err(Fault::at(["compression"], Problem::NothingUnlocks))
            }
            Compression::Dynamic(_) => self.even(ladder),
        }
    }

    /// How many levels each rank may earn in all classes: what `unlocked` says, and with dynamic
    /// compression the length of the rates by rank. (Else these unlock each class for itself.)
    fn unlock(&mut self, ladder: &Ladder) -> Result<Vec<usize>, Fault> {
        let mut reach: Vec<usize> = Vec::new();
        if let Some(unlocked) = &mut self.unlocked {
            let at = |problem| Fault::at(["unlocked"], problem);
            if !self.rates_by_rank.is_empty() {
                return Err(at(Problem::UnlockedTwice));
            }
            unlocked.resolve(ladder).map_err(at)?;
            reach = unlocked.steps().iter().map(|levels| usize::from(*levels)).collect();
        } else if matches!(self.compression, Compression::Dynamic(_)) {
            for table in self.rates_by_rank.values() {
                reach.resize(table.steps().len(), 0);
                for (reach, rates) in reach.iter_mut().zip(table.steps()) {
                    *reach = rates.len().max(*reach);
                }
            }
        }
        Ok(reach)
    }

    /// Whether each rank reaches equally far in every class, as far as the class goes.
    fn even(&self, ladder: &Ladder) -> Result<(), Fault> {
        for (class, table) in &self.rates_by_rank {
            let depth = self.rates.get(class).map_or(0, Vec::len);
            for ((rates, reach), rank) in table.steps().iter().zip(&self.reach).zip(names(ladder)) {
                let wanted = depth.min(*reach);
                if rates.len() != wanted {
                    let problem = Problem::Uneven { rank: rank.into(), found: rates.len(), wanted };
                    return Err(Fault::at(["rates_by_rank", class.as_str(), rank], problem));
                }
            }
        }
        // A class without rates by rank would let a rank earn where another class says that it may not.
        let plain = self.rates.keys().find(|class| !self.rates_by_rank.contains_key(class));
        match plain.filter(|_| !self.rates_by_rank.is_empty()) {
            Some(class) => Err(Fault::at(["rates", class.as_str()], Problem::NothingUnlocks)),
            None => Ok(()),
        }
    }
}

impl Direct {
    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        for (class, table) in &mut self.rates_by_rank {
            let at = |problem| Fault::at(["rates_by_rank", class.as_str()], problem);
            table.resolve(ladder).map_err(at)?;
            if self.rates.contains_key(class) {
                return Err(at(Problem::TwoTables(class.clone())));
            }
            let highest = table.steps().iter().max().copied().unwrap_or(Rate::ZERO);
            self.rates.insert(class.clone(), highest);
        }
        if self.rates.is_empty() {
            return Err(Fault::at(["rates"], Problem::NoRates));
        }
        Ok(())
    }
}

impl Differential {
    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        self.rates.resolve_rising(ladder)
    }
}

impl Infinity {
    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        let (model, found) = match &mut self.model {
            InfinityModel::PureOverride(model) => ("pure_override", model.rates.resolve(ladder)),
            InfinityModel::Generational(model) => {
                let threshold = model.threshold.resolve(ladder);
                let threshold = threshold.map_err(|problem| Fault::at(["threshold"], problem));
                ("generational", threshold.and_then(|()| levels(&model.rates)))
            }
            InfinityModel::Differential(model) => {
                ("differential", model.rates.resolve_rising(ladder))
            }
        };
        found.map_err(|fault| fault.within(model).within("model"))
    }
}

impl Generation {
    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        let (Boundary::FixedRank(threshold) | Boundary::OwnRank(threshold)) = &mut self.boundary;
        threshold.resolve(ladder).map_err(|problem| Fault::at(["boundary"], problem))?;
        if let Some(unlocked) = &mut self.unlocked {
            unlocked.resolve(ladder).map_err(|problem| Fault::at(["unlocked"], problem))?;
        }
        levels(&self.rates)
    }
}

impl FastStart {
    pub(super) fn resolve(&mut self) -> Result<(), Fault> {
        levels(&self.rates)
    }
}

impl Binary {
    pub(super) fn resolve(&self) -> Result<(), Fault> {
        self.check().map_err(|error| {
            let path = match &error {
                PairsError::NotPositive { field, .. }
                    if field.starts_with("carry")
                        || field.starts_with("cap")
                        || *field == "owner_cap" =>
                {
                    field
                }
                PairsError::NotPositive { .. }
                | PairsError::Share { .. }
                | PairsError::Cycle(_)
                | PairsError::Tiers { .. }
                | PairsError::NoTiers(_)
                | PairsError::Shape { .. }
                | PairsError::Rates { .. }
                | PairsError::Tree { .. }
                | PairsError::TooFine { .. } => "pays",
            };
            Fault { path: path.split('.').map(Box::from).collect(), problem: Problem::Pairs(error) }
        })
    }
}

impl Matrix {
    pub(super) fn resolve(&self, ladder: &Ladder) -> Result<(), Fault> {
        self.check().map_err(|error| {
            let field = match &error {
                PairsError::NotPositive { field, .. } => field,
                PairsError::Rates { .. } => "rates",
                PairsError::Share { .. }
                | PairsError::Cycle(_)
                | PairsError::Tiers { .. }
                | PairsError::NoTiers(_)
                | PairsError::TooFine { .. }
                | PairsError::Tree { .. }
                | PairsError::Shape { .. } => "width",
            };
            Fault::at([field], Problem::Pairs(error))
        })?;
        let Unlocks::Rank { levels } = &self.unlocks else { return Ok(()) };
        match levels.keys().find(|rank| ladder.level(rank).is_none()) {
            Some(other) => Err(Fault::at(["unlocks", "levels"], unknown(other.as_str(), ladder))),
            None => Ok(()),
        }
    }
}

/// Checks rates by level: some, and none deeper than the engine walks.
fn levels(rates: &Levels) -> Result<(), Fault> {
    if rates.values().all(Vec::is_empty) {
        return Err(Fault::at(["rates"], Problem::NoRates));
    }
    match rates.iter().find(|(_, rates)| rates.len() > MAX_LEVELS) {
        Some((class, rates)) => Err(Fault::at(
            ["rates", class.as_str()],
            Problem::TooDeep { found: rates.len(), max: MAX_LEVELS },
        )),
        None => Ok(()),
    }
}
