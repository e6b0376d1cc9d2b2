-- A correction of a closed period follows from the whole period, closed once more without what came back: what
-- caps of the plan take of it is posted with the rest, and stands no longer beside each position.
ALTER TABLE upline.period_correction ALTER COLUMN spared SET DEFAULT 0;

-- What stands for a closed period is what its close posted and what later ones correct of it.
CREATE INDEX period_entry_corrects ON upline.period_entry (plan_id, corrects) WHERE corrects IS NOT NULL;
CREATE INDEX period_correction_corrects ON upline.period_correction (plan_id, component, corrects);

-- What came back, which every close looks for among all that was posted since the first one.
CREATE INDEX volume_entry_back ON upline.volume_entry (seq) WHERE pv < 0 OR qv < 0 OR cv < 0;
CREATE INDEX ledger_entry_back ON upline.ledger_entry (seq) WHERE kind <> 'earned';
