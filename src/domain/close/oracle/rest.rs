//! The components and caps, from their definitions.

use super::*;

/// What a bracket component says of a member, by recursion.
pub(super) struct Group {
    pub(super) picks: Volume,
    pub(super) cv: Volume,
    owed: Money,
    frontline: Money,
    pub(super) broken: bool,
}

impl Oracle<'_> {
    pub(super) fn group_of(&self, plan: &Bracket, member: usize) -> Group {
        let mut picks = self.measure(plan.picks, member);
        let mut cv = self.measure(Measure::Cv, member);
        let mut frontline = Money::ZERO;
        for below in self.frontline(member) {
            let group = self.group_of(plan, below);
            if !group.broken {
                picks += group.picks;
                cv += group.cv;
                frontline += group.owed;
            }
        }
        let reached = plan.table.iter().rfind(|step| step.from <= picks);
        let rate = reached.map_or(Rate::ZERO, |step| step.rate);
        let gross = self.money(cv.max(Volume::ZERO), plan.conversion, rate);
        let top = plan.table.last().unwrap().from;
        let broken = plan.breakaway == Breaks::TopBracket && picks >= top;
        let upwards = plan.inactive == InactiveGroup::PassUp && !self.stands[member].active;
        let passes = upwards && !broken && self.sponsor(member).is_some();
        Group { picks, cv, owed: if passes { frontline } else { gross }, frontline, broken }
    }

    pub(super) fn bracket(&self, plan: &Bracket) -> Outcome {
        let mut out = self.blank();
        for member in 0..self.stands.len() {
            let group = self.group_of(plan, member);
            if group.broken || self.sponsor(member).is_none() {
                out.totals.pool += group.owed;
            }
            let keeps = group.owed - group.frontline;
            if keeps.is_negative() {
                out.totals.pool += -keeps;
            } else if self.stands[member].active {
                out.pay(member, keeps);
            } else {
                out.lose(Unpaid::NotActive, keeps);
            }
        }
        out
    }

    pub(super) fn breakaway(&self, plan: &Breakaway) -> Outcome {
        let bracket = self.parts.components.iter().find_map(|component| match component {
            CloseComponent::Bracket(bracket) if bracket.id == plan.bracket => Some(bracket),
            CloseComponent::Bracket(_)
            | CloseComponent::Given(_)
            | CloseComponent::UnilevelVolume(_)
            | CloseComponent::Breakaway(_)
            | CloseComponent::Matching(_)
            | CloseComponent::RankBonus(_)
            | CloseComponent::Pool(_) => None,
        });
        let mut rule =
            Override { oracle: self, plan, bracket: bracket.unwrap(), out: self.blank() };
        for leg in 0..self.stands.len() {
            if self.sponsor(leg).is_some() && self.group_of(rule.bracket, leg).broken {
                rule.leg(leg);
            }
        }
        rule.out
    }

    pub(super) fn matching(&self, plan: &Matching, done: &[Outcome]) -> Outcome {
        let mut out = self.blank();
        let top = Self::top(&plan.rates);
        let rate = |m, generation| self.rate_at(&plan.rates, plan.rank, &[], (m, generation));
        for member in 0..self.stands.len() {
            let on = done.iter().filter(|d| plan.on.iter().any(|id| id.as_str() == d.id));
            let mut earned: Money = on.map(|d| d.paid[member]).sum();
            if plan.negative_earnings == NegativeEarnings::Ignore {
                earned = earned.max(Money::ZERO);
            }
            let open = |above, generation: usize| {
                let own = rate(above, generation);
                own.is_ok_and(|own| own != Rate::ZERO || top[generation - 1] == Rate::ZERO)
            };
            let holders = self.holders(member, top.len(), plan.compression, open);
            for (index, holder) in holders.into_iter().enumerate() {
                let offered = earned.scaled(top[index], self.rounding, self.currency);
                out.totals.pool += offered;
                match holder.ok_or(Unpaid::EndOfUpline).and_then(|m| Ok((m, rate(m, index + 1)?))) {
                    Err(reason) => out.lose(reason, offered),
                    Ok((above, rate)) => {
                        let amount = earned.scaled(rate, self.rounding, self.currency);
                        out.pay(above, amount);
                        out.lose(Unpaid::LowerRate, offered - amount);
                    }
                }
            }
        }
        out
    }

    pub(super) fn bonus(&self, plan: &RankBonus) -> Outcome {
        let mut out = self.blank();
        for member in 0..self.stands.len() {
            if plan.pays == Pays::Once && !self.stands[member].active {
                continue;
            }
            let rank = self.rank(plan.rank, member);
            let paid = |level: RankLevel| {
                let known = |p: &&PaidRank| p.component == plan.id && us(p.member) == member;
                self.inputs.paid_ranks.iter().filter(known).any(|p| p.rank == level)
            };
            let rows = plan.amounts.iter().map(|row| (self.level(&row.from), row.amount));
            let mut held: Vec<_> = rows.filter(|(from, _)| *from <= rank).collect();
            if plan.passed == Passed::Highest {
                held = held.pop().into_iter().collect();
            }
            for (from, amount) in held {
                let above = (from.0..=u8::MAX).map(RankLevel).any(paid);
                let again = match (plan.pays, plan.passed) {
                    (Pays::EveryPeriod, _) => false,
                    (Pays::Once, Passed::All) => paid(from),
                    (Pays::Once, Passed::Highest) => above,
                };
                if again {
                    continue;
                }
                out.totals.pool += amount;
                if self.stands[member].active {
                    out.pay(member, amount);
                } else {
                    out.lose(Unpaid::NotActive, amount);
                }
            }
        }
        out
    }

    pub(super) fn pool(&self, plan: &Pool) -> Outcome {
        let mut out = self.blank();
        let total = self.all_cv();
        let size = match plan.size {
            PoolSize::Fixed { amount } => amount,
            PoolSize::ShareOfCv { rate } => {
                self.money(total.max(Volume::ZERO), plan.conversion, rate)
            }
        };
        let carried = self.inputs.carried.iter().find(|c| c.component == plan.id);
        let size = size + carried.map_or(Money::ZERO, |c| c.amount);
        out.totals.pool = size;
        let shares = (0..self.stands.len()).filter(|m| self.stands[*m].active).filter_map(|m| {
            let rank = self.rank(plan.rank, m);
            let row = plan.shares.iter().rfind(|row| self.level(&row.from) <= rank);
            Some((m, i128::from(row?.shares)))
        });
        let shares: Vec<(usize, i128)> = shares.collect();
        if shares.is_empty() {
            match plan.nobody {
                Nobody::Breakage => out.lose(Unpaid::NobodyQualified, size),
                Nobody::Carry => out.totals.carried = size,
            }
        }
        for (member, cents) in largest_remainder(self.cents(size), &shares) {
            out.pay(member, self.of_cents(cents));
        }
        out
    }

    fn all_cv(&self) -> Volume {
        (0..self.stands.len()).map(|m| self.measure(Measure::Cv, m)).sum()
    }

    pub(super) fn cents(&self, amount: Money) -> i128 {
        let unit = self.currency.minor_unit().as_decimal();
        (amount.as_decimal() / unit).normalize().to_string().parse().unwrap()
    }

    pub(super) fn of_cents(&self, cents: i128) -> Money {
        let unit = self.currency.minor_unit();
        unit.times(rust_decimal::Decimal::from_i128_with_scale(cents, 0))
    }

    pub(super) fn cap(&self, cap: &Cap, done: &mut [Outcome]) {
        let counted: Vec<usize> = (0..done.len())
            .filter(|i| cap.counts.iter().any(|id| id.as_str() == done[*i].id))
            .collect();
        // What corrects closed periods had the caps of those: a limit of a distributor looks at the rest.
        let looked_at = |done: &[Outcome], i: usize, m: usize| -> i128 {
            let all = self.cents(done[i].paid[m]);
            match cap.limit {
                Limit::Distributor { .. } => all - self.corrected(&done[i].id, m),
                Limit::Company { .. } => all,
            }
        };
        let paid = |done: &[Outcome], m: usize| -> i128 {
            counted.iter().map(|i| looked_at(done, *i, m)).sum()
        };
        let members = 0..self.stands.len();
        // What each member has left.
        let mut left: Vec<i128> = members.clone().map(|m| paid(done, m)).collect();
        match &cap.limit {
            Limit::Distributor { amount, by_rank, rank } => {
                for member in members {
                    let rank = self.rank(*rank, member);
                    let row = by_rank.iter().rfind(|row| self.level(&row.from) <= rank);
                    let limit = row.map_or(*amount, |row| row.amount);
                    left[member] = left[member].min(self.cents(limit));
                }
            }
            Limit::Company { share_of_cv, method } => {
                let total = self.all_cv();
                let limit = self.cents(self.money(total.max(Volume::ZERO), None, *share_of_cv));
                if left.iter().sum::<i128>() <= limit {
                    return;
                }
                // What is taken back from some is left to the others.
                let total_limit = limit;
                let limit = limit - left.iter().filter(|cents| **cents < 0).sum::<i128>();
                match method {
                    CapMethod::ProRata => {
                        let weights: Vec<_> = left
                            .iter()
                            .copied()
                            .enumerate()
                            .filter(|(_, cents)| *cents > 0)
                            .collect();
                        for (member, cents) in largest_remainder(limit, &weights) {
                            left[member] = cents;
                        }
                    }
                    CapMethod::RankPriority => self.by_rank(limit, &mut left),
                    CapMethod::HardStop => return self.stop(cap, total_limit, &counted, done),
                }
            }
        }
        for (member, left) in left.into_iter().enumerate() {
            let excess = paid(done, member) - left;
            let weights: Vec<_> =
                counted.iter().map(|i| (*i, looked_at(done, *i, member).max(0))).collect();
            for (index, cents) in largest_remainder(excess, &weights) {
                self.cut(cap, &mut done[index], member, cents);
            }
        }
    }

    fn corrected(&self, component: &str, member: usize) -> i128 {
        let given = self.inputs.given.iter().find(|given| given.component.as_str() == component);
        let corrected = given.and_then(|given| given.unearned.as_ref()).map(|u| &u.corrected);
        let mine =
            corrected.into_iter().flatten().filter(|(m, _)| usize::try_from(*m) == Ok(member));
        mine.map(|(_, amount)| self.cents(*amount)).sum()
    }

    fn by_rank(&self, limit: i128, left: &mut [i128]) {
        let mut rest = limit;
        for rank in (0..=u8::MAX).rev().map(RankLevel) {
            let of_rank: Vec<(usize, i128)> = left
                .iter()
                .copied()
                .enumerate()
                .filter(|(m, cents)| self.stands[*m].paid_as == rank && *cents > 0)
                .collect();
            let sum: i128 = of_rank.iter().map(|(_, cents)| cents).sum();
            if sum > rest {
                for (member, cents) in largest_remainder(rest, &of_rank) {
                    left[member] = cents;
                }
                rest = 0;
            } else {
                rest -= sum;
            }
        }
    }

    fn stop(&self, cap: &Cap, limit: i128, counted: &[usize], done: &mut [Outcome]) {
        let mut rest = limit;
        for index in counted {
            for paid in &done[*index].paid {
                rest += self.cents(-*paid).max(0);
            }
        }
        for index in counted {
            for member in 0..self.stands.len() {
                let cents = self.cents(done[*index].paid[member]).max(0);
                let kept = cents.min(rest);
                rest -= kept;
                self.cut(cap, &mut done[*index], member, cents - kept);
            }
        }
    }

    fn cut(&self, cap: &Cap, out: &mut Outcome, member: usize, cents: i128) {
        if cents > 0 {
            out.paid[member] -= self.of_cents(cents);
            *out.totals.capped.entry(cap.id.clone()).or_default() += self.of_cents(cents);
        }
    }
}

