-- Analytics. The tables whose names end in _versions hold what the pipeline wrote, and a row may be
-- there twice after a crash; the views of the plain names hold each thing once. Query the views.

CREATE TABLE IF NOT EXISTS orders_versions
(
    order_key    String,
    platform     LowCardinality(String),
    store        LowCardinality(String),
    order_id     String,
    revision     UInt64,
    status       LowCardinality(String),
    currency     LowCardinality(String),
    order_ts     DateTime64(6, 'UTC'),
    received_at  DateTime64(6, 'UTC'),
    posted_at    DateTime64(6, 'UTC'),
    referrer     String,
    own_purchase String,
    total        Decimal(38, 6),
    net          Decimal(38, 6),
    refunded     Decimal(38, 6),
    base         Decimal(38, 6),
    paid         Decimal(38, 6),
    breakage     Decimal(38, 6),
    plan         LowCardinality(String)
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(order_ts)
ORDER BY order_key
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS commission_lines_versions
(
    event_id       UUID,
    order_key      String,
    platform       LowCardinality(String),
    store          LowCardinality(String),
    order_id       String,
    revision       UInt64,
    line_id        String,
    component      LowCardinality(String),
    level          UInt16,
    distributor_id String,
    account        String,
    kind           LowCardinality(String),
    amount         Decimal(38, 6),
    currency       LowCardinality(String),
    breakage       LowCardinality(String),
    order_ts       DateTime64(6, 'UTC'),
    posted_at      DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(order_ts)
ORDER BY (distributor_id, order_ts, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS stage_latencies_versions
(
    order_key   String,
    revision    UInt64,
    platform    LowCardinality(String),
    received_at DateTime64(6, 'UTC'),
    validate_us UInt64,
    map_us      UInt64,
    commission_us UInt64,
    ledger_us   UInt64,
    emit_us     UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (order_key, revision)
TTL toDateTime(received_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- Each order once, in its newest revision.
CREATE VIEW IF NOT EXISTS orders AS SELECT * FROM orders_versions FINAL;

-- Each ledger entry once; the amount is signed, a reversal is negative.
CREATE VIEW IF NOT EXISTS commission_lines AS SELECT * FROM commission_lines_versions FINAL;

-- How long each revision took from the edge to the end of each stage, in microseconds.
CREATE VIEW IF NOT EXISTS stage_latencies AS SELECT * FROM stage_latencies_versions FINAL;
