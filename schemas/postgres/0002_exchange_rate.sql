-- Exchange rates: append-only and effective-dated, numbered without gaps in the order of their
-- commit. One unit of the base currency is `rate` units of the quote currency, for orders placed at
-- or after `effective_from`; a correction is a new row.

CREATE TABLE upline.exchange_rate (
    seq            bigint PRIMARY KEY, -- assigned by the trigger
    base_currency  text NOT NULL CHECK (base_currency ~ '^[A-Z]{3}$'),
    quote_currency text NOT NULL CHECK (quote_currency ~ '^[A-Z]{3}$' AND quote_currency <> base_currency),
    -- the bounds of ExchangeRate::from_decimal
    rate           numeric NOT NULL CHECK (rate > 0 AND rate <= 1000000000 AND scale(trim_scale(rate)) <= 12),
    effective_from timestamptz NOT NULL,
    source         text, -- who says so, for people
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX exchange_rate_by_pair ON upline.exchange_rate (base_currency, quote_currency, effective_from);

CREATE FUNCTION upline.number_exchange_rate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
BEGIN
    -- Held until commit: the next row is numbered only after this one is visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.exchange_rate', 0));
    SELECT coalesce(max(seq), 0) + 1 INTO NEW.seq FROM exchange_rate;
    RETURN NEW;
END $$;
CREATE TRIGGER number BEFORE INSERT ON upline.exchange_rate
    FOR EACH ROW EXECUTE FUNCTION upline.number_exchange_rate();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.exchange_rate
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

-- An order can wait for a rate: kind 'rate', value 'EUR/USD', either direction of which releases it.
ALTER TABLE upline.order_wait DROP CONSTRAINT order_wait_kind_check;
ALTER TABLE upline.order_wait ADD CONSTRAINT order_wait_kind_check
    CHECK (kind IN ('sku', 'distributor', 'line', 'rate'));

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.exchange_rate TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
