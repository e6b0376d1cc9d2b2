//! What to post: the difference between what an order should have produced and what is posted.
//!
//! Invariant: an entry is a transfer from a debit to a credit account with an amount above zero, so
//! the books balance by construction. Nothing posted is ever changed: a correction is a new entry
//! that points to the one that it corrects.
//!
//! Invariant: after posting, the sum per position is what the newest run says; so any sequence of
//! revisions ends at the last one's lines, and an order that earns nothing ends at exactly zero. The
//! currency is part of a position: amounts of two currencies are never netted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    commission::{Account, Breakage, Run},
    digest::Digest,
    id::{ComponentId, LineId, OrderKey},
    money::{Currency, Money},
};

/// The account that commission is paid from.
pub const EXPENSE: &str = "commission";

/// The identity of an entry: a hash of order, revision and position, written as a UUID (version 8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId([u8; 16]);

impl EventId {
    fn of(key: &OrderKey, revision: u64, position: &Position) -> Self {
        let digest = Digest::of_fields([
            key.to_string().as_bytes(),
            &revision.to_be_bytes(),
            position.line.as_str().as_bytes(),
            position.account.to_string().as_bytes(),
            position.component.as_str().as_bytes(),
            &position.level.to_be_bytes(),
            position.currency.as_str().as_bytes(),
        ]);
        Self::from_digest(&digest)
    }

    /// The identity that a digest of all that tells an entry from others makes.
    pub(super) fn from_digest(digest: &Digest) -> Self {
        let mut bytes = digest.short();
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x80;
        *variant = *variant & 0x3f | 0x80;
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; 32];
        hex::encode_to_slice(self.0, &mut digits).or(Err(fmt::Error))?;
        let digits = std::str::from_utf8(&digits).or(Err(fmt::Error))?;
        for (start, end) in [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)] {
            if start > 0 {
                f.write_str("-")?;
            }
            f.write_str(digits.get(start..end).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is a UUID")]
pub struct EventIdError;

impl TryFrom<String> for EventId {
    type Error = EventIdError;
    fn try_from(text: String) -> Result<Self, EventIdError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.replace('-', ""), &mut bytes).map_err(|_bad| EventIdError)?;
        Ok(Self(bytes))
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

/// What an amount is for: the ledger nets amounts per position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The order line.
    pub line: LineId,
    /// The component of the plan.
    pub component: ComponentId,
    /// The level, 0 for direct commission.
    pub level: u16,
    /// Who gets it.
    pub account: Account,
    /// The currency that it is paid in.
    pub currency: Currency,
}

/// What is posted on a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The position.
    pub position: Position,
    /// The signed sum of its entries.
    pub amount: Money,
    /// The last entry that gave money: a reversal points to it.
    pub last_earned: Option<EventId>,
}

/// Which way an entry moves the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// From the company's commission expense to the beneficiary.
    Earned,
    /// Back: the order gave less than what is posted.
    Reversed,
}

impl Kind {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earned => "earned",
            Self::Reversed => "reversed",
        }
    }
}

/// One entry to post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity; posting it twice is refused by a unique key.
    pub event_id: EventId,
    /// What it is for.
    pub position: Position,
    /// Which way the money moves.
    pub kind: Kind,
    /// How much; above zero.
    pub amount: Money,
    /// The entry that it corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<EventId>,
    /// Why the money is breakage, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakage: Option<Breakage>,
}

impl Entry {
    /// The account that gives.
    pub fn debit(&self) -> String {
        match self.kind {
            Kind::Earned => EXPENSE.to_owned(),
            Kind::Reversed => self.position.account.to_string(),
        }
    }

    /// The account that receives.
    pub fn credit(&self) -> String {
        match self.kind {
            Kind::Earned => self.position.account.to_string(),
            Kind::Reversed => EXPENSE.to_owned(),
        }
    }

    /// The amount as the beneficiary sees it: a reversal is negative.
    pub fn signed(&self) -> Money {
        match self.kind {
            Kind::Earned => self.amount,
            Kind::Reversed => -self.amount,
        }
    }

    /// The leaf of the entry in its block's Merkle tree: everything that the entry says.
    pub fn leaf(&self, key: &OrderKey, revision: u64, placed_at: Timestamp) -> Digest {
        let corrects = self.corrects.map(|id| id.to_string()).unwrap_or_default();
        Digest::of_fields([
            b"entry".as_slice(),
            self.event_id.as_bytes().as_slice(),
            key.to_string().as_bytes(),
            &revision.to_be_bytes(),
            self.position.line.as_str().as_bytes(),
            self.position.component.as_str().as_bytes(),
            &self.position.level.to_be_bytes(),
            self.debit().as_bytes(),
            self.credit().as_bytes(),
            self.amount.to_string().as_bytes(),
            self.position.currency.as_str().as_bytes(),
            corrects.as_bytes(),
            self.breakage.map_or("", Breakage::as_str).as_bytes(),
            &placed_at.as_microsecond().to_be_bytes(),
        ])
    }
}

