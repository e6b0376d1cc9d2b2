-- The first schema: the company (genealogy, SKU mapping, plans), the order book, the ledger.
--
-- Rules that the database itself keeps, whoever connects:
--   * nothing posted is updated or deleted (triggers; the service's role has no right to either);
--   * an amount is above zero and its two accounts differ, so every entry balances by construction;
--   * genealogy events and SKU rows are numbered without gaps in the order of their commit, and
--     genealogy events are chained by hash.

CREATE SCHEMA IF NOT EXISTS upline;

-- The role that the service works as. Roles belong to the whole server, so another database may
-- have made it already, even in this very moment; and a managed server may not let us make one.
DO $$
BEGIN
    CREATE ROLE upline_service NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'role upline_service cannot be created: the service works as %', current_user;
END $$;

-- ---------------------------------------------------------------------------------------------
-- Distributors. Who writes here, by import or by hand, writes history: the triggers below turn each
-- change into an event.

CREATE TABLE upline.distributors (
    distributor_id text PRIMARY KEY CHECK (distributor_id ~ '^[!-~]{1,64}$'),
    sponsor_id     text CHECK (sponsor_id ~ '^[!-~]{1,64}$' AND sponsor_id <> distributor_id),
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'terminated')),
    country        text CHECK (country ~ '^[A-Z]{2}$'),
    tax_id         bytea, -- encrypted by the application
    -- when the enrolment became true; without it the distributor has always been there
    created_at     timestamptz NOT NULL DEFAULT 'epoch'
                   CHECK (created_at BETWEEN '1900-01-01' AND '2200-01-01'),
    -- for an update: when the change became true; without it, now. Always empty afterwards.
    changed_at     timestamptz CHECK (changed_at BETWEEN '1900-01-01' AND '2200-01-01')
);
CREATE INDEX distributors_by_sponsor ON upline.distributors (sponsor_id);

CREATE TABLE upline.genealogy_event (
    seq            bigint PRIMARY KEY,
    distributor_id text NOT NULL,
    sponsor_id     text,
    kind           text NOT NULL CHECK (kind IN ('enrolled', 'sponsored', 'active', 'inactive', 'terminated')),
    effective_at   timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    hash           bytea NOT NULL CHECK (length(hash) = 32)
);

