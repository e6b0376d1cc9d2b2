//! Makes up sales: what was bought, at which price, with which discount and tax.

use jiff::Timestamp;

use crate::cli::demo::{
    company::{ARTICLES, Article, LATE},
    payload::{Foreign, Kind, Marks, Row, Sale, Shop, cents::Cents, people::PEOPLE},
    rng::Rng,
};

/// What a sale is made up from, beside chance.
pub(super) struct Wish {
    /// Where.
    pub(super) shop: Shop,
    /// The number of the order in the story, from 0.
    pub(super) index: u64,
    /// When.
    pub(super) placed: Timestamp,
    /// One row, as the short form of the API has it: no tax, no shipping.
    pub(super) short: bool,
    /// Whether it holds the article that nobody has mapped.
    pub(super) late: bool,
    /// Who referred it.
    pub(super) marks: Marks,
    /// A test order.
    pub(super) test: bool,
}

/// Makes up a sale.
pub(super) fn sale(wish: Wish, rng: &mut Rng) -> Sale {
    let (shop, index) = (wish.shop, wish.index);
    let (id, number) = match shop {
        Shop::Shopify => (6_200_360_400_000, 10_000),
        Shop::WooCommerce => (70_000, 70_000),
        Shop::Magento => (64_000, 2_000_000),
        Shop::Api => (9_100_000, 9_100_000),
    };
    let (id, number) = (index.saturating_add(id), index.saturating_add(number));
    let mut sale = Sale {
        shop,
        id,
        number,
        currency: match shop {
            Shop::Shopify | Shop::Api => "USD",
            Shop::WooCommerce => "EUR",
            Shop::Magento => "MXN",
        },
        foreign: foreign(shop, rng),
        prices_hold_tax: matches!(shop, Shop::Shopify | Shop::WooCommerce) && rng.per_mille(250),
        tax_rate: match shop {
            Shop::Shopify => 825,
            Shop::WooCommerce => 1_900,
            Shop::Magento => 1_600,
            Shop::Api => 700,
        },
        test: wish.test,
        rows: rows(&wish, rng),
        shipping: Cents::ZERO,
        shipping_tax: Cents::ZERO,
        fee: Cents::ZERO,
        tip: Cents::ZERO,
        marks: wish.marks,
        // Far from the ids of distributors.
        customer: rng.between(7_300_000, 7_360_000),
        person: rng.pick(&PEOPLE).unwrap_or(&PEOPLE[0]),
        placed: wish.placed,
        token: rng.hex(32),
    };
    discount(&mut sale, wish.short, rng);
    if !wish.short {
        charges(&mut sale, rng);
        taxes(&mut sale, rng);
    }
    sale
}

fn foreign(shop: Shop, rng: &mut Rng) -> Option<Foreign> {
    let chance = rng.below(1000);
    match shop {
        Shop::Shopify if chance < 60 => Some(Foreign { currency: "CAD", rate: 137 }),
        Shop::Magento if chance < 100 => Some(Foreign { currency: "USD", rate: 5 }),
        Shop::Shopify | Shop::Magento | Shop::WooCommerce | Shop::Api => None,
    }
}

fn rows(wish: &Wish, rng: &mut Rng) -> Vec<Row> {
    let counts: &[u64] = if wish.short { &[1] } else { &[1, 1, 2, 2, 3, 3, 3, 4] };
    let count = rng.pick(counts).copied().unwrap_or(1);
    let first_id = match wish.shop {
        Shop::Shopify => 15_518_818_000_000,
        Shop::WooCommerce => 300_000,
        Shop::Magento => 290_000,
        Shop::Api => 1,
    };
    let next = |place: u64| {
        // Twenty ids for each order; the child of a configurable product has the one between.
        let first: u64 = wish.index.saturating_mul(20).saturating_add(first_id);
        first.saturating_add(place.saturating_mul(2))
    };
    let mut rows: Vec<Row> = (0..count)
        .map(|place| {
            let article: &'static Article =
                if wish.late && place == 0 { &LATE } else { rng.pick(&ARTICLES).unwrap_or(&LATE) };
            let options = wish.shop == Shop::Magento && rng.per_mille(300);
            Row {
                id: next(place),
                kind: if options { Kind::Configurable(article) } else { Kind::Goods(article) },
                quantity: rng.between(1, 3).min(rng.between(1, 3)),
                unit: price(wish.shop, article),
                discount: Cents::ZERO,
                tax: Cents::ZERO,
            }
        })
        .collect();
    if matches!(wish.shop, Shop::Shopify | Shop::WooCommerce) && rng.per_mille(40) {
        rows.push(extra(next(count), Kind::GiftCard, 5_000));
    }
    if wish.shop == Shop::Shopify && rng.per_mille(40) {
        rows.push(extra(next(count.saturating_add(1)), Kind::Tip, 300));
    }
    rows
}

