//! What the books and the warehouse say.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use tokio_postgres::Row;
use upline::domain::{
    commission::{Account, VolumeSource},
    digest::Digest,
    id::{ComponentId, DistributorId, LineId, OrderKey},
    journal::{VolumeEntry, VolumePosition},
    ledger::{Entry, EventId, Kind, Position, block_hash, merkle_root, run_leaf},
    money::{Currency, Money},
    plan::volume::LineVolumes,
    volume::Volume,
};

use super::{STAGES, World, eventually};

impl World {
    /// Rows of the books, read as the owner of the database.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Row> {
        self.owner.query(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    /// Runs a statement as the owner of the database.
    pub(crate) async fn execute(&self, text: &str) -> Result<(), tokio_postgres::Error> {
        self.owner.batch_execute(text).await
    }

    /// Runs a statement that the books refuse, and gives their reason.
    pub(crate) async fn refuses(&self, text: &str) -> String {
        let Err(error) = self.execute(text).await else { panic!("nobody refuses {text}") };
        error.as_db_error().unwrap_or_else(|| panic!("{text}: {error:?}")).message().to_owned()
    }

    /// One number of the books.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.rows(query).await[0].get(0)
    }

    /// What each distributor has earned on an order, without zeros, as `11043 19.80`.
    pub(crate) async fn paid(&self, order_id: &str) -> Vec<String> {
        let query = format!(
            "SELECT coalesce(distributor_id, 'breakage'), sum(amount) FROM upline.ledger
             WHERE order_id = '{order_id}' GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1"
        );
        let line = |row: &Row| {
            let mut amount: Decimal = row.get(1);
            amount.rescale(2);
            format!("{} {amount}", row.get::<_, &str>(0))
        };
        self.rows(&query).await.iter().map(line).collect()
    }

    /// Waits until an order pays exactly this.
    pub(crate) async fn pays(&self, order_id: &str, wanted: &[&str]) {
        eventually(&format!("order {order_id} pays {wanted:?}"), async || {
            (self.paid(order_id).await == wanted).then_some(())
        })
        .await;
    }

    /// Lines of text from the warehouse.
    pub(crate) async fn analysed(&self, query: &str) -> Vec<String> {
        self.warehouse.client().query(query).fetch_all::<String>().await.unwrap()
    }

    /// Waits until every stage has settled all that there is.
    pub(crate) async fn settles(&self) {
        eventually("every stage has settled everything", async || {
            // In the order of the stages: what an earlier one has settled is with a later one.
            for (stream, stage) in STAGES {
                if self.log.lag(stream, stage).await.ok()? > 0 {
                    return None;
                }
            }
            let behind = "SELECT coalesce((SELECT max(number) FROM upline.ledger_block), 0) - block
                          FROM upline.warehouse_mark";
            (self.count(behind).await == 0).then_some(())
        })
        .await;
    }

    /// Every entry of the books as a line of text.
    pub(crate) async fn ledger_lines(&self) -> Vec<String> {
        let query = "SELECT event_id::text, order_key, revision, line_id, component, level::int,
                coalesce(distributor_id, ''), kind, amount::numeric(38, 6)::text, currency
             FROM upline.ledger ORDER BY event_id::text";
        let rows = self.rows(query).await;
        rows.iter()
            .map(|row| {
                let mut line = String::new();
                for column in [0, 1] {
                    write!(line, "{} ", row.get::<_, &str>(column)).unwrap();
                }
                write!(line, "{} ", row.get::<_, i64>(2)).unwrap();
                write!(line, "{} {} ", row.get::<_, &str>(3), row.get::<_, &str>(4)).unwrap();
                write!(line, "{}", row.get::<_, i32>(5)).unwrap();
                for column in 6..10 {
                    write!(line, " {}", row.get::<_, &str>(column)).unwrap();
                }
                line
            })
            .collect()
    }

