//! After the ledger: rows for the analysts.

use crate::{
    clock::Clock,
    metric,
    stage::message::Posted,
    stream::{Effect, Fate, ServiceError, Sink},
    warehouse::{clickhouse::ClickHouse, rows::Rows},
};

/// Writes posted revisions to ClickHouse.
#[derive(Debug)]
pub struct WarehouseSink {
    warehouse: ClickHouse,
    clock: Clock,
}

impl WarehouseSink {
    /// A sink that writes to `warehouse`.
    pub fn new(warehouse: ClickHouse, clock: Clock) -> Self {
        Self { warehouse, clock }
    }
}

impl Sink<Posted> for WarehouseSink {
    async fn deliver(&self, effects: &[Effect<Posted>]) -> Result<Vec<Fate>, ServiceError> {
        let keys: Vec<String> =
            effects.iter().map(|effect| effect.value.order.key.to_string()).collect();
        let mut rows = Rows::default();
        for (effect, key) in effects.iter().zip(&keys) {
            rows.push(key, &effect.value);
        }
        self.warehouse.write(&rows).await?;
        let now = self.clock.now();
        for posted_at in effects.iter().filter_map(|effect| effect.value.trace.posted_at) {
            metric::warehoused(posted_at, now);
        }
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}
