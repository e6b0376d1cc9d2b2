-- What closes of periods posted, each entry once; the amount is signed, what is taken back is negative.
CREATE TABLE IF NOT EXISTS period_lines_versions
(
    event_id       UUID,
    plan_id        LowCardinality(String),
    period         LowCardinality(String),
    starts_at      DateTime64(6, 'UTC'),
    ends_at        DateTime64(6, 'UTC'),
    pays_on        Date32,
    component      LowCardinality(String),
    distributor_id String,
    account        String,
    kind           LowCardinality(String),
    amount         Decimal(38, 6),
    currency       LowCardinality(String),
    reason         LowCardinality(String),
    corrects       LowCardinality(String),
    posted_at      DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ends_at)
ORDER BY (distributor_id, ends_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE OR REPLACE VIEW period_lines AS SELECT * FROM period_lines_versions FINAL;

-- Everything that distributors are paid: the lines of orders and those of closed periods. A period is earned at
-- its last instant.
CREATE OR REPLACE VIEW statement AS
SELECT distributor_id, 'order' AS source, order_ts AS earned_at, order_key, '' AS plan_id, '' AS period,
       '' AS corrects_period, component, level, amount, currency, event_id, posted_at, NULL AS pays_on
FROM commission_lines WHERE distributor_id != ''
UNION ALL
SELECT distributor_id, 'period' AS source, ends_at - INTERVAL 1 MICROSECOND AS earned_at, '' AS order_key, plan_id,
       period, corrects AS corrects_period, component, NULL AS level, amount, currency, event_id, posted_at, pays_on
FROM period_lines WHERE distributor_id != '';
