-- Who gave back more than they bought in a period: the volume goes into their next one, where the plan says
-- so, and what was earned too much is taken back, which is a transfer the other way round.

ALTER TABLE upline.period_entry
    DROP CONSTRAINT period_entry_debit_check,
    ADD CONSTRAINT period_entry_one_side CHECK ((debit = 'commission') <> (credit = 'commission'));
CREATE INDEX period_entry_taken_back ON upline.period_entry (debit) WHERE debit <> 'commission';

-- In ten-thousandths of a point.
CREATE TABLE upline.period_carry (
    plan_id        text NOT NULL,
    period         text NOT NULL, -- the closed one that the volume comes from
    distributor_id text NOT NULL,
    pv             bigint NOT NULL CHECK (pv <= 0),
    qv             bigint NOT NULL CHECK (qv <= 0),
    cv             bigint NOT NULL CHECK (cv <= 0),
    PRIMARY KEY (plan_id, period, distributor_id),
    CHECK (pv < 0 OR qv < 0 OR cv < 0)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_carry
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.period_carry TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
