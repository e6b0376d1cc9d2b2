-- The two large texts of an order are compressed when they are stored. lz4 takes a tenth of the
-- processor's time that the default takes; a server that was built without it keeps the default.
DO $$
BEGIN
    ALTER TABLE upline.order_book ALTER COLUMN state SET COMPRESSION lz4;
    ALTER TABLE upline.commission_run ALTER COLUMN calc_snapshot_json SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN
        RAISE NOTICE 'this server has no lz4';
END $$;
