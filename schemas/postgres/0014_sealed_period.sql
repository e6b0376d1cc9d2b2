-- Nothing is added to a period that is closed: its rows are written before it is, in one transaction, and what
-- a later close reads of it is what its block seals.

CREATE FUNCTION upline.refuse_sealed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = upline, pg_catalog AS $$
DECLARE
    sealed record;
BEGIN
    SELECT c.plan_id, c.period INTO sealed
    FROM (SELECT DISTINCT plan_id, period FROM added) a JOIN period_close c USING (plan_id, period) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'period % of plan % is closed: nothing is added to it', sealed.period, sealed.plan_id;
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE
    of text;
BEGIN
    FOREACH of IN ARRAY ARRAY['period_member', 'period_carry', 'period_entry', 'period_rank_bonus',
                              'period_position', 'period_level', 'period_correction'] LOOP
        EXECUTE format('CREATE TRIGGER sealed AFTER INSERT ON upline.%I REFERENCING NEW TABLE AS added
                        FOR EACH STATEMENT EXECUTE FUNCTION upline.refuse_sealed()', of);
    END LOOP;
END $$;