    /// Every entry of the warehouse as the same line of text.
    pub(crate) async fn warehouse_lines(&self) -> Vec<String> {
        self.analysed(
            "SELECT concat(toString(event_id), ' ', order_key, ' ', toString(revision), ' ',
                line_id, ' ', component, ' ', toString(level), ' ', distributor_id, ' ', kind, ' ',
                toDecimalString(amount, 6), ' ', currency) AS line
             FROM commission_lines ORDER BY toString(event_id)",
        )
        .await
    }

    /// Waits until the warehouse holds exactly what the books hold.
    pub(crate) async fn warehouse_agrees(&self) {
        self.settles().await;
        let (books, warehouse) = (self.ledger_lines().await, self.warehouse_lines().await);
        assert_eq!(books, warehouse);
        let query = "SELECT count(*) FROM (SELECT DISTINCT order_key FROM upline.commission_run)";
        let orders = self.count(query).await;
        let counted = self.analysed("SELECT toString(count()) FROM orders").await;
        assert_eq!(counted, [orders.to_string()]);
    }

    /// Waits until the warehouse says of everybody's pay, of orders and of closes, what the books say.
    pub(crate) async fn statements_agree(&self) {
        self.settles().await;
        let books = "SELECT concat_ws(' ', event_id, distributor_id, source, coalesce(order_key, period), component,
                         trunc(amount, 6)::numeric(38, 6), currency, to_char(earned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
                     FROM upline.statement ORDER BY event_id::text";
        let warehouse = "SELECT concat_ws(' ', toString(event_id), distributor_id, source,
                             if(source = 'order', order_key, period), component, toDecimalString(amount, 6),
                             currency, formatDateTime(earned_at, '%F %T')) AS line
                         FROM statement ORDER BY toString(event_id)";
        let books: Vec<String> = self.rows(books).await.iter().map(|row| row.get(0)).collect();
        assert_eq!(self.analysed(warehouse).await, books);
    }

    /// Recomputes the chain of blocks from the entries in the table; how many blocks there are.
    pub(crate) async fn blocks_hold(&self) -> usize {
        let query = "SELECT number, previous, merkle_root, hash, first_seq, last_seq,
                            first_volume, last_volume
                     FROM upline.ledger_block ORDER BY number";
        let mut previous = Digest::ZERO;
        let (mut next_seq, mut next_volume) = (1, 1);
        let blocks = self.rows(query).await;
        for (number, row) in (1u64..).zip(&blocks) {
            let digest = |column| Digest::try_from(row.get::<_, &[u8]>(column)).unwrap();
            let (first, last): (i64, i64) = (row.get(4), row.get(5));
            let leaves = self.leaves(first, last).await;
            assert_eq!(row.get::<_, i64>(0), i64::try_from(number).unwrap());
            assert_eq!(digest(1), previous, "block {number} follows another one");
            assert_eq!(first, next_seq, "block {number} leaves a gap");
            assert_eq!(i64::try_from(leaves.len()).unwrap(), last - first + 1);
            let runs = self.run_leaves(row.get(0)).await;
            let range: [Option<i64>; 2] = [row.get(6), row.get(7)];
            let volumes = match range {
                [Some(first), Some(last)] => {
                    assert_eq!(first, next_volume, "block {number} leaves a gap in the journal");
                    next_volume = last + 1;
                    self.volume_leaves(first, last).await
                }
                _ => Vec::new(),
            };
            let all = [runs, leaves.clone(), volumes.clone()].concat();
            assert_eq!(digest(2), merkle_root(&all), "the root of block {number}");
            let [entries, volumes] =
                [leaves.len(), volumes.len()].map(|count| u64::try_from(count).unwrap());
            let hash = block_hash(number, &previous, &digest(2), entries, volumes);
            assert_eq!(digest(3), hash, "the hash of block {number}");
            (previous, next_seq) = (digest(3), last + 1);
        }
        let outside = format!("SELECT count(*) FROM upline.ledger_entry WHERE seq >= {next_seq}");
        assert_eq!(self.count(&outside).await, 0, "an entry is in no block");
        let outside =
            format!("SELECT count(*) FROM upline.volume_entry WHERE seq >= {next_volume}");
        assert_eq!(self.count(&outside).await, 0, "a volume entry is in no block");
        blocks.len()
    }

    /// The leaves of a range of the volume journal, from what stands in the table.
    async fn volume_leaves(&self, first: i64, last: i64) -> Vec<Digest> {
        let query = format!(
            "SELECT event_id::text, order_key, revision, line_id, distributor_id, source, pv, qv,
                    cv, order_ts, corrects::text
             FROM upline.volume_entry WHERE seq BETWEEN {first} AND {last} ORDER BY seq"
        );
        let rows = self.rows(&query).await;
        assert_eq!(i64::try_from(rows.len()).unwrap(), last - first + 1);
        let id = |text: String| EventId::try_from(text).unwrap();
        let leaf = |row: &Row| {
            let volume = |column| Volume::from_parts(row.get(column));
            let entry = VolumeEntry {
                event_id: id(row.get(0)),
                position: VolumePosition {
                    line: LineId::parse(row.get(3)).unwrap(),
                    distributor: DistributorId::parse(row.get(4)).unwrap(),
                    source: VolumeSource::parse(row.get(5)).unwrap(),
                    placed_at: row.get(9),
                },
                amount: LineVolumes { pv: volume(6), qv: volume(7), cv: volume(8) },
                corrects: row.get::<_, Option<String>>(10).map(id),
            };
            let key = OrderKey::parse(row.get(1)).unwrap();
            entry.leaf(&key, u64::try_from(row.get::<_, i64>(2)).unwrap())
        };
        rows.iter().map(leaf).collect()
    }

    /// The leaves of the calculations of a block, from what stands in the table.
    async fn run_leaves(&self, block: i64) -> Vec<Digest> {
        let query = format!(
            "SELECT order_key, revision, calc_snapshot_json::text FROM upline.commission_run
             WHERE block = {block} ORDER BY order_key COLLATE \"C\""
        );
        let rows = self.rows(&query).await;
        rows.iter()
            .map(|row| {
                let key = OrderKey::parse(row.get(0)).unwrap();
                run_leaf(&key, u64::try_from(row.get::<_, i64>(1)).unwrap(), row.get(2))
            })
            .collect()
    }

    /// The leaves of a range of entries, from what stands in the table.
    async fn leaves(&self, first: i64, last: i64) -> Vec<Digest> {
        let query = format!(
            "SELECT event_id::text, order_key, revision, line_id, component, level::int, kind,
                    amount, currency, CASE kind WHEN 'earned' THEN credit ELSE debit END,
                    corrects::text, breakage, order_ts
             FROM upline.ledger_entry WHERE seq BETWEEN {first} AND {last} ORDER BY seq"
        );
        let rows = self.rows(&query).await;
        rows.iter()
            .map(|row| {
                let entry = Entry {
                    event_id: EventId::try_from(row.get::<_, String>(0)).unwrap(),
                    position: Position {
                        line: LineId::parse(row.get(3)).unwrap(),
                        component: ComponentId::parse(row.get(4)).unwrap(),
                        level: u16::try_from(row.get::<_, i32>(5)).unwrap(),
                        account: Account::try_from(row.get::<_, String>(9)).unwrap(),
                        currency: Currency::parse(row.get(8)).unwrap(),
                    },
                    kind: match row.get(6) {
                        "earned" => Kind::Earned,
                        _ => Kind::Reversed,
                    },
                    amount: Money::from_decimal(row.get(7)).unwrap(),
                    corrects: row
                        .get::<_, Option<String>>(10)
                        .map(|id| EventId::try_from(id).unwrap()),
                    breakage: row
                        .get::<_, Option<&str>>(11)
                        .map(|word| serde_json::from_value(word.into()).unwrap()),
                };
                let key = OrderKey::parse(row.get(1)).unwrap();
                let revision = u64::try_from(row.get::<_, i64>(2)).unwrap();
                entry.leaf(&key, revision, row.get(12))
            })
            .collect()
    }
}
