-- Placement trees: where somebody sits in a binary or a matrix, apart from who enrolled whom; and what
-- became of every position at a close. Nothing moves and nothing is deleted.

-- ---------------------------------------------------------------------------------------------
-- Trees. Who writes into `placement`, by import or by hand, writes history: the trigger checks the rows of
-- a statement in their order, numbers them and chains them: a million in one statement in less than half a minute.

CREATE TABLE upline.placement_tree (
    tree        text PRIMARY KEY CHECK (tree ~ '^[A-Za-z0-9_-]{1,64}$'),
    kind        text NOT NULL CHECK (kind IN ('binary', 'matrix')),
    width       smallint NOT NULL CHECK (width BETWEEN 2 AND 32),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (kind <> 'binary' OR width = 2)
);

-- Without an index: who looks for a position finds it in placement_event.
CREATE TABLE upline.placement (
    tree           text NOT NULL,
    position_id    text COLLATE "C" NOT NULL CHECK (position_id ~ '^[!-~]{1,64}$'),
    distributor_id text NOT NULL,
    parent_id      text COLLATE "C",     -- the position above; none for the first
    place          smallint, -- below it, from the left, from 0: left and right of a binary are 0 and 1
    placed_at      timestamptz NOT NULL CHECK (placed_at >= '1900-01-01'),
    CHECK ((parent_id IS NULL) = (place IS NULL))
);

CREATE TABLE upline.placement_event (
    tree           text NOT NULL,
    seq            bigint NOT NULL, -- from 1, without gaps
    position       integer NOT NULL CHECK (position = seq - 1),
    position_id    text COLLATE "C" NOT NULL,
    distributor_id text NOT NULL,
    parent         integer CHECK (parent < position),
    place          smallint,
    placed_at      timestamptz NOT NULL, -- never before that of the event before
    recorded_at    timestamptz NOT NULL,
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tree, seq),
    UNIQUE (tree, position_id),
    UNIQUE (tree, parent, place),
    CHECK ((parent IS NULL) = (place IS NULL))
);

-- A chain of hashes as a running aggregate: each event after the one before it.
CREATE FUNCTION upline.next_hash(chain bytea, first bytea, event text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(chain, first) || convert_to(event, 'UTF8'));
END $$;
CREATE AGGREGATE upline.hash_chain(first bytea, event text) (SFUNC = upline.next_hash, STYPE = bytea);

-- The rows of a statement in their order are the next events. An event's hash covers its fields as lines
-- of text, times in microseconds since 1970: the same bytes as Placed::chained.
CREATE FUNCTION upline.record_placements() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = upline, pg_catalog SET plan_cache_mode = force_custom_plan
SET work_mem = '256MB' SET jit = off AS $$
DECLARE
    of text;
    shape record;
    last record;
    wrong record;
    now_at timestamptz;
    now_line text;
BEGIN
    IF NOT EXISTS (SELECT FROM placed) THEN
        RETURN NULL;
    END IF;
    -- Held until commit: the next event is numbered only after these are visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline.placement', 0));
    now_at := date_trunc('microseconds', clock_timestamp());
    now_line := E'\n' || (extract(epoch FROM now_at) * 1000000)::bigint;
    -- texteq is =, but the planner reckons with a third of the rows and not with one in two hundred: it
    -- joins few rows by the indexes and many as a whole.
    FOR of IN SELECT DISTINCT tree FROM placed LOOP
        SELECT kind, width INTO shape FROM placement_tree WHERE tree = of;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'placement tree % is not there: add it to placement_tree first', of;
        END IF;
        SELECT seq, hash, placed_at INTO last FROM placement_event WHERE tree = of
        ORDER BY seq DESC LIMIT 1;

        SELECT p.position_id, p.distributor_id INTO wrong FROM placed p
        WHERE texteq(p.tree, of) AND NOT EXISTS (
            SELECT FROM distributors d WHERE d.distributor_id = p.distributor_id) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'position %: distributor % is unknown, enrol them first',
                wrong.position_id, wrong.distributor_id;
        END IF;

        SELECT position_id, placed_at, before INTO wrong FROM (
            SELECT position_id, placed_at,
                   coalesce(lag(placed_at) OVER (ORDER BY n), last.placed_at) AS before
            FROM (SELECT *, row_number() OVER () AS n FROM placed WHERE texteq(tree, of)) r) t
        WHERE placed_at < before OR placed_at > now_at LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'position %: placed_at % is in the future, or before that of the position placed '
                'last (%)', wrong.position_id, wrong.placed_at, wrong.before;
        END IF;

        SELECT position_id, parent_id, problem INTO wrong FROM (
            SELECT r.n, r.position_id, r.parent_id, CASE
                WHEN k.position IS NOT NULL
                    THEN 'a position of this id is placed already'
                WHEN r.parent_id IS NULL AND (r.n > 1 OR last.seq IS NOT NULL)
                    THEN 'only the first position of a tree has no parent'
                WHEN r.parent_id IS NOT NULL AND e.position IS NULL AND coalesce(b.n >= r.n, true)
                    THEN 'its parent is not placed before it'
                WHEN r.place NOT BETWEEN 0 AND shape.width - 1
                    THEN 'its parent has no such place'
                WHEN x.position IS NOT NULL OR count(*) OVER (PARTITION BY r.parent_id, r.place) > 1
                    AND r.parent_id IS NOT NULL
                    THEN 'the place is taken'
                WHEN shape.kind = 'matrix' AND r.place > 0 AND f.position IS NULL AND NOT coalesce(
                    lag(r.place) OVER (PARTITION BY r.parent_id ORDER BY r.n) = r.place - 1, false)
                    THEN 'a matrix is filled from the left'
                END AS problem
            FROM (SELECT *, row_number() OVER () AS n FROM placed WHERE texteq(tree, of)) r
            LEFT JOIN placement_event e ON e.tree = of AND e.position_id = r.parent_id
            LEFT JOIN (SELECT position_id, row_number() OVER () AS n FROM placed WHERE texteq(tree, of)) b
                ON b.position_id = r.parent_id
            LEFT JOIN placement_event k ON k.tree = of AND k.position_id = r.position_id
            LEFT JOIN placement_event x
                ON x.tree = of AND x.parent = e.position AND x.place = r.place
            LEFT JOIN placement_event f
                ON f.tree = of AND f.parent = e.position AND f.place = r.place - 1) t
        WHERE problem IS NOT NULL ORDER BY n LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'position % below %: %', wrong.position_id,
                coalesce(wrong.parent_id, 'nobody'), wrong.problem;
        END IF;

        INSERT INTO placement_event
        SELECT of, seq, seq - 1, position_id, distributor_id, parent, place, placed_at, now_at,
               hash_chain(coalesce(last.hash, decode(repeat('00', 32), 'hex')),
                   seq || E'\n' || seq - 1 || E'\n' || position_id || E'\n' || distributor_id || E'\n'
                   || coalesce(parent::text, '') || E'\n' || coalesce(place::text, '') || E'\n'
                   || (extract(epoch FROM placed_at) * 1000000)::bigint || now_line
               ) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING)
        FROM (SELECT coalesce(last.seq, 0) + r.n AS seq, r.position_id, r.distributor_id, r.place,
                     r.placed_at,
                     coalesce(e.position, (coalesce(last.seq, 0) + b.n - 1)::integer) AS parent
              FROM (SELECT *, row_number() OVER () AS n FROM placed WHERE texteq(tree, of)) r
              LEFT JOIN placement_event e ON e.tree = of AND e.position_id = r.parent_id
              LEFT JOIN (SELECT position_id, row_number() OVER () AS n FROM placed WHERE texteq(tree, of)) b
                  ON b.position_id = r.parent_id) t;
    END LOOP;
    IF (SELECT count(*) FROM placed) > 5000 THEN
        -- So that the next small statement finds its way by the indexes.
        ANALYZE placement_event;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT ON upline.placement
    REFERENCING NEW TABLE AS placed
    FOR EACH STATEMENT EXECUTE FUNCTION upline.record_placements();