-- The hash covers the fields as lines of text, times in microseconds since 1970: the same bytes as
-- GenealogyEvent::chained.
CREATE FUNCTION upline.append_genealogy(who text, sponsor text, what text, effective timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    last record;
    now_at timestamptz := date_trunc('microseconds', clock_timestamp());
    next_seq bigint;
BEGIN
    -- Held until commit: the next event is numbered only after this one is visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.genealogy', 0));
    SELECT seq, hash INTO last FROM genealogy_event ORDER BY seq DESC LIMIT 1;
    next_seq := coalesce(last.seq, 0) + 1;
    INSERT INTO genealogy_event VALUES (
        next_seq, who, sponsor, what, effective, now_at,
        sha256(coalesce(last.hash, decode(repeat('00', 32), 'hex')) || convert_to(
            next_seq || E'\n' || who || E'\n' || coalesce(sponsor, '') || E'\n' || what || E'\n'
            || (extract(epoch FROM effective) * 1000000)::bigint || E'\n'
            || (extract(epoch FROM now_at) * 1000000)::bigint, 'UTF8'))
    );
END $$;

-- Whether somebody stands below somebody else. A downline that is a loop already ends the search.
CREATE FUNCTION upline.is_in_downline(who text, of_whom text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = upline, pg_catalog AS $$
    WITH RECURSIVE up(id) AS (
        SELECT who
        UNION
        SELECT d.sponsor_id FROM up JOIN distributors d ON d.distributor_id = up.id
        WHERE d.sponsor_id IS NOT NULL AND up.id <> of_whom
    )
    SELECT EXISTS (SELECT 1 FROM up WHERE id = of_whom)
$$;

CREATE FUNCTION upline.record_distributor() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    since timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'distributor % cannot be deleted: set the status to terminated', OLD.distributor_id;
    END IF;
    -- Before anything is looked at: two changes that would close a loop together come one by one.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.genealogy', 0));
    IF NEW.sponsor_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.sponsor_id IS DISTINCT FROM OLD.sponsor_id)
       AND is_in_downline(NEW.sponsor_id, NEW.distributor_id) THEN
        RAISE EXCEPTION 'distributor % cannot be under %: that is in their own downline',
            NEW.distributor_id, NEW.sponsor_id;
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM append_genealogy(NEW.distributor_id, NEW.sponsor_id, 'enrolled', NEW.created_at);
        IF NEW.status <> 'active' THEN
            PERFORM append_genealogy(NEW.distributor_id, NULL, NEW.status,
                                     coalesce(NEW.changed_at, NEW.created_at));
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.distributor_id <> OLD.distributor_id THEN
        RAISE EXCEPTION 'distributor % cannot be renamed: orders refer to the id', OLD.distributor_id;
    END IF;
    since := coalesce(NEW.changed_at, date_trunc('microseconds', clock_timestamp()));
    -- It was for this change only: the next one names its own time, or means now.
    NEW.changed_at := NULL;
    IF NEW.sponsor_id IS DISTINCT FROM OLD.sponsor_id THEN
        PERFORM append_genealogy(NEW.distributor_id, NEW.sponsor_id, 'sponsored', since);
    END IF;
    IF NEW.status <> OLD.status THEN
        PERFORM append_genealogy(NEW.distributor_id, NULL, NEW.status, since);
    END IF;
    RETURN NEW;
END $$;
-- An insert is recorded after it is certain that it is none that turns into an update; an update
-- before, because the trigger takes the effective time out of the row.
CREATE TRIGGER record_insert AFTER INSERT ON upline.distributors
    FOR EACH ROW EXECUTE FUNCTION upline.record_distributor();
CREATE TRIGGER record_change BEFORE UPDATE OR DELETE ON upline.distributors
    FOR EACH ROW EXECUTE FUNCTION upline.record_distributor();

-- ---------------------------------------------------------------------------------------------
-- SKU mapping: append-only and effective-dated. The name is for people; nothing maps by it.

CREATE TABLE upline.sku_mapping (
    seq              bigint PRIMARY KEY, -- assigned by the trigger
    sku_id           text NOT NULL CHECK (sku_id <> ''),
    platform         text NOT NULL CHECK (platform IN ('shopify', 'woocommerce', 'magento', 'api', 'any')),
    platform_sku     text NOT NULL CHECK (length(platform_sku) BETWEEN 1 AND 255),
    name             text,
    category         text,
    commission_class text NOT NULL CHECK (commission_class ~ '^[A-Za-z0-9_-]{1,64}$'),
    effective_from   timestamptz NOT NULL DEFAULT 'epoch'
                     CHECK (effective_from BETWEEN '1900-01-01' AND '2200-01-01'),
    cv_per_unit      numeric CHECK (cv_per_unit >= 0),
    qv_per_unit      numeric CHECK (qv_per_unit >= 0),
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sku_mapping_by_sku ON upline.sku_mapping (platform_sku, platform);

CREATE FUNCTION upline.number_sku_mapping() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.sku_mapping', 0));
    SELECT coalesce(max(seq), 0) + 1 INTO NEW.seq FROM sku_mapping;
    RETURN NEW;
END $$;
CREATE TRIGGER number BEFORE INSERT ON upline.sku_mapping
    FOR EACH ROW EXECUTE FUNCTION upline.number_sku_mapping();

-- ---------------------------------------------------------------------------------------------
-- Plans: the file of every version that was ever loaded, so that an outsider can compute again.

CREATE TABLE upline.plan_version (
    plan_id        text NOT NULL,
    version        integer NOT NULL CHECK (version >= 0),
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    effective_from timestamptz NOT NULL,
    source         text NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plan_id, version)
);

-- ---------------------------------------------------------------------------------------------
-- The order book: per order, the join of every fact that arrived.

CREATE TABLE upline.order_book (
    order_key    text PRIMARY KEY,
    edition      bigint NOT NULL, -- counts the writes of this row: the optimistic lock
    revision     bigint NOT NULL, -- counts the states of the order
    state        json NOT NULL,
    locks        json,          -- from the first commissionable state on
    plan         text NOT NULL, -- the store's plan when the order was first seen
    outcome      text NOT NULL, -- ready, parked, no_order_yet
    received_at  timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE upline.order_wait (
    order_key text NOT NULL REFERENCES upline.order_book,
    kind      text NOT NULL CHECK (kind IN ('sku', 'distributor', 'line')),
    value     text NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_key, kind, value)
);
CREATE INDEX order_wait_by_value ON upline.order_wait (kind, value);

-- ---------------------------------------------------------------------------------------------
-- The ledger.

CREATE TABLE upline.ledger_block (
    number      bigint PRIMARY KEY,
    previous    bytea NOT NULL CHECK (length(previous) = 32),
    merkle_root bytea NOT NULL CHECK (length(merkle_root) = 32),
    hash        bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    first_seq   bigint NOT NULL,
    last_seq    bigint NOT NULL CHECK (last_seq >= first_seq - 1),
    posted_at   timestamptz NOT NULL
);

-- One row per posted revision of an order, with its calculation; json keeps it to the byte.
CREATE TABLE upline.commission_run (
    order_key          text NOT NULL,
    revision           bigint NOT NULL,
    platform           text NOT NULL,
    store              text NOT NULL,
    order_id           text NOT NULL,
    status             text NOT NULL,
    currency           text NOT NULL,
    order_ts           timestamptz NOT NULL,
    received_at        timestamptz NOT NULL,
    order_hash         bytea NOT NULL,
    genealogy_seq      bigint NOT NULL,
    genealogy_hash     bytea NOT NULL,
    plan_id            text NOT NULL,
    plan_version       integer NOT NULL,
    plan_hash          bytea NOT NULL,
    engine             text NOT NULL,
    calc_snapshot_json json NOT NULL,
    block              bigint NOT NULL,
    posted_at          timestamptz NOT NULL,
    PRIMARY KEY (order_key, revision)
);
CREATE INDEX commission_run_by_order ON upline.commission_run (order_id);

CREATE TABLE upline.ledger_entry (
    seq        bigint PRIMARY KEY, -- without gaps
    event_id   uuid NOT NULL UNIQUE,
    order_key  text NOT NULL,
    revision   bigint NOT NULL,
    line_id    text NOT NULL,
    component  text NOT NULL,
    level      smallint NOT NULL CHECK (level >= 0),
    debit      text NOT NULL,
    credit     text NOT NULL CHECK (credit <> debit),
    amount     numeric NOT NULL CHECK (amount > 0),
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    kind       text NOT NULL CHECK (kind IN ('earned', 'reversed')),
    corrects   uuid,
    breakage   text,
    order_ts   timestamptz NOT NULL,
    block      bigint NOT NULL,
    posted_at  timestamptz NOT NULL,
    CHECK ((kind = 'earned' AND debit = 'commission') OR (kind = 'reversed' AND credit = 'commission'))
);
CREATE INDEX ledger_entry_by_order ON upline.ledger_entry (order_key);
CREATE INDEX ledger_entry_by_account ON upline.ledger_entry
    ((CASE kind WHEN 'earned' THEN credit ELSE debit END), order_ts);

CREATE FUNCTION upline.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: corrections are new entries', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.ledger_block
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.commission_run
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.genealogy_event
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.sku_mapping
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.plan_version
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

-- The ledger as its users see it: amounts are signed, a reversal is negative. Breakage has no
-- distributor.
CREATE VIEW upline.ledger AS
SELECT e.event_id, r.order_id, r.platform, r.store,
       CASE WHEN a.account LIKE 'distributor:%' THEN substr(a.account, 13) END AS distributor_id,
       CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END AS amount,
       e.currency, e.kind, e.component, e.level, e.line_id, e.order_ts, e.posted_at,
       r.calc_snapshot_json, a.account, e.order_key, e.revision, e.corrects, e.breakage,
       e.block, e.seq
FROM upline.ledger_entry e
CROSS JOIN LATERAL (SELECT CASE e.kind WHEN 'earned' THEN e.credit ELSE e.debit END AS account) a
JOIN upline.commission_run r USING (order_key, revision);

-- ---------------------------------------------------------------------------------------------
-- Rights of the service: it appends to the ledger and reads the company.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT USAGE ON SCHEMA upline TO upline_service;
        GRANT SELECT ON ALL TABLES IN SCHEMA upline TO upline_service;
        GRANT INSERT ON upline.ledger_entry, upline.ledger_block, upline.commission_run,
                        upline.plan_version, upline.sku_mapping TO upline_service;
        GRANT INSERT, UPDATE ON upline.distributors, upline.order_book TO upline_service;
        GRANT INSERT, DELETE ON upline.order_wait TO upline_service;
        EXECUTE format('GRANT upline_service TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
