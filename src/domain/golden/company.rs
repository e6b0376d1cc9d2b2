//! The company of a case, as the engines take one: numbered members, the tree, the ranks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use toml::Spanned;

use super::Unusable;
use crate::domain::{
    close::NOBODY,
    commission::{RankBook, RankFact, RankSource},
    digest::Digest,
    genealogy::{Change, DistributorStatus, Genealogy, GenealogyEvent},
    id::{DistributorId, RankId},
    money::Currency,
    plan::{
        Plan,
        case::{ACCOUNTS, Case, Cases, MemberRow, Points, VolumeRow},
        rank::RankLevel,
        volume::LineVolumes,
    },
};

/// The word for no rank.
pub(super) const NO_RANK: &str = "none";

/// A company, its members numbered in the order of the case.
pub(super) struct Company<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cases: &'a Cases,
    pub(super) case: &'a Case,
    /// The rows of members; those of further positions are left out.
    pub(super) members: Vec<&'a Spanned<MemberRow>>,
    numbers: BTreeMap<&'a DistributorId, u32>,
    /// The number of each member's sponsor, [`NOBODY`] at the top.
    pub(super) sponsors: Vec<u32>,
    pub(super) tree: Genealogy,
    pub(super) ranks: RankBook,
    /// What orders are in.
    pub(super) currency: Currency,
}

impl<'a> Company<'a> {
    pub(super) fn new(plan: &'a Plan, cases: &'a Cases, case: &'a Case) -> Result<Self, Unusable> {
        let mut company = Self {
            plan,
            cases,
            case,
            members: Vec::new(),
            numbers: BTreeMap::new(),
            sponsors: Vec::new(),
            tree: Genealogy::default(),
            ranks: RankBook::default(),
            currency: currency(plan, case)?,
        };
        company.number()?;
        company.enrol()?;
        company.rank()?;
        Ok(company)
    }

    /// Numbers the members and finds their sponsors.
    fn number(&mut self) -> Result<(), Unusable> {
        for spanned in &self.case.members {
            let (line, row) = (self.cases.line(spanned), spanned.get_ref());
            if ACCOUNTS.contains(&row.id.as_str()) {
                let problem = format!("no member can be called {}: it is where money goes", row.id);
                return Err(Unusable::new(line, problem));
            }
            if row.owner.is_some() {
                continue;
            }
            let number = u32::try_from(self.members.len()).unwrap_or(NOBODY);
            if self.numbers.insert(&row.id, number).is_some() {
                return Err(Unusable::new(line, format!("two members are called {}", row.id)));
            }
            self.members.push(spanned);
        }
        for spanned in &self.members {
            let sponsor = spanned.get_ref().sponsor.as_ref();
            let line = self.cases.line(spanned);
            let found = sponsor.map_or(Ok(NOBODY), |sponsor| self.find(sponsor, line))?;
            self.sponsors.push(found);
        }
        Ok(())
    }

    /// The number of a member.
    pub(super) fn find(&self, id: &DistributorId, line: usize) -> Result<u32, Unusable> {
        let found = self.numbers.get(id).copied();
        found.ok_or_else(|| Unusable::new(line, format!("no member is called {id}")))
    }

    /// The number of a member, or of who owns a position of this name.
    pub(super) fn bearer(&self, id: &DistributorId, line: usize) -> Result<u32, Unusable> {
        let mut rows = self.case.members.iter().map(Spanned::get_ref);
        let owner = rows.find(|row| row.id == *id).and_then(|row| row.owner.as_ref());
        self.find(owner.unwrap_or(id), line)
    }

