-- What only a person can decide: an order can wait for an article of the company that a person decided
-- a line to sell (kind 'article', its sku_id), and for a decision on a chargeback in another currency
-- (kind 'chargeback'). The decisions themselves are facts of the order, in order_book.state; each
-- stands with who, when and why in order_event.
ALTER TABLE upline.order_wait DROP CONSTRAINT order_wait_kind_check;
ALTER TABLE upline.order_wait ADD CONSTRAINT order_wait_kind_check
    CHECK (kind IN ('sku', 'distributor', 'line', 'rate', 'referrer', 'article', 'chargeback'));

-- Mapping an article releases the orders that wait for it by the company's own id.
CREATE INDEX sku_mapping_by_article ON upline.sku_mapping (sku_id, platform);
