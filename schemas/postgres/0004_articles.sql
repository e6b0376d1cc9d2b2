-- The catalogue: what the shops sell, as they name it, joined from messages in any order.
--
-- Each table holds, per thing, the newest version that was told. What exists, under which SKU and
-- with how much stock, is decided by the view: so the order of arrival never matters.
-- Titles are for people; nothing maps by them.

-- A product and, where a message listed them, all its variants at that version.
CREATE TABLE upline.article_product (
    platform       text NOT NULL,
    store          text NOT NULL,
    product_id     text NOT NULL,
    listed         text[],
    version_at     timestamptz NOT NULL,
    version_digest bytea NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (platform, store, product_id)
);

-- A variant: what order lines name.
CREATE TABLE upline.article_variant (
    platform       text NOT NULL,
    store          text NOT NULL,
    variant_id     text NOT NULL,
    product_id     text NOT NULL,
    sku            text,
    item_id        text NOT NULL, -- under which its stock is reported
    title          text,
    stock          numeric,
    container      boolean NOT NULL, -- only holds variants: no order line names it
    version_at     timestamptz NOT NULL,
    version_digest bytea NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (platform, store, variant_id)
);
CREATE INDEX article_variant_by_sku ON upline.article_variant (sku);

-- What is kept in stock, where it has a resource and versions of its own.
CREATE TABLE upline.article_item (
    platform       text NOT NULL,
    store          text NOT NULL,
    item_id        text NOT NULL,
    sku            text,
    version_at     timestamptz NOT NULL,
    version_digest bytea NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (platform, store, item_id)
);

-- Stock per place; the place '' is all places together.
CREATE TABLE upline.article_stock (
    platform       text NOT NULL,
    store          text NOT NULL,
    item_id        text NOT NULL,
    location_id    text NOT NULL,
    quantity       numeric,
    version_at     timestamptz NOT NULL,
    version_digest bytea NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (platform, store, item_id, location_id)
);

-- Deletions: they may come before what they delete.
CREATE TABLE upline.article_gone (
    platform   text NOT NULL,
    store      text NOT NULL,
    what       text NOT NULL CHECK (what IN ('product', 'variant', 'item')),
    id         text NOT NULL,
    gone_at    timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (platform, store, what, id)
);

-- One row per variant. A variant is deleted if a deletion is as young as its version or younger, or
-- if a younger version of its product does not list it. Of the stock that the product states and
-- the stock per place the younger one counts.
CREATE VIEW upline.platform_article AS
SELECT v.platform, v.store, v.product_id, v.variant_id,
       CASE WHEN i.version_at > v.version_at THEN i.sku ELSE v.sku END AS sku,
       v.item_id AS inventory_item_id, v.title,
       CASE WHEN s.version_at > v.version_at THEN s.quantity ELSE v.stock END AS stock,
       coalesce(g.gone_at >= v.version_at, false)
           OR coalesce(p.version_at > v.version_at AND v.variant_id <> ALL (p.listed), false)
           AS deleted,
       v.container, v.version_at,
       greatest(v.updated_at, i.updated_at, s.updated_at, p.updated_at, g.updated_at) AS updated_at
FROM upline.article_variant v
LEFT JOIN upline.article_product p USING (platform, store, product_id)
LEFT JOIN upline.article_item i USING (platform, store, item_id)
LEFT JOIN LATERAL (
    SELECT sum(quantity) AS quantity, max(version_at) AS version_at, max(updated_at) AS updated_at
    FROM (SELECT l.*, max(l.version_at) FILTER (WHERE l.location_id = '') OVER () AS whole
          FROM upline.article_stock l
          WHERE (l.platform, l.store, l.item_id) = (v.platform, v.store, v.item_id)) levels
    -- A statement for all places replaces what was said of single ones before it.
    WHERE whole IS NULL OR version_at >= whole
) s ON true
LEFT JOIN LATERAL (
    SELECT max(gone_at) AS gone_at, max(updated_at) AS updated_at FROM upline.article_gone d
    WHERE (d.platform, d.store) = (v.platform, v.store)
      AND (d.what, d.id) IN (('product', v.product_id), ('variant', v.variant_id))
) g ON true;

-- What the company has a commission class for, by what order lines name.
CREATE VIEW upline.platform_article_mapped AS
SELECT a.*, EXISTS (
           SELECT 1 FROM upline.sku_mapping m
           WHERE m.platform_sku IN (a.sku, a.variant_id) AND m.platform IN ('any', a.platform)
       ) AS mapped
FROM upline.platform_article a;

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'upline_service') THEN
        GRANT SELECT, INSERT, UPDATE ON upline.article_product, upline.article_variant,
            upline.article_item, upline.article_stock, upline.article_gone TO upline_service;
        GRANT SELECT ON upline.platform_article, upline.platform_article_mapped TO upline_service;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of upline_service cannot be granted';
END $$;
