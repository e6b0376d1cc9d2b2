-- Everything that distributors are paid: the lines of orders and those of closed periods. Amounts are signed;
-- their sum is what the company owes. A period is earned at its last instant.
CREATE VIEW upline.statement AS
SELECT distributor_id, 'order' AS source, order_ts AS earned_at, order_key, NULL AS plan_id, NULL AS period,
       NULL AS corrects_period, component, level, amount, currency, event_id, posted_at, NULL::date AS pays_on
FROM upline.ledger WHERE distributor_id IS NOT NULL
UNION ALL
SELECT substr(a.account, 13), 'period', c.ends_at - interval '1 microsecond', NULL, e.plan_id, e.period, e.corrects, e.component, NULL,
       CASE WHEN e.debit = 'commission' THEN e.amount ELSE -e.amount END, e.currency, e.event_id, c.closed_at,
       c.pays_on
FROM upline.period_entry e
JOIN upline.period_close c USING (plan_id, period)
CROSS JOIN LATERAL (SELECT CASE e.debit WHEN 'commission' THEN e.credit ELSE e.debit END AS account) a
WHERE a.account LIKE 'distributor:%';

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT ON upline.statement TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
