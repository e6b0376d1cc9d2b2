-- The warehouse follows the blocks of the ledger: up to which one it has everything.
CREATE TABLE upline.warehouse_mark (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    block bigint NOT NULL CHECK (block >= 0)
);
INSERT INTO upline.warehouse_mark (block) VALUES (0);

-- When a revision passed the stages, so that the rows of latencies can be made from the books too. Not part of
-- the block: it says nothing of money.
ALTER TABLE upline.commission_run
    ADD COLUMN validated_at timestamptz,
    ADD COLUMN mapped_at    timestamptz,
    ADD COLUMN computed_at  timestamptz;

-- Blocks come in the order of the rows, so their ranges on disk are all that has to be known.
CREATE INDEX commission_run_by_block ON upline.commission_run USING brin (block) WITH (autosummarize = on);

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, UPDATE ON upline.warehouse_mark TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
