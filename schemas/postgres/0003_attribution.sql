-- Customers: which distributor they belong to, and what the privacy laws ask for.
--
-- A customer is the platform's id and nothing else; no name, no address is stored anywhere. Erasing a
-- customer replaces that id by a random marker wherever it stands: in `order_book.state` and here.
-- Ledger, blocks and runs never hold it, so no hash changes.

-- Links of customers to distributors: append-only, effective-dated, numbered without gaps in the
-- order of their commit. An order's first touch names the order; an assignment names none.
CREATE TABLE upline.customer_attribution (
    seq            bigint PRIMARY KEY, -- assigned by the trigger
    platform       text NOT NULL CHECK (platform IN ('shopify', 'woocommerce', 'magento', 'api')),
    store          text NOT NULL,
    customer_id    text NOT NULL CHECK (customer_id ~ '^[!-~]{1,64}$'),
    distributor_id text NOT NULL CHECK (distributor_id ~ '^[!-~]{1,64}$'),
    kind           text NOT NULL CHECK (kind IN ('lifetime', 'own')),
    source         text NOT NULL, -- where it was found: note_attribute:ref, customer_tag, import, ..
    order_key      text,          -- the order that touched first
    effective_from timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX customer_attribution_by_customer
    ON upline.customer_attribution (customer_id, store, platform);
CREATE UNIQUE INDEX customer_attribution_by_order
    ON upline.customer_attribution (platform, store, customer_id, kind, order_key)
    WHERE order_key IS NOT NULL;

CREATE FUNCTION upline.number_customer_attribution() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
BEGIN
    -- Held until commit: the next row is numbered only after this one is visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.customer_attribution', 0));
    SELECT coalesce(max(seq), 0) + 1 INTO NEW.seq FROM customer_attribution;
    RETURN NEW;
END $$;
CREATE TRIGGER number BEFORE INSERT ON upline.customer_attribution
    FOR EACH ROW EXECUTE FUNCTION upline.number_customer_attribution();

-- The one change that is allowed: a customer's id becomes a marker, and nothing else of the row.
CREATE FUNCTION upline.allow_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.customer_id NOT LIKE 'redacted:%'
       OR to_jsonb(NEW) - 'customer_id' IS DISTINCT FROM to_jsonb(OLD) - 'customer_id' THEN
        RAISE EXCEPTION '% is append-only: corrections are new rows', TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER erasure_only BEFORE UPDATE ON upline.customer_attribution
    FOR EACH ROW EXECUTE FUNCTION upline.allow_erasure();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON upline.customer_attribution
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

-- An order can wait for somebody to whom it belongs: kind 'referrer', without a value.
ALTER TABLE upline.order_wait DROP CONSTRAINT order_wait_kind_check;
ALTER TABLE upline.order_wait ADD CONSTRAINT order_wait_kind_check
    CHECK (kind IN ('sku', 'distributor', 'line', 'rate', 'referrer'));

-- ---------------------------------------------------------------------------------------------
-- Privacy requests: what was asked, and whether it was done. An erasure is done when it is written.

CREATE TABLE upline.privacy_request (
    delivery     text PRIMARY KEY, -- a repeated delivery is one request
    kind         text NOT NULL CHECK (kind IN ('data_request', 'redact', 'shop_redact')),
    platform     text NOT NULL,
    store        text NOT NULL,
    customer_id  text, -- of an erasure the marker; none for a whole shop
    requested_at timestamptz NOT NULL,
    fulfilled_at timestamptz -- of a data request when an operator has answered it
);

-- Replaces one customer's id by a marker that nothing leads back from. The edition of each order is
-- raised, so that whoever has just read it reads it again.
CREATE FUNCTION upline.erase_customer(of_platform text, of_store text, of_customer text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    marker text := 'redacted:' || gen_random_uuid();
BEGIN
    UPDATE order_book SET
        state = jsonb_set(state::jsonb, '{snapshot,buyer}', to_jsonb(marker))::json,
        edition = edition + 1, updated_at = clock_timestamp()
    WHERE starts_with(order_key, of_platform || '/' || of_store || '/')
      AND state #>> '{snapshot,buyer}' = of_customer;
    UPDATE customer_attribution SET customer_id = marker
    WHERE platform = of_platform AND store = of_store AND customer_id = of_customer;
    UPDATE privacy_request SET customer_id = marker
    WHERE platform = of_platform AND store = of_store AND customer_id = of_customer;
    RETURN marker;
END $$;

-- Does what a privacy webhook asks for, once. Without a customer an erasure is of the whole shop.
CREATE FUNCTION upline.privacy(
    of_delivery text, of_kind text, of_platform text, of_store text, of_customer text, asked timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    one text;
BEGIN
    INSERT INTO privacy_request VALUES (of_delivery, of_kind, of_platform, of_store,
        CASE of_kind WHEN 'data_request' THEN of_customer END, asked,
        CASE of_kind WHEN 'data_request' THEN NULL ELSE clock_timestamp() END)
    ON CONFLICT (delivery) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF of_kind = 'redact' THEN
        UPDATE privacy_request SET customer_id = erase_customer(of_platform, of_store, of_customer)
        WHERE delivery = of_delivery;
    ELSIF of_kind = 'shop_redact' THEN
        FOR one IN
            SELECT DISTINCT state #>> '{snapshot,buyer}' FROM order_book
            WHERE starts_with(order_key, of_platform || '/' || of_store || '/')
            UNION
            SELECT customer_id FROM customer_attribution
            WHERE platform = of_platform AND store = of_store
            UNION
            SELECT customer_id FROM privacy_request
            WHERE platform = of_platform AND store = of_store
        LOOP
            IF one NOT LIKE 'redacted:%' THEN
                PERFORM erase_customer(of_platform, of_store, one);
            END IF;
        END LOOP;
    END IF;
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION upline.erase_customer, upline.privacy FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.customer_attribution TO upline_service;
        GRANT SELECT ON upline.privacy_request TO upline_service;
        GRANT EXECUTE ON FUNCTION upline.privacy TO upline_service;
        GRANT UPDATE (fulfilled_at) ON upline.privacy_request TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
