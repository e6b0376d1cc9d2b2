-- The story of an order: every event that arrived, what it said and what became of it. Append-only;
-- a message that comes again writes no second row. Holds no personal data: status words, ids and
-- amounts only.

CREATE TABLE upline.order_event (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_key   text NOT NULL,
    delivery    text NOT NULL, -- the transport key of the delivery
    topic       text NOT NULL,
    received_at timestamptz NOT NULL,
    digest      bytea NOT NULL CHECK (length(digest) = 32),
    fact        text NOT NULL, -- snapshot, refund:ID, chargeback:ID, deleted, recheck
    said        text NOT NULL, -- the status or the amount, for people
    version_at  timestamptz,
    effect      text NOT NULL
        CHECK (effect IN ('revision', 'nothing_new', 'parked', 'no_order_yet', 'recheck')),
    reason      text,
    revision    bigint NOT NULL, -- of the order after the event
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (order_key, delivery, received_at, fact, digest)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.order_event
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

-- Orders are looked up by the platform's id alone, too.
CREATE INDEX order_book_by_id ON upline.order_book ((split_part(order_key, '/', 3)));

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.order_event TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
