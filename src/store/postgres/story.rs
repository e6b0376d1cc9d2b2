//! The story of orders: written with the order book, read by whoever asks why.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use super::{
    Postgres, classify,
    journal::{self, NumberedVolume},
    orders::from_json,
    to_i64, to_u64,
};
use crate::{
    domain::{commission::Run, story::Chapter},
    stream::ServiceError,
};

/// The columns of chapters, for UNNEST.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) keys: Vec<String>,
    pub(super) deliveries: Vec<&'a str>,
    pub(super) topics: Vec<&'a str>,
    pub(super) received: Vec<Timestamp>,
    pub(super) digests: Vec<&'a [u8]>,
    pub(super) facts: Vec<&'a str>,
    pub(super) said: Vec<&'a str>,
    pub(super) versions: Vec<Option<Timestamp>>,
    pub(super) effects: Vec<&'static str>,
    pub(super) reasons: Vec<Option<&'a str>>,
    pub(super) revisions: Vec<i64>,
    /// Whether the chapter changed nothing: it is written down whatever became of its order.
    pub(super) idle: Vec<bool>,
}

impl<'a> Columns<'a> {
    /// The columns of chapters, each with whether it is idle.
    pub(super) fn of(told: impl Iterator<Item = (&'a Chapter, bool)>) -> Self {
        let mut columns = Self::default();
        for (chapter, idle) in told {
            columns.keys.push(chapter.key.to_string());
            columns.deliveries.push(&chapter.delivery);
            columns.topics.push(&chapter.topic);
            columns.received.push(chapter.received_at);
            columns.digests.push(chapter.digest.as_bytes().as_slice());
            columns.facts.push(&chapter.fact);
            columns.said.push(&chapter.said);
            columns.versions.push(chapter.version_at);
            columns.effects.push(chapter.effect.as_str());
            columns.reasons.push(chapter.reason.as_deref());
            columns.revisions.push(to_i64(chapter.revision));
            columns.idle.push(idle);
        }
        columns
    }
}

/// All that is known of an order.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// Its key.
    pub order: String,
    /// `ready`, `parked` or `no_order_yet`.
    pub outcome: String,
    /// The revision of its state.
    pub revision: u64,
    /// What it waits for.
    pub waits: Vec<Wait>,
    /// Every event in the order of arrival.
    pub events: Vec<Told>,
    /// Every posted revision, oldest first.
    pub runs: Vec<PostedRun>,
}

/// What an order waits for.
#[derive(Debug, Clone, Serialize)]
pub struct Wait {
    /// `sku`, `distributor` or `line`.
    pub kind: String,
    /// Which one.
    pub value: String,
    /// Since when.
    pub since: Timestamp,
}

/// An event as it is written down.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// When it was received.
    pub received_at: Timestamp,
    /// The platform's topic.
    pub topic: String,
    /// The transport key of its delivery.
    pub delivery: String,
    /// What kind of fact it is.
    pub fact: String,
    /// What it said.
    pub said: String,
    /// The platform's version.
    pub version_at: Option<Timestamp>,
    /// What became of it.
    pub effect: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision after it.
    pub revision: u64,
}

/// A posted revision.
#[derive(Debug, Clone, Serialize)]
pub struct PostedRun {
    /// When it was posted.
    pub posted_at: Timestamp,
    /// The calculation.
    pub run: Run,
    /// The entries that it posted.
    pub entries: Vec<PostedEntry>,
    /// Its entries in the volume journal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<NumberedVolume>,
}

/// A posted entry.
#[derive(Debug, Clone, Serialize)]
pub struct PostedEntry {
    /// Its number in the ledger.
    pub seq: u64,
    /// Its identity.
    pub event_id: String,
    /// The order line.
    pub line: String,
    /// The component of the plan.
    pub component: String,
    /// The level.
    pub level: i16,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// How much.
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
    /// The number of the entry that it corrects.
    pub corrects: Option<u64>,
    /// Why it is breakage, if it is.
    pub breakage: Option<String>,
}

