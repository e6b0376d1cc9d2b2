-- Enrolling many distributors in one statement: the same checks, events and hashes as before, at a
-- cost that no longer grows with the table or with the depth of the tree.

-- The hash of an event after `previous`. It covers the fields as lines of text, times in microseconds
-- since 1970: the same bytes as GenealogyEvent::chained. Now in one place, for one event and for many.
CREATE FUNCTION upline.genealogy_hash(
    previous bytea, seq bigint, who text, sponsor text, what text,
    effective timestamptz, recorded timestamptz
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(coalesce(previous, decode(repeat('00', 32), 'hex')) || convert_to(
        seq || E'\n' || who || E'\n' || coalesce(sponsor, '') || E'\n' || what || E'\n'
        || (extract(epoch FROM effective) * 1000000)::bigint || E'\n'
        || (extract(epoch FROM recorded) * 1000000)::bigint, 'UTF8'))
$$;

CREATE OR REPLACE FUNCTION upline.append_genealogy(
    who text, sponsor text, what text, effective timestamptz
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
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
        genealogy_hash(last.hash, next_seq, who, sponsor, what, effective, now_at));
END $$;

-- As it was, but always by the primary key: a plan made while the table was small read all of it for
-- every step up.
ALTER FUNCTION upline.is_in_downline(text, text) SET enable_hashjoin = off;
ALTER FUNCTION upline.is_in_downline(text, text) SET enable_mergejoin = off;
ALTER FUNCTION upline.is_in_downline(text, text) SET enable_seqscan = off;

-- Nobody can come to stand in their own downline who has none. That is nearly everybody who enrols,
-- and spares the way up to the top.
CREATE FUNCTION upline.refuse_loop(who text, sponsor text)
RETURNS void LANGUAGE plpgsql
SET search_path = upline, pg_catalog SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM distributors WHERE sponsor_id = who) AND is_in_downline(sponsor, who) THEN
        RAISE EXCEPTION 'distributor % cannot be under %: that is in their own downline', who, sponsor;
    END IF;
END $$;

-- Before the row is there, so that of the rows of one statement only the earlier ones count: where
-- sponsors come first nobody has a downline yet.
CREATE FUNCTION upline.check_enrolment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = upline, pg_catalog SET enable_seqscan = off AS $$
BEGIN
    -- Who is there already is never deleted: the insert turns into an update, which checks by itself.
    IF NEW.sponsor_id IS NULL OR EXISTS (
        SELECT FROM distributors WHERE distributor_id = NEW.distributor_id) THEN
        RETURN NEW;
    END IF;
    -- Before anything is looked at: two changes that would close a loop together come one by one.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.genealogy', 0));
    PERFORM refuse_loop(NEW.distributor_id, NEW.sponsor_id);
    RETURN NEW;
END $$;

-- The events of everybody whom a statement enrolled, in the order of its rows.
CREATE FUNCTION upline.record_enrolments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    who record;
    last_seq bigint;
    last_hash bytea;
    now_at timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM enrolled) THEN
        RETURN NULL;
    END IF;
    -- Held until commit: the next event is numbered only after these are visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.genealogy', 0));
    SELECT seq, hash INTO last_seq, last_hash FROM genealogy_event ORDER BY seq DESC LIMIT 1;
    last_seq := coalesce(last_seq, 0);
    FOR who IN
        SELECT distributor_id, sponsor_id, status, created_at, changed_at FROM enrolled
    LOOP
        now_at := date_trunc('microseconds', clock_timestamp());
        last_seq := last_seq + 1;
        last_hash := genealogy_hash(last_hash, last_seq, who.distributor_id, who.sponsor_id,
                                    'enrolled', who.created_at, now_at);
        INSERT INTO genealogy_event VALUES (last_seq, who.distributor_id, who.sponsor_id,
                                            'enrolled', who.created_at, now_at, last_hash);
        IF who.status <> 'active' THEN
            last_seq := last_seq + 1;
            last_hash := genealogy_hash(last_hash, last_seq, who.distributor_id, NULL, who.status,
                                        coalesce(who.changed_at, who.created_at), now_at);
            INSERT INTO genealogy_event VALUES (
                last_seq, who.distributor_id, NULL, who.status,
                coalesce(who.changed_at, who.created_at), now_at, last_hash);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION upline.record_distributor() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    since timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'distributor % cannot be deleted: set the status to terminated', OLD.distributor_id;
    END IF;
    IF NEW.distributor_id <> OLD.distributor_id THEN
        RAISE EXCEPTION 'distributor % cannot be renamed: orders refer to the id', OLD.distributor_id;
    END IF;
    -- Before anything is looked at: two changes that would close a loop together come one by one.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.genealogy', 0));
    IF NEW.sponsor_id IS NOT NULL AND NEW.sponsor_id IS DISTINCT FROM OLD.sponsor_id THEN
        PERFORM refuse_loop(NEW.distributor_id, NEW.sponsor_id);
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

DROP TRIGGER record_insert ON upline.distributors;
CREATE TRIGGER check_enrolment BEFORE INSERT ON upline.distributors
    FOR EACH ROW EXECUTE FUNCTION upline.check_enrolment();
-- After the statement, when it is certain which inserts did not turn into updates.
CREATE TRIGGER record_insert AFTER INSERT ON upline.distributors
    REFERENCING NEW TABLE AS enrolled
    FOR EACH STATEMENT EXECUTE FUNCTION upline.record_enrolments();
