//! The company of the bench: a tree that is a formula, a plan of ten levels, and what every order
//! must earn, computed apart from the program.

use std::{fmt::Write as _, fs, path::Path, pin::pin};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use tokio_postgres::{Client, binary_copy::BinaryCopyInWriter, types::Type};
use upline::domain::{
    digest::Digest,
    genealogy::{Change, GenealogyEvent},
    id::DistributorId,
};

use crate::order::Order;

/// Levels of the plan: ledger rows of an order.
pub(crate) const LEVELS: usize = 10;
/// The rates of the levels in hundredths of a percent.
pub(crate) const RATES: [u64; LEVELS] = [500, 400, 300, 200, 150, 100, 100, 50, 50, 25];
/// The first distributor; every id has eight digits.
const FIRST: u32 = 10_000_000;
/// A bigger company is written into the tables as `upline import` would have, without its triggers,
/// which take a minute for ten thousand on a busy machine.
const MOST_IMPORTED: u32 = 2_000;

/// A well-mixed number that depends on two others.
pub(crate) fn mix(number: u64, salt: u64) -> u64 {
    let mut z = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A tree of distributors, numbered from 0, a sponsor always before those below.
///
/// The first `depth` stand in one line; everybody else is somewhere below its end, so every order
/// has an upline of at least `depth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Company {
    size: u32,
    depth: u32,
}

impl Company {
    /// A company of `size` distributors, whose leg is `depth` long.
    pub(crate) fn new(size: u32, depth: u32) -> anyhow::Result<Self> {
        ensure!(depth >= 12, "every order needs an upline of more than ten");
        ensure!(size > depth, "more distributors than the leg is long");
        ensure!(size <= 80_000_000, "an id has eight digits");
        Ok(Self { size, depth })
    }

    /// How many distributors there are.
    pub(crate) fn size(self) -> u32 {
        self.size
    }

    /// Somebody below the leg.
    pub(crate) fn referrer(self, drawn: u64) -> u32 {
        self.depth + modulo(drawn, self.size - self.depth)
    }

    /// Who enrolled a distributor.
    pub(crate) fn sponsor(self, of: u32) -> Option<u32> {
        let before = of.checked_sub(1)?;
        if of <= self.depth {
            return Some(before);
        }
        Some(self.depth + modulo(mix(u64::from(of), 7), of - self.depth))
    }

    /// The id of a distributor.
    pub(crate) fn id(of: u32) -> u32 {
        FIRST + of
    }

    /// What the ledger must say of an order: for each level who gets how many cents.
    pub(crate) fn expected(self, order: Order) -> [(u32, u64); LEVELS] {
        let mut at = Some(order.referrer);
        RATES.map(|rate| {
            let who = at.unwrap_or_default();
            at = at.and_then(|member| self.sponsor(member));
            (Self::id(who), half_even(order.cents * rate, 10_000))
        })
    }

    /// Imports the company by `upline import`, or writes it as that would.
    pub(crate) async fn found(
        self,
        client: &mut Client,
        folder: &Path,
        import: impl AsyncFn(&[&str]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let articles = folder.join("articles.csv");
        fs::write(&articles, ARTICLES)?;
        import(&["import", "skus", &articles.display().to_string()]).await?;
        if self.size > MOST_IMPORTED {
            return self.write(client).await;
        }
        let mut csv = "distributor_id,sponsor_id,status,country,created_at\n".to_owned();
        for of in 0..self.size {
            let sponsor = self.sponsor(of).map(|s| Self::id(s).to_string()).unwrap_or_default();
            writeln!(csv, "{},{sponsor},active,US,{ENROLLED}", Self::id(of))?;
        }
        let people = folder.join("people.csv");
        fs::write(&people, csv)?;
        import(&["import", "distributors", &people.display().to_string()]).await
    }

    /// Writes distributors and their events with the chain of hashes that the triggers would make.
    async fn write(self, client: &mut Client) -> anyhow::Result<()> {
        let enrolled: Timestamp = ENROLLED.parse()?;
        let tx = client.transaction().await?;
        tx.batch_execute("SET LOCAL session_replication_role = replica").await?;
        let rows = tx
            .copy_in(
                "COPY upline.distributors (distributor_id, sponsor_id, created_at)
                 FROM STDIN BINARY",
            )
            .await?;
        let mut rows =
            pin!(BinaryCopyInWriter::new(rows, &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ]));
        for of in 0..self.size {
            let sponsor = self.sponsor(of).map(|s| Self::id(s).to_string());
            rows.as_mut().write(&[&Self::id(of).to_string(), &sponsor, &enrolled]).await?;
        }
        rows.finish().await?;
        let events = tx
            .copy_in(
                "COPY upline.genealogy_event
                     (seq, distributor_id, sponsor_id, kind, effective_at, recorded_at, hash)
                 FROM STDIN BINARY",
            )
            .await?;
        let types = [
            Type::INT8,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMPTZ,
            Type::BYTEA,
        ];
        let mut events = pin!(BinaryCopyInWriter::new(events, &types));
        let mut previous = Digest::ZERO;
        for of in 0..self.size {
            let name = |of: u32| DistributorId::parse(&Self::id(of).to_string());
            let sponsor = self.sponsor(of).map(name).transpose()?;
            let mut event = GenealogyEvent {
                seq: u64::from(of) + 1,
                distributor: name(of)?,
                change: Change::Enrolled(sponsor),
                effective_at: enrolled,
                recorded_at: enrolled,
                hash: Digest::ZERO,
            };
            event.hash = event.chained(&previous);
            previous = event.hash;
            let sponsor = event.change.sponsor().map(DistributorId::as_str);
            let seq = i64::from(of) + 1;
            let hash = event.hash.as_bytes().as_slice();
            let who = event.distributor.as_str();
            let kind = event.change.kind();
            events
                .as_mut()
                .write(&[&seq, &who, &sponsor, &kind, &enrolled, &enrolled, &hash])
                .await?;
        }
        events.finish().await?;
        tx.commit().await.context("the company is not written")
    }
}

/// When everybody enrolled: before every order.
const ENROLLED: &str = "2026-01-01T00:00:00Z";

const ARTICLES: &str = "\
sku_id,platform,platform_sku,name,category,commission_class
BENCH-EARNS,any,BENCH-EARNS,Wellness capsules,wellness,earns
BENCH-BESIDE-0,any,BENCH-BESIDE-0,Shaker,accessories,beside
BENCH-BESIDE-1,any,BENCH-BESIDE-1,Brochure,accessories,beside
";

/// The plan file.
pub(crate) fn plan() -> String {
    let rates: Vec<String> =
        RATES.iter().map(|rate| format!("\"{}.{:02} %\"", rate / 100, rate % 100)).collect();
    format!(
        "id = \"bench\"\nversion = 1\neffective_from = \"2020-01-01T00:00:00Z\"\n\
         rounding = \"half_even\"\n\n[[component]]\nkind = \"unilevel\"\nid = \"unilevel\"\n\
         compression = \"roll_up\"\nfirst_level = \"referrer\"\n\
         rates = {{ earns = [{}] }}\n",
        rates.join(", ")
    )
}

fn modulo(number: u64, by: u32) -> u32 {
    u32::try_from(number % u64::from(by)).unwrap_or_default()
}

/// A quotient rounded to the nearest, a half to the even one.
fn half_even(number: u64, by: u64) -> u64 {
    let (whole, rest) = (number / by, number % by);
    let up = rest * 2 > by || (rest * 2 == by && whole % 2 == 1);
    whole + u64::from(up)
}