/// Pesos are twenty to the dollar.
fn price(shop: Shop, article: &Article) -> Cents {
    let dollars = Cents::new(article.price);
    if shop == Shop::Magento { dollars.times(20) } else { dollars }
}

fn extra(id: u64, kind: Kind, price: i64) -> Row {
    let (discount, tax) = (Cents::ZERO, Cents::ZERO);
    Row { id, kind, quantity: 1, unit: Cents::new(price), discount, tax }
}

/// A discount of 10 % per row, or of a fixed amount over all of them; always where a code stands.
fn discount(sale: &mut Sale, short: bool, rng: &mut Rng) {
    // The canonical form has no place for a discount per row; with one row there is no question.
    if sale.shop == Shop::Api && !short && sale.rows.len() > 1 {
        return;
    }
    if sale.marks.code.is_none() && !rng.per_mille(250) {
        return;
    }
    let of_shop = matches!(sale.shop, Shop::Shopify | Shop::WooCommerce | Shop::Magento);
    if sale.marks.code.is_none() && of_shop && rng.per_mille(500) {
        sale.marks.code = Some("WELCOME10".to_owned());
    }
    let goods = |row: &Row| if row.kind.article().is_some() { row.list() } else { Cents::ZERO };
    let lists: Vec<Cents> = sale.rows.iter().map(goods).collect();
    let fixed = Cents::new(1_000).min(lists.iter().copied().sum());
    // A fixed amount can make a cheap sale free; the API does not send such.
    let shares = if sale.shop != Shop::Api && rng.per_mille(500) {
        fixed.split(&lists)
    } else {
        lists.iter().map(|list| list.share(10, 100)).collect()
    };
    for (row, share) in sale.rows.iter_mut().zip(shares) {
        row.discount = share;
    }
}

fn charges(sale: &mut Sale, rng: &mut Rng) {
    let shipping = rng.pick(&[0, 0, 495, 990, 1_500]).copied().unwrap_or_default();
    sale.shipping = Cents::new(shipping);
    match sale.shop {
        Shop::WooCommerce if rng.per_mille(60) => sale.fee = Cents::new(350),
        // A plugin's discount comes as a fee below zero.
        Shop::WooCommerce
            if sale.rows.len() == 1
                && sale.subtotal() > Cents::new(1_000)
                && rng.per_mille(150) =>
        {
            sale.fee = Cents::new(-250);
        }
        Shop::Shopify if !sale.rows.iter().any(|row| row.kind == Kind::Tip) => {
            sale.tip = Cents::new(if rng.per_mille(40) { 200 } else { 0 });
        }
        Shop::Shopify | Shop::WooCommerce | Shop::Magento | Shop::Api => {}
    }
}

/// Tax on goods and shipping; sometimes on shipping alone, sometimes none.
fn taxes(sale: &mut Sale, rng: &mut Rng) {
    let chance = rng.below(1000);
    let (on_goods, on_shipping) = match sale.shop {
        Shop::Shopify if chance < 60 => (false, true),
        Shop::Shopify => (chance < 800, chance < 400),
        Shop::WooCommerce | Shop::Magento => (true, chance < 700),
        Shop::Api => (chance < 500, false),
    };
    let (rate, within) = (sale.tax_rate, sale.tax_in_rows());
    let tax = |amount: Cents| {
        if within { amount.tax_within(rate) } else { amount.tax_on_top(rate) }
    };
    if on_goods {
        for row in sale.rows.iter_mut().filter(|row| row.kind.article().is_some()) {
            row.tax = tax(row.discounted());
        }
    }
    if on_shipping {
        sale.shipping_tax = tax(sale.shipping);
    }
}