    /// What a row adds to the volumes of a member.
    pub(super) fn volumes(&self, spanned: &Spanned<VolumeRow>) -> Result<LineVolumes, Unusable> {
        let (line, row) = (self.cases.line(spanned), spanned.get_ref());
        let wrong = |problem| Err(Unusable::new(line, problem));
        if let (Some(net), Some(rules)) = (row.net, &self.plan.volumes) {
            if row.points.or(row.pv).is_some() {
                return wrong("of `net` the plan makes the volumes: drop `points` and `pv`");
            }
            let unit = |stated: Option<Points>| stated.map(|points| points.0);
            let stated = (unit(row.qv), unit(row.cv));
            return Ok(rules.of_line(net.0, stated, row.retail));
        }
        if row.points.or(row.pv).or(row.qv).or(row.cv).is_none() {
            return wrong(
                "no volume: write `points`, or `pv`, `qv` and `cv`, or `net` of an order",
            );
        }
        if row.retail {
            return wrong("`retail` goes with `net`: volumes as they are need no rule");
        }
        let [pv, qv, cv] =
            [row.pv, row.qv, row.cv].map(|own| own.or(row.points).unwrap_or_default().0);
        Ok(LineVolumes { pv, qv, cv })
    }

    /// The step of a rank; 0 for `none`.
    pub(super) fn level(&self, rank: &RankId, line: usize) -> Result<RankLevel, Unusable> {
        if rank.as_str() == NO_RANK {
            return Ok(RankLevel(0));
        }
        let found = self.plan.ranks.level(rank);
        found.ok_or_else(|| Unusable::new(line, format!("the plan has no rank {rank}")))
    }

    /// The members by number, with their names.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &DistributorId)> {
        (0..).zip(&self.members).map(|(number, row)| (number, &row.get_ref().id))
    }

    /// The name of a member.
    pub(super) fn name(&self, number: u32) -> &str {
        let row = usize::try_from(number).ok().and_then(|index| self.members.get(index));
        row.map_or("nobody", |row| row.get_ref().id.as_str())
    }

    fn enrol(&mut self) -> Result<(), Unusable> {
        for spanned in &self.members {
            let (line, row) = (self.cases.line(spanned), spanned.get_ref());
            let at = row.enrolled.map_or(Timestamp::UNIX_EPOCH, |enrolled| enrolled.0);
            append(&mut self.tree, row, Change::Enrolled(row.sponsor.clone()), at, line)?;
            if row.status != DistributorStatus::Active {
                append(&mut self.tree, row, Change::Status(row.status), at, line)?;
            }
        }
        Ok(())
    }

    fn rank(&mut self) -> Result<(), Unusable> {
        for spanned in &self.members {
            let (line, row) = (self.cases.line(spanned), spanned.get_ref());
            let Some(rank) = &row.rank else { continue };
            self.level(rank, line)?;
            if self.case.orders.is_empty() {
                let problem = "`rank` is that of orders; a period works the ranks out: state \
                               `achieved`, or force one in the period";
                return Err(Unusable::new(line, problem));
            }
            let fact = RankFact {
                seq: self.ranks.version().saturating_add(1),
                distributor: row.id.clone(),
                paid_as: (rank.as_str() != NO_RANK).then(|| rank.clone()),
                effective_at: Timestamp::UNIX_EPOCH,
                source: RankSource::PeriodClose,
            };
            let recorded = self.ranks.record(&fact, &self.tree);
            recorded.map_err(|error| Unusable::new(line, error))?;
        }
        Ok(())
    }
}

fn currency(plan: &Plan, case: &Case) -> Result<Currency, Unusable> {
    let stated = case.currency.or(plan.currency).map(Ok);
    let found = stated.unwrap_or_else(|| Currency::parse("EUR"));
    found.map_err(|error| Unusable::new(1, error))
}

fn append(
    tree: &mut Genealogy,
    row: &MemberRow,
    change: Change,
    at: Timestamp,
    line: usize,
) -> Result<(), Unusable> {
    let version = tree.version();
    let mut event = GenealogyEvent {
        seq: version.seq.saturating_add(1),
        distributor: row.id.clone(),
        change,
        effective_at: at,
        recorded_at: at,
        hash: Digest::ZERO,
    };
    event.hash = event.chained(&version.hash);
    tree.apply(&event).map_err(|error| Unusable::new(line, error))
}
