//! What the sample company sells.

/// An article of the sample company, with its price in the shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Article {
    /// The SKU, the same in every shop.
    pub(crate) sku: &'static str,
    /// The commission class.
    pub(crate) class: &'static str,
    /// The category, for people.
    pub(crate) category: &'static str,
    /// The name, for people.
    pub(crate) name: &'static str,
    /// The price of one unit in cents.
    pub(crate) price: i64,
    /// The number from which the shops' own ids of the article are made.
    pub(crate) number: u64,
    /// Whether the shops sell it without a SKU, so that it maps by their own id.
    pub(crate) by_id: bool,
}

impl Article {
    const fn new(
        number: u64,
        sku: &'static str,
        class: &'static str,
        category: &'static str,
        name: &'static str,
        price: i64,
    ) -> Self {
        Self { sku, class, category, name, price, number, by_id: false }
    }

    const fn by_id(self) -> Self {
        Self { by_id: true, ..self }
    }

    /// The id of the variant (Shopify).
    pub(crate) fn shopify_variant(&self) -> u64 {
        self.number.saturating_add(44_873_120_055_000)
    }

    /// The id of the product (Shopify).
    pub(crate) fn shopify_product(&self) -> u64 {
        self.number.saturating_add(9_782_123_000_000)
    }

    /// The id of the product (WooCommerce).
    pub(crate) fn woocommerce_product(&self) -> u64 {
        self.number.saturating_add(61_200)
    }

    /// The id of the product (Magento).
    pub(crate) fn magento_product(&self) -> u64 {
        self.number.saturating_add(3_400)
    }
}

/// The articles that are mapped from the start.
pub(crate) const ARTICLES: [Article; 24] = [
    Article::new(1, "SUPP001", "supplement", "Supplements", "Daily Balance Capsules", 9_900),
    Article::new(2, "SUPP002", "supplement", "Supplements", "Omega Drops 100 ml", 3_450),
    Article::new(3, "SUPP003", "supplement", "Supplements", "Magnesium Powder 300 g", 2_795),
    Article::new(4, "SUPP004", "supplement", "Supplements", "Vitamin D3 Spray", 1_999),
    Article::new(5, "SUPP005", "supplement", "Supplements", "Plant Protein, Vanilla", 4_490)
        .by_id(),
    Article::new(6, "SUPP006", "supplement", "Supplements", "Iron and C Chewables", 1_649),
    Article::new(7, "BEAUTY01", "beauty", "Beauty", "Hydra Serum 30 ml", 4_200),
    Article::new(8, "BEAUTY02", "beauty", "Beauty", "Renewal Night Cream", 6_500),
    Article::new(9, "BEAUTY03", "beauty", "Beauty", "Clay Mask", 2_333),
    Article::new(10, "BEAUTY04", "beauty", "Beauty", "Micellar Water 200 ml", 1_275),
    Article::new(11, "BEAUTY05", "beauty", "Beauty", "Lip Care Set", 1_890),
    Article::new(12, "BEAUTY06", "beauty", "Beauty", "Sun Fluid SPF 50", 3_105).by_id(),
    Article::new(13, "KIT-STARTER-001", "starter-kit", "Kits", "Starter Kit", 9_900),
    Article::new(14, "KIT-STARTER-002", "starter-kit", "Kits", "Starter Kit Plus", 19_900),
    Article::new(15, "WELL001", "wellness", "Wellness", "Massage Roller", 3_799),
    Article::new(16, "WELL002", "wellness", "Wellness", "Aroma Diffuser", 8_950),
    Article::new(17, "WELL003", "wellness", "Wellness", "Lavender Oil 10 ml", 1_425),
    Article::new(18, "WELL004", "wellness", "Wellness", "Sleep Mist", 2_219),
    Article::new(19, "WELL005", "wellness", "Wellness", "Yoga Mat, Cork", 7_475).by_id(),
    Article::new(20, "HOME001", "home", "Home", "Dish Concentrate 500 ml", 1_135),
    Article::new(21, "HOME002", "home", "Home", "Laundry Sheets, 60 pieces", 2_485),
    Article::new(22, "HOME003", "home", "Home", "Glass Cleaner Tabs", 990),
    Article::new(23, "HOME004", "home", "Home", "Water Filter Jug", 5_640),
    Article::new(24, "HOME005", "home", "Home", "Linen Spray", 1_767),
];

/// The article that the shops sell before anybody has mapped it.
pub(crate) const LATE: Article =
    Article::new(25, "WELL-NEW-006", "wellness", "Wellness", "Recovery Balm", 3_333);

/// One row of the SKU mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkuRow {
    /// The company's own id of the article.
    pub(crate) sku_id: &'static str,
    /// `shopify`, `woocommerce`, `magento` or `any`.
    pub(crate) platform: &'static str,
    /// The SKU, variant id or product id in the shop.
    pub(crate) platform_sku: String,
    /// The name, for people: nothing maps by it.
    pub(crate) name: &'static str,
    /// The category, for people.
    pub(crate) category: &'static str,
    /// The commission class: which rates of the plan hold.
    pub(crate) commission_class: &'static str,
}

fn row(article: &Article, platform: &'static str, platform_sku: String) -> SkuRow {
    SkuRow {
        sku_id: article.sku,
        platform,
        platform_sku,
        name: article.name,
        category: article.category,
        commission_class: article.class,
    }
}

/// The mapping with which the company starts: each SKU for any platform, and the shops' own ids of
/// the articles that have no SKU there.
pub(crate) fn sku_rows() -> Vec<SkuRow> {
    let mut rows: Vec<SkuRow> =
        ARTICLES.iter().map(|article| row(article, "any", article.sku.to_owned())).collect();
    for article in ARTICLES.iter().filter(|article| article.by_id) {
        rows.push(row(article, "shopify", article.shopify_variant().to_string()));
        rows.push(row(article, "woocommerce", article.woocommerce_product().to_string()));
        rows.push(row(article, "magento", article.magento_product().to_string()));
    }
    rows
}

/// The row that is added while the demo runs: orders with it are parked until then.
pub(crate) fn late_sku() -> SkuRow {
    row(&LATE, "any", LATE.sku.to_owned())
}