/// The leaf of a calculation in its block's Merkle tree: its identity and the text of its snapshot,
/// so that no calculation can be altered or left out, not even one that posts nothing.
pub fn run_leaf(key: &OrderKey, revision: u64, snapshot: &str) -> Digest {
    Digest::of_fields([
        b"run".as_slice(),
        key.to_string().as_bytes(),
        &revision.to_be_bytes(),
        snapshot.as_bytes(),
    ])
}

/// The entries that bring what is posted for an order to what its newest run says.
pub fn post(run: &Run, posted: &[Posted]) -> Vec<Entry> {
    let currency = run.order.payout_currency();
    let mut target: BTreeMap<Position, (Money, Option<Breakage>)> = BTreeMap::new();
    for line in &run.lines {
        let position = Position {
            line: line.line.clone(),
            component: line.component.clone(),
            level: line.level,
            account: line.account.clone(),
            currency,
        };
        let sum = target.entry(position).or_insert((Money::ZERO, line.breakage));
        sum.0 += line.amount;
    }
    let known: BTreeMap<&Position, &Posted> = posted.iter().map(|p| (&p.position, p)).collect();
    let positions: BTreeSet<&Position> = target.keys().chain(known.keys().copied()).collect();
    let mut entries = Vec::new();
    for position in positions {
        let (wanted, breakage) = target.get(position).copied().unwrap_or_default();
        let known = known.get(position);
        let delta = wanted - known.map_or(Money::ZERO, |posted| posted.amount);
        if delta.is_zero() {
            continue;
        }
        entries.push(Entry {
            event_id: EventId::of(&run.order.key, run.order.revision, position),
            position: position.clone(),
            kind: if delta.is_positive() { Kind::Earned } else { Kind::Reversed },
            amount: delta.abs(),
            corrects: known.and_then(|posted| posted.last_earned),
            breakage,
        });
    }
    entries
}

/// The Merkle root over the leaves of a block; the root of no leaves is zero. An odd node goes up
/// unchanged, and leaves and nodes cannot be mistaken for each other because a leaf hashes framed
/// fields and a node exactly two digests.
pub fn merkle_root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Digest::join(left, right),
                [one] => *one,
                _ => Digest::ZERO,
            })
            .collect();
    }
    level.first().copied().unwrap_or(Digest::ZERO)
}