impl Postgres {
    /// The story of each order that `order` names: by its key `platform/store/id`, or by the
    /// platform's id alone.
    pub async fn stories(&self, order: &str) -> Result<Vec<Story>, ServiceError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT order_key, outcome, revision FROM upline.order_book
                 WHERE order_key = $1 OR split_part(order_key, '/', 3) = $1 ORDER BY 1",
                &[&order],
            )
            .await
            .map_err(classify)?;
        let mut stories = Vec::with_capacity(rows.len());
        for row in &rows {
            let order: String = row.get(0);
            stories.push(Story {
                outcome: row.get(1),
                revision: to_u64(row.get(2)),
                waits: self.waits_of(&order).await?,
                events: self.events_of(&order).await?,
                runs: self.runs_of(&order).await?,
                order,
            });
        }
        Ok(stories)
    }

    async fn waits_of(&self, order: &str) -> Result<Vec<Wait>, ServiceError> {
        let query = "SELECT kind, value, since FROM upline.order_wait WHERE order_key = $1
                     ORDER BY 1, 2";
        let rows = self.client().await?.query(query, &[&order]).await.map_err(classify)?;
        let wait = |row: &tokio_postgres::Row| Wait {
            kind: row.get(0),
            value: row.get(1),
            since: row.get(2),
        };
        Ok(rows.iter().map(wait).collect())
    }

    async fn events_of(&self, order: &str) -> Result<Vec<Told>, ServiceError> {
        let query = "SELECT received_at, topic, delivery, fact, said, version_at, effect, reason,
                            revision
                     FROM upline.order_event WHERE order_key = $1 ORDER BY seq";
        let rows = self.client().await?.query(query, &[&order]).await.map_err(classify)?;
        let told = |row: &tokio_postgres::Row| Told {
            received_at: row.get(0),
            topic: row.get(1),
            delivery: row.get(2),
            fact: row.get(3),
            said: row.get(4),
            version_at: row.get(5),
            effect: row.get(6),
            reason: row.get(7),
            revision: to_u64(row.get(8)),
        };
        Ok(rows.iter().map(told).collect())
    }

    async fn runs_of(&self, order: &str) -> Result<Vec<PostedRun>, ServiceError> {
        let client = self.client().await?;
        let query = "SELECT posted_at, calc_snapshot_json::text FROM upline.commission_run
                     WHERE order_key = $1 ORDER BY revision";
        let rows = client.query(query, &[&order]).await.map_err(classify)?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            let run = from_json(row.get(1))?;
            let (posted_at, entries, volumes) = (row.get(0), Vec::new(), Vec::new());
            runs.push(PostedRun { posted_at, run, entries, volumes });
        }
        let query = "SELECT e.revision, e.seq, e.event_id::text, e.line_id, e.component, e.level,
                            e.debit, e.credit, e.amount, e.currency, c.seq, e.breakage
                     FROM upline.ledger_entry e
                     LEFT JOIN upline.ledger_entry c ON c.event_id = e.corrects
                     WHERE e.order_key = $1 ORDER BY e.seq";
        for row in client.query(query, &[&order]).await.map_err(classify)? {
            let revision = to_u64(row.get(0));
            let entry = PostedEntry {
                seq: to_u64(row.get(1)),
                event_id: row.get(2),
                line: row.get(3),
                component: row.get(4),
                level: row.get(5),
                debit: row.get(6),
                credit: row.get(7),
                amount: row.get(8),
                currency: row.get(9),
                corrects: row.get::<_, Option<i64>>(10).map(to_u64),
                breakage: row.get(11),
            };
            if let Some(run) = runs.iter_mut().find(|run| run.run.order.revision == revision) {
                run.entries.push(entry);
            }
        }
        if runs.iter().any(|run| run.run.volumes.is_some()) {
            for (revision, volume) in journal::numbered(&client, order).await? {
                if let Some(run) = runs.iter_mut().find(|run| run.run.order.revision == revision) {
                    run.volumes.push(volume);
                }
            }
        }
        Ok(runs)
    }
}