/// Shares whole cents by weight: the whole parts first, then one cent each by the size of what was
/// cut off, the first of equals first.
fn largest_remainder(cents: i128, weights: &[(usize, i128)]) -> Vec<(usize, i128)> {
    let total: i128 = weights.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return Vec::new();
    }
    let mut shares: Vec<(usize, i128)> =
        weights.iter().map(|(who, weight)| (*who, cents * weight / total)).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(cents * weights[*i].1 % total));
    let rest = cents - shares.iter().map(|(_, share)| share).sum::<i128>();
    for index in order.into_iter().take(usize::try_from(rest).unwrap()) {
        shares[index].1 += 1;
    }
    shares
}

/// The override on legs that broke away.
struct Override<'a> {
    oracle: &'a Oracle<'a>,
    plan: &'a Breakaway,
    bracket: &'a Bracket,
    out: Outcome,
}

impl Override<'_> {
    fn refusal(&self, member: usize) -> Option<Unpaid> {
        let small = self.oracle.group_of(self.bracket, member).picks < self.plan.own_group;
        let small = small.then_some(Unpaid::OwnGroupTooSmall);
        if self.oracle.stands[member].active { small } else { Some(Unpaid::NotActive) }
    }

    fn receiver(&self, leg: usize) -> Result<usize, Unpaid> {
        let upline = self.oracle.upline(leg);
        match self.plan.unqualified {
            Unqualified::RollUp => {
                let mut able = upline.into_iter().filter(|m| self.refusal(*m).is_none());
                able.next().ok_or(Unpaid::EndOfUpline)
            }
            Unqualified::Breakage => self.refusal(upline[0]).map_or(Ok(upline[0]), Err),
        }
    }

    fn own(&self, leg: usize) -> Money {
        let cv = self.oracle.group_of(self.bracket, leg).cv.max(Volume::ZERO);
        self.oracle.money(cv, self.plan.conversion, self.plan.rate)
    }

    /// What a member receives from the legs below, before giving anything on.
    fn received(&self, member: usize) -> Money {
        let legs = (0..self.oracle.stands.len()).filter(|leg| {
            self.oracle.sponsor(*leg).is_some()
                && self.oracle.group_of(self.bracket, *leg).broken
                && self.receiver(*leg) == Ok(member)
        });
        legs.map(|leg| self.own(leg) + self.given_on(leg)).sum()
    }

    /// What the leader of a leg gives on of what they receive.
    fn given_on(&self, leg: usize) -> Money {
        let Guarantee::PassedUp { threshold } = self.plan.guarantee else { return Money::ZERO };
        let least = self.oracle.money(threshold, self.plan.conversion, self.plan.rate);
        (least - self.own(leg)).max(Money::ZERO).min(self.received(leg))
    }

    /// Who holds a generation of a leg, whether they may receive it or not.
    fn holder(&self, leg: usize, generation: usize) -> Option<usize> {
        let upline = |member| self.oracle.upline(member).into_iter();
        if generation == 1 {
            return match self.plan.unqualified {
                Unqualified::RollUp => self.receiver(leg).ok(),
                Unqualified::Breakage => upline(leg).next(),
            };
        }
        let able = |member: usize| self.refusal(member).is_none();
        let broken = |member: usize| self.oracle.group_of(self.bracket, member).broken;
        upline(self.holder(leg, generation - 1)?).find(|member| {
            match (self.plan.deeper.as_ref().unwrap().leader, self.plan.unqualified) {
                (Leader::Qualified, _) => able(*member),
                (Leader::BrokeAway, Unqualified::RollUp) => broken(*member) && able(*member),
                (Leader::BrokeAway, Unqualified::Breakage) => broken(*member),
            }
        })
    }

    fn deeper(&mut self, leg: usize) {
        let rates = self.plan.deeper.iter().flat_map(|deeper| deeper.rates.clone());
        for (generation, rate) in (2..).zip(rates) {
            let cv = self.oracle.group_of(self.bracket, leg).cv.max(Volume::ZERO);
            let amount = self.oracle.money(cv, self.plan.conversion, rate);
            self.out.totals.pool += amount;
            match self.holder(leg, generation) {
                None => self.out.lose(Unpaid::EndOfUpline, amount),
                Some(leader) => match self.refusal(leader) {
                    Some(reason) => self.out.lose(reason, amount),
                    None => self.out.pay(leader, amount),
                },
            }
        }
    }

    fn leg(&mut self, leg: usize) {
        self.deeper(leg);
        let own = self.own(leg);
        self.out.totals.pool += own;
        match self.receiver(leg) {
            Err(reason) => self.out.lose(reason, own),
            Ok(receiver) => {
                let moved = self.given_on(leg);
                self.out.pay(receiver, own + moved);
                self.out.pay(leg, -moved);
            }
        }
    }
}
