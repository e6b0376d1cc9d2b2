-- Who is paid as which rank of a plan, from when on: what closed periods found (period_close) and what
-- people decided (forced, cleared). Orders are locked to a version of it. Nothing of it is ever changed: a
-- later fact takes the place of an earlier one. The facts are numbered without gaps in the order of their
-- recording and chained by hash. Whoever writes them numbers and chains them, a million as well as one; the
-- table refuses what does not follow.

CREATE TABLE upline.rank_fact (
    seq            bigint PRIMARY KEY CHECK (seq > 0),
    plan_id        text NOT NULL,
    distributor_id text NOT NULL,
    rank           text CHECK (rank ~ '^[A-Za-z0-9_-]{1,64}$'), -- none below the first
    source         text NOT NULL CHECK (source IN ('period_close', 'forced', 'cleared')),
    hold           text CHECK (hold IN ('at_least', 'exactly')), -- of a forced rank
    raises_title   boolean NOT NULL DEFAULT false, -- a forced rank counts as reached for good
    effective_at   timestamptz NOT NULL,
    ends_at        timestamptz CHECK (ends_at > effective_at), -- of what people decided; none: open
    period         text, -- the closed one
    decided_by     text CHECK (decided_by !~ '[[:cntrl:]]'),
    reason         text CHECK (reason !~ '[[:cntrl:]]'),
    recorded_at    timestamptz NOT NULL,
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    CONSTRAINT rank_fact_of_its_source CHECK (CASE source
        WHEN 'period_close' THEN period IS NOT NULL AND hold IS NULL AND NOT raises_title
            AND ends_at IS NULL AND decided_by IS NULL AND reason IS NULL
        WHEN 'forced' THEN period IS NULL AND hold IS NOT NULL AND decided_by IS NOT NULL
            AND reason IS NOT NULL AND (rank IS NOT NULL OR hold = 'exactly')
        ELSE period IS NULL AND hold IS NULL AND NOT raises_title AND rank IS NULL
            AND decided_by IS NOT NULL AND reason IS NOT NULL
    END)
);
CREATE INDEX rank_fact_by_distributor ON upline.rank_fact (distributor_id);
CREATE INDEX rank_fact_decided ON upline.rank_fact (plan_id, seq) WHERE source <> 'period_close';

-- Looks at all facts of a statement at once. The hash covers the fields as lines of text, times in
-- microseconds since 1970: the same bytes as RankLine::chained.
CREATE FUNCTION upline.check_rank_facts() RETURNS trigger
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
        || (extract(epoch FROM a.recorded_at) * 1000000)::bigint, 'UTF8'));
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
    RETURN NULL;
END $$;
CREATE TRIGGER check_facts AFTER INSERT ON upline.rank_fact
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION upline.check_rank_facts();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.rank_fact
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.rank_fact TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