/// The hash of a block: its number, the hash of the block before, the Merkle root of its leaves
/// (the calculations by order key, then the entries by number, then those of the volume journal by
/// number) and how many of them are entries. A block with volumes says last how many of those it has.
pub fn block_hash(
    number: u64,
    previous: &Digest,
    root: &Digest,
    entries: u64,
    volumes: u64,
) -> Digest {
    let (number, entries) = (number.to_be_bytes(), entries.to_be_bytes());
    let volumes = (volumes > 0).then(|| volumes.to_be_bytes());
    let fields = [number.as_slice(), previous.as_bytes(), root.as_bytes(), &entries];
    Digest::of_fields(fields.into_iter().chain(volumes.iter().map(<[u8; 8]>::as_slice)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        commission::{Attribution, CommissionLine, Locks, MappedOrder},
        genealogy::GenealogyVersion,
        id::DistributorId,
        money::Rate,
        order::{RefundPolicy, Status},
        plan::PlanRef,
    };

    fn euros(revision: u64, lines: &[(u8, u16, i64)]) -> Run {
        run("EUR", revision, lines)
    }

    fn run(currency: &str, revision: u64, lines: &[(u8, u16, i64)]) -> Run {
        let order = MappedOrder {
            key: OrderKey::parse("shopify/acme/1").unwrap(),
            revision,
            status: Status::Paid,
            refund_policy: RefundPolicy::default(),
            placed_at: Timestamp::UNIX_EPOCH,
            currency: Currency::parse(currency).unwrap(),
            total: Money::ZERO,
            attribution: Attribution::default(),
            locks: Locks {
                genealogy: GenealogyVersion::EMPTY,
                plan: PlanRef { id: "p".into(), version: 1, hash: Digest::ZERO },
                catalog: 0,
                late_lines: BTreeMap::new(),
                rate: None,
                attribution: None,
                ranks: None,
                ranks_hash: None,
            },
            chargebacks: Vec::new(),
            lines: Vec::new(),
        };
        let lines = lines
            .iter()
            .map(|(line, level, cents)| CommissionLine {
                line: LineId::parse(&line.to_string()).unwrap(),
                component: ComponentId::parse("unilevel").unwrap(),
                level: *level,
                account: match level {
                    0 => Account::Breakage,
                    n => Account::Distributor(DistributorId::parse(&n.to_string()).unwrap()),
                },
                base: Money::ZERO,
                rate: Rate::ZERO,
                amount: Money::from_decimal(rust_decimal::Decimal::new(*cents, 2)).unwrap(),
                breakage: None,
                rank: None,
                own: None,
                volume: None,
            })
            .collect();
        Run {
            engine: "test".into(),
            order_hash: order.hash(),
            order,
            walks: BTreeMap::new(),
            lines,
            totals: BTreeMap::new(),
            idle: BTreeMap::new(),
            volumes: None,
        }
    }

    /// The naive ledger: keeps every entry and sums when asked.
    #[derive(Default)]
    struct Book(Vec<Entry>);

    impl Book {
        fn posted(&self) -> Vec<Posted> {
            let mut sums: BTreeMap<Position, Posted> = BTreeMap::new();
            for entry in &self.0 {
                let posted = sums.entry(entry.position.clone()).or_insert_with(|| Posted {
                    position: entry.position.clone(),
                    amount: Money::ZERO,
                    last_earned: None,
                });
                posted.amount += entry.signed();
                if entry.kind == Kind::Earned {
                    posted.last_earned = Some(entry.event_id);
                }
            }
            sums.into_values().collect()
        }

        fn sums(&self) -> Vec<(Position, Money)> {
            let all = self.posted().into_iter().map(|p| (p.position, p.amount));
            all.filter(|(_, amount)| !amount.is_zero()).collect()
        }
    }

    fn lines() -> impl Strategy<Value = Vec<(u8, u16, i64)>> {
        prop::collection::vec((0u8..3, 0u16..4, 0i64..5000), 0..8)
    }

    fn currency() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["EUR", "USD", "JPY"])
    }

    #[test]
    fn a_change_of_currency_takes_all_of_the_old_one_back_and_posts_the_new_one() {
        let first = post(&run("EUR", 1, &[(1, 1, 1000)]), &[]);
        let mut book = Book(first.clone());
        let told = |entry: &Entry| {
            let currency = entry.position.currency;
            (entry.kind, entry.amount.to_string(), currency.to_string(), entry.corrects)
        };
        let second = post(&run("USD", 2, &[(1, 1, 1100)]), &book.posted());
        let mut found: Vec<_> = second.iter().map(told).collect();
        found.sort();
        let taken = (Kind::Reversed, "10.00".to_owned(), "EUR".to_owned(), Some(first[0].event_id));
        assert_eq!(found, [(Kind::Earned, "11.00".to_owned(), "USD".to_owned(), None), taken]);
        assert_ne!(second[0].event_id, second[1].event_id);
        book.0.extend(second);
        let third = post(&run("EUR", 3, &[(1, 1, 400)]), &book.posted());
        assert_eq!(third.len(), 2, "{third:?}");
        book.0.extend(third);
        let sums: Vec<String> =
            book.sums().iter().map(|(p, m)| format!("{m} {}", p.currency)).collect();
        assert_eq!(sums, ["4.00 EUR"]);
    }

    proptest! {
        /// Whatever came before, and in whatever currencies, the sums per position and currency are
        /// those of the last run; no event id repeats; a run without lines ends at zero; every
        /// reversal points to what it takes back, in its currency; and posting the same run again
        /// posts nothing.
        #[test]
        fn the_ledger_ends_where_the_last_run_says(
            history in prop::collection::vec((currency(), lines()), 1..6),
        ) {
            let mut book = Book::default();
            for (revision, (currency, lines)) in (1u64..).zip(&history) {
                let entries = post(&run(currency, revision, lines), &book.posted());
                for entry in &entries {
                    prop_assert!(entry.amount.is_positive());
                    prop_assert_ne!(entry.debit(), entry.credit());
                    if entry.kind == Kind::Reversed {
                        let corrected = book.0.iter().find(|e| Some(e.event_id) == entry.corrects);
                        prop_assert_eq!(&corrected.unwrap().position, &entry.position);
                    } else {
                        prop_assert_eq!(entry.position.currency.as_str(), *currency);
                    }
                }
                book.0.extend(entries);
                prop_assert!(post(&run(currency, revision, lines), &book.posted()).is_empty());
                let elsewhere = book.sums().into_iter().filter(|(p, _)| p.currency.as_str() != *currency);
                prop_assert_eq!(elsewhere.count(), 0, "money of another currency is left");
            }
            let ids: BTreeSet<EventId> = book.0.iter().map(|e| e.event_id).collect();
            prop_assert_eq!(ids.len(), book.0.len());

            let mut fresh = Book::default();
            let (currency, last) = history.last().unwrap();
            fresh.0.extend(post(&run(currency, 1, last), &[]));
            prop_assert_eq!(book.sums(), fresh.sums());

            book.0.extend(post(&euros(99, &[]), &book.posted()));
            prop_assert!(book.sums().is_empty());
        }
    }

    #[test]
    fn an_event_id_is_a_uuid_and_reads_back() {
        let entry = &post(&euros(1, &[(1, 1, 100)]), &[])[0];
        let text = String::from(entry.event_id);
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "8");
        assert_eq!(EventId::try_from(text), Ok(entry.event_id));
    }

    #[test]
    fn a_root_depends_on_every_leaf_and_its_place() {
        let leaves: Vec<Digest> = (0u8..5).map(|n| Digest::of(&[n])).collect();
        let root = merkle_root(&leaves);
        for index in 0..leaves.len() {
            let mut altered = leaves.clone();
            altered[index] = Digest::of(b"x");
            assert_ne!(merkle_root(&altered), root);
        }
        let mut swapped = leaves.clone();
        swapped.swap(0, 4);
        assert_ne!(merkle_root(&swapped), root);
        assert_eq!(merkle_root(&[]), Digest::ZERO);
    }
}
