-- What a company brings along that has closed periods elsewhere: ranks that were reached there, and volume that
-- waits in the legs of a binary. Both are there before the first close of the plan, or never.

-- A rank that was reached elsewhere is a fact as a close records one: the next close takes its place. Beside
-- it stands the highest rank ever, and the ranks whose bonus was paid.
ALTER TABLE upline.rank_fact
    DROP CONSTRAINT rank_fact_source_check,
    ADD CONSTRAINT rank_fact_source_check
        CHECK (source IN ('period_close', 'forced', 'cleared', 'imported')),
    DROP CONSTRAINT rank_fact_of_its_source,
    ADD COLUMN highest text CHECK (highest ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD COLUMN bonuses text CHECK (bonuses ~ '^[A-Za-z0-9_-]{1,64}(,[A-Za-z0-9_-]{1,64})*$'),
    ADD CONSTRAINT rank_fact_of_its_source CHECK (CASE source
        WHEN 'period_close' THEN period IS NOT NULL AND hold IS NULL AND NOT raises_title
            AND ends_at IS NULL AND decided_by IS NULL AND reason IS NULL
        WHEN 'forced' THEN period IS NULL AND hold IS NOT NULL AND decided_by IS NOT NULL
            AND reason IS NOT NULL AND (rank IS NOT NULL OR hold = 'exactly')
        WHEN 'imported' THEN period IS NULL AND hold IS NULL AND NOT raises_title
            AND ends_at IS NULL AND decided_by IS NOT NULL AND reason IS NOT NULL
        ELSE period IS NULL AND hold IS NULL AND NOT raises_title AND rank IS NULL
            AND decided_by IS NOT NULL AND reason IS NOT NULL
    END),
    ADD CONSTRAINT rank_fact_titles CHECK (source = 'imported' OR highest IS NULL AND bonuses IS NULL);
DROP INDEX upline.rank_fact_decided;
CREATE INDEX rank_fact_decided ON upline.rank_fact (plan_id, seq) WHERE source IN ('forced', 'cleared');
CREATE INDEX rank_fact_imported ON upline.rank_fact (plan_id, seq) WHERE source = 'imported';

-- As before, with the two columns at the end where one of them says something: the hashes of other facts are
-- what they were.
CREATE OR REPLACE FUNCTION upline.check_rank_facts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    first_seq bigint;
    last_hash bytea;
    wrong bigint;
    stranger text;
    closed record;
BEGIN
    SELECT min(seq) INTO first_seq FROM added;
    SELECT hash INTO last_hash FROM rank_fact WHERE seq = first_seq - 1;
    SELECT min(a.seq) INTO wrong FROM (
        SELECT *, lag(seq, 1, CASE WHEN last_hash IS NULL THEN 0 ELSE first_seq - 1 END) OVER w AS before,
               lag(hash, 1, coalesce(last_hash, decode(repeat('00', 32), 'hex'))) OVER w AS previous
        FROM added WINDOW w AS (ORDER BY seq)) a
    WHERE a.seq <> a.before + 1 OR a.hash <> sha256(a.previous || convert_to(
        a.seq || E'\n' || a.plan_id || E'\n' || a.distributor_id || E'\n' || coalesce(a.rank, '') || E'\n'
        || a.source || E'\n' || coalesce(a.hold, '') || E'\n' || a.raises_title || E'\n'
        || (extract(epoch FROM a.effective_at) * 1000000)::bigint || E'\n'
        || coalesce((extract(epoch FROM a.ends_at) * 1000000)::bigint::text, '') || E'\n'
        || coalesce(a.period, '') || E'\n' || coalesce(a.decided_by, '') || E'\n'
        || coalesce(a.reason, '') || E'\n'
        || (extract(epoch FROM a.recorded_at) * 1000000)::bigint
        || CASE WHEN a.highest IS NULL AND a.bonuses IS NULL THEN ''
                ELSE E'\n' || coalesce(a.highest, '') || E'\n' || coalesce(a.bonuses, '') END, 'UTF8'));
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'rank fact % does not follow the one before, by its number or by its hash', wrong;
    END IF;
    SELECT min(a.distributor_id) INTO stranger FROM added a
    WHERE NOT EXISTS (SELECT FROM distributors d WHERE d.distributor_id = a.distributor_id);
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION 'rank fact about %, who is not enrolled', stranger;
    END IF;
    -- What is closed stays closed, also for orders of then that come late.
    SELECT c.plan_id, c.period, c.ends_at INTO closed
    FROM (SELECT plan_id, min(effective_at) AS begins FROM added GROUP BY 1) a
    JOIN period_close c USING (plan_id) WHERE c.ends_at > a.begins ORDER BY c.ends_at DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'period % of plan % is closed: a rank can begin at % or later', closed.period,
            closed.plan_id, closed.ends_at;
    END IF;
    SELECT c.plan_id, c.period INTO closed
    FROM (SELECT DISTINCT plan_id FROM added WHERE source = 'imported') a
    JOIN period_close c USING (plan_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'period % of plan % is closed: ranks of elsewhere come before the first close',
            closed.period, closed.plan_id;
    END IF;
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------------------------------------
-- Volume that positions of a binary bring along: what the first close of the plan opens with. Of several rows
-- of a position the last holds. Numbered without gaps and chained by hash, by whoever writes them.

CREATE TABLE upline.carry_fact (
    seq          bigint PRIMARY KEY CHECK (seq > 0),
    plan_id      text NOT NULL,
    component    text NOT NULL,
    tree         text NOT NULL,
    position_id  text COLLATE "C" NOT NULL,
    left_volume  bigint NOT NULL CHECK (left_volume >= 0), -- in ten-thousandths of a point
    right_volume bigint NOT NULL CHECK (right_volume >= 0),
    decided_by   text NOT NULL CHECK (decided_by !~ '[[:cntrl:]]'),
    reason       text NOT NULL CHECK (reason !~ '[[:cntrl:]]'),
    recorded_at  timestamptz NOT NULL,
    hash         bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX carry_fact_of_plan ON upline.carry_fact (plan_id, component, seq);

-- The hash covers the fields as lines of text, times in microseconds since 1970: the same bytes as
-- CarryLine::chained.
CREATE FUNCTION upline.check_carry_facts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    first_seq bigint;
    last_hash bytea;
    wrong bigint;
    nowhere record;
    closed record;
BEGIN
    SELECT min(seq) INTO first_seq FROM added;
    SELECT hash INTO last_hash FROM carry_fact WHERE seq = first_seq - 1;
    SELECT min(a.seq) INTO wrong FROM (
        SELECT *, lag(seq, 1, CASE WHEN last_hash IS NULL THEN 0 ELSE first_seq - 1 END) OVER w AS before,
               lag(hash, 1, coalesce(last_hash, decode(repeat('00', 32), 'hex'))) OVER w AS previous
        FROM added WINDOW w AS (ORDER BY seq)) a
    WHERE a.seq <> a.before + 1 OR a.hash <> sha256(a.previous || convert_to(
        a.seq || E'\n' || a.plan_id || E'\n' || a.component || E'\n' || a.tree || E'\n' || a.position_id
        || E'\n' || a.left_volume || E'\n' || a.right_volume || E'\n' || a.decided_by || E'\n' || a.reason
        || E'\n' || (extract(epoch FROM a.recorded_at) * 1000000)::bigint, 'UTF8'));
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'carry fact % does not follow the one before, by its number or by its hash', wrong;
    END IF;
    SELECT a.tree, a.position_id INTO nowhere FROM added a
    WHERE NOT EXISTS (SELECT FROM placement_event e
                      WHERE e.tree = a.tree AND e.position_id = a.position_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'carry fact about position % of tree %, which is not placed', nowhere.position_id,
            nowhere.tree;
    END IF;
    SELECT c.plan_id, c.period INTO closed
    FROM (SELECT DISTINCT plan_id FROM added) a JOIN period_close c USING (plan_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'period % of plan % is closed: volume is brought along before the first close',
            closed.period, closed.plan_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER check_facts AFTER INSERT ON upline.carry_fact
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION upline.check_carry_facts();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.carry_fact
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.carry_fact TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
