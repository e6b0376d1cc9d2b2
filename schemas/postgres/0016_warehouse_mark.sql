-- What was posted in a block; new rows go to its end. Before the other changes, so that orders can be read
-- while it is made.
CREATE INDEX commission_run_by_block ON upline.commission_run (block);

-- When a revision passed the stages, so that the rows of latencies can be made from the books too. Not part of
-- the block: it says nothing of money.
ALTER TABLE upline.commission_run
    ADD COLUMN validated_at timestamptz,
    ADD COLUMN mapped_at    timestamptz,
    ADD COLUMN computed_at  timestamptz;

-- The warehouse follows the blocks of the ledger: up to which one it has everything. What it was told before
-- by messages, it has or is told again; `upline warehouse --again` makes everything anew.
CREATE TABLE upline.warehouse_mark (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    block bigint NOT NULL CHECK (block >= 0)
);
INSERT INTO upline.warehouse_mark (block)
SELECT coalesce(max(number), 0) FROM upline.ledger_block WHERE posted_at < now() - interval '8 days';

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, UPDATE ON upline.warehouse_mark TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
