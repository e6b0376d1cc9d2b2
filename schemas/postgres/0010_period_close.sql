-- Closed periods: what each came from, what everybody's volumes and ranks were, who gets what. Nothing of it
-- is ever changed: what comes late is a matter of the period that is open then.

CREATE TABLE upline.period_close (
    plan_id      text NOT NULL,
    period       text NOT NULL,
    plan_version integer NOT NULL,
    plan_hash    bytea NOT NULL CHECK (length(plan_hash) = 32),
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL CHECK (ends_at > starts_at),
    snapshot_at  timestamptz NOT NULL, -- as of when the tree was read
    pays_on      date NOT NULL,
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    engine       text NOT NULL,
    basis        json NOT NULL, -- all that the calculation came from: with it, it can be done again
    summary      json NOT NULL,
    block        bigint NOT NULL UNIQUE, -- of the chain in ledger_block
    closed_by    text NOT NULL,
    reason       text,
    closed_at    timestamptz NOT NULL,
    PRIMARY KEY (plan_id, period),
    UNIQUE (plan_id, starts_at)
);

-- Volumes in ten-thousandths of a point.
CREATE TABLE upline.period_member (
    plan_id        text NOT NULL,
    period         text NOT NULL,
    distributor_id text NOT NULL,
    active         boolean NOT NULL,
    pv             bigint NOT NULL,
    qv             bigint NOT NULL,
    cv             bigint NOT NULL,
    gv             bigint NOT NULL,
    pgv            bigint NOT NULL,
    paid_as        text, -- the rank that the period's figures support; none below the first
    achieved       text, -- the highest ever
    PRIMARY KEY (plan_id, period, distributor_id)
);
CREATE INDEX period_member_by_distributor ON upline.period_member (distributor_id);

CREATE TABLE upline.period_entry (
    event_id  uuid PRIMARY KEY,
    plan_id   text NOT NULL,
    period    text NOT NULL,
    number    integer NOT NULL, -- from 1, in the order of the block's leaves
    component text NOT NULL,
    debit     text NOT NULL CHECK (debit = 'commission'),
    credit    text NOT NULL, -- distributor:ID, breakage, capped:CAP, carried
    amount    numeric NOT NULL CHECK (amount > 0),
    currency  text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reason    text, -- of breakage
    UNIQUE (plan_id, period, number)
);
CREATE INDEX period_entry_by_account ON upline.period_entry (credit);

-- The ranks for which somebody has had a bonus that is paid once.
CREATE TABLE upline.period_rank_bonus (
    plan_id        text NOT NULL,
    component      text NOT NULL,
    distributor_id text NOT NULL,
    rank           text NOT NULL,
    period         text NOT NULL,
    PRIMARY KEY (plan_id, component, distributor_id, rank, period)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_rank_bonus
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_close
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_member
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_entry
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.period_close, upline.period_member, upline.period_entry,
                                upline.period_rank_bonus TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
