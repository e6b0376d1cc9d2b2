-- The currency of `paid` and `breakage`, which may differ from that of the order (`currency`: of
-- `total`, `net`, `refunded` and `base`). Orders from before are paid in their own.
ALTER TABLE orders_versions ADD COLUMN IF NOT EXISTS payout_currency LowCardinality(String) DEFAULT currency;

CREATE OR REPLACE VIEW orders AS SELECT * FROM orders_versions FINAL;