-- ---------------------------------------------------------------------------------------------
-- Closes. Volumes in ten-thousandths of a point; each row is a leaf of the close's block.

-- A position of a binary: what its legs opened with, what arrived, and what became of it.
CREATE TABLE upline.period_position (
    plan_id       text NOT NULL,
    period        text NOT NULL,
    component     text NOT NULL,
    position      integer NOT NULL,
    standing      smallint NOT NULL, -- 4 active, 1 and 2 an active enrolment in the left and right leg
    left_opening  bigint NOT NULL,
    left_arrived  bigint NOT NULL,
    left_paired   bigint NOT NULL,
    left_expired  bigint NOT NULL,
    left_flushed  bigint NOT NULL,
    left_carried  bigint NOT NULL,
    right_opening bigint NOT NULL,
    right_arrived bigint NOT NULL,
    right_paired  bigint NOT NULL,
    right_expired bigint NOT NULL,
    right_flushed bigint NOT NULL,
    right_carried bigint NOT NULL,
    pool          numeric NOT NULL,
    paid          numeric NOT NULL,
    breakage      numeric NOT NULL,
    capped        numeric NOT NULL,
    reason        text, -- why the owner gets nothing
    PRIMARY KEY (plan_id, component, period, position),
    CHECK (left_opening + left_arrived = left_paired + left_expired + left_flushed + left_carried),
    CHECK (right_opening + right_arrived = right_paired + right_expired + right_flushed + right_carried),
    CHECK (pool = paid + breakage + capped)
);

-- A level of a position in a matrix.
CREATE TABLE upline.period_level (
    plan_id   text NOT NULL,
    period    text NOT NULL,
    component text NOT NULL,
    level     smallint NOT NULL,
    position  integer NOT NULL, -- -1: nobody stands there
    volume    bigint NOT NULL,
    paid      numeric NOT NULL,
    breakage  numeric NOT NULL,
    reason    text,
    PRIMARY KEY (plan_id, component, period, level, position)
);

-- What returns change in closed periods: the difference to what was posted, posted with `period`.
CREATE TABLE upline.period_correction (
    plan_id   text NOT NULL,
    period    text NOT NULL, -- the close that posts it
    component text NOT NULL,
    corrects  text NOT NULL, -- the closed period
    position  integer NOT NULL,
    paid      numeric NOT NULL,
    breakage  numeric NOT NULL,
    capped    numeric NOT NULL,
    reason    text, -- of breakage
    cap       text, -- of the plan, which had taken some of what is taken back now
    spared    numeric NOT NULL CHECK ((cap IS NULL) = (spared = 0)), -- that part: not the owner's to give
    PRIMARY KEY (plan_id, component, period, corrects, position)
);

-- The closed period that an entry corrects.
ALTER TABLE upline.period_entry ADD COLUMN corrects text;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.placement_tree
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.placement
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.placement_event
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_position
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_level
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upline.period_correction
    FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT ON upline.placement_tree, upline.placement, upline.period_position,
                                upline.period_level, upline.period_correction TO upline_service;
        GRANT SELECT ON upline.placement_event TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
