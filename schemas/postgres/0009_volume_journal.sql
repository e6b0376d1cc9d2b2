-- The volume journal: whose volume an order line counts for, as entries that are only added. A period
-- close reads nothing else. Volumes are whole numbers of ten-thousandths of a point; an entry is what
-- is new, and negative where it takes back.

CREATE TABLE upline.volume_entry (
    seq            bigint PRIMARY KEY, -- without gaps
    event_id       uuid NOT NULL UNIQUE,
    order_key      text NOT NULL,
    revision       bigint NOT NULL,
    line_id        text NOT NULL,
    distributor_id text NOT NULL,
    source         text NOT NULL CHECK (source IN ('retail', 'own_use')),
    pv             bigint NOT NULL,
    qv             bigint NOT NULL,
    cv             bigint NOT NULL,
    order_ts       timestamptz NOT NULL, -- decides the period
    corrects       uuid, -- the entry before it, of the same line, distributor, source and order_ts
    block          bigint NOT NULL,
    posted_at      timestamptz NOT NULL,
    CHECK (pv <> 0 OR qv <> 0 OR cv <> 0)
);
CREATE INDEX volume_entry_by_order ON upline.volume_entry (order_key);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.volume_entry
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

-- The range of volume entries that a block seals; empty where it seals none.
ALTER TABLE upline.ledger_block
    ADD COLUMN first_volume bigint,
    ADD COLUMN last_volume bigint,
    ADD CHECK ((first_volume IS NULL) = (last_volume IS NULL) AND last_volume >= first_volume);

-- The journal in points, for people.
CREATE VIEW upline.volume_journal AS
SELECT seq, event_id, order_key, revision, line_id, distributor_id, source,
       pv / 10000.0 AS pv, qv / 10000.0 AS qv, cv / 10000.0 AS cv,
       order_ts, corrects, block, posted_at
FROM upline.volume_entry;

-- What the catalogue states for a unit is a volume: at most 10^13 points, at most four places. Rows from
-- before stay as they are and are cut when they are read.
ALTER TABLE upline.sku_mapping
    ADD CONSTRAINT sku_mapping_cv CHECK (cv_per_unit <= 10000000000000
                                         AND cv_per_unit = trunc(cv_per_unit, 4)) NOT VALID,
    ADD CONSTRAINT sku_mapping_qv CHECK (qv_per_unit <= 10000000000000
                                         AND qv_per_unit = trunc(qv_per_unit, 4)) NOT VALID;

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.volume_entry TO upline_service;
        GRANT SELECT ON upline.volume_journal TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
