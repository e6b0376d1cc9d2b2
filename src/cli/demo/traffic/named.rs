//! The three orders that every description of the service uses as its example.

use jiff::{SignedDuration, Timestamp};

use super::{
    Ending,
    order::{Form, Order},
};
use crate::cli::demo::{
    company::{ARTICLES, LATE},
    oracle::{Behind, Earning},
    payload::{Kind, Marks, Moment, Phase, Row, Sale, Shop, cents::Cents, people::PEOPLE},
};

/// One of them.
struct Named {
    id: u64,
    sku: &'static str,
    net: i64,
    referrer: &'static str,
    form: &'static str,
    body: String,
}

/// The orders, as their callers send them: two in the short form, one in the canonical.
pub(super) fn orders(base: Timestamp) -> Vec<Order> {
    let at = base.checked_sub(SignedDuration::from_hours(24)).unwrap_or(base);
    let named = [
        Named {
            id: 301,
            sku: "SUPP001",
            net: 9_900,
            referrer: "11043",
            form: "short",
            body: concat!(
                r#"{"shopify_order_id":301,"sku":"SUPP001","customer_id":11200,"#,
                r#""referrer_id":11043,"amount":99.00}"#
            )
            .to_owned(),
        },
        Named {
            id: 302,
            sku: "BEAUTY02",
            net: 6_500,
            referrer: "10090",
            form: "short",
            body: concat!(
                r#"{"shopify_order_id":302,"sku":"BEAUTY02","customer_id":11150,"#,
                r#""referrer_id":10090,"amount":65.00}"#
            )
            .to_owned(),
        },
        Named {
            id: 587_364_120,
            sku: "KIT-STARTER-001",
            net: 9_692,
            referrer: "ABC123",
            form: "canonical",
            body: format!(
                concat!(
                    r#"{{"platform":"shopify","platform_order_id":"587364120","order_ts":"{at}","#,
                    r#""status":"paid","currency":"USD","distributor_ref":"ABC123","#,
                    r#""items":[{{"platform_sku":"KIT-STARTER-001","qty":1,"unit_price":99.00}}],"#,
                    r#""total":96.92}}"#
                ),
                at = at
            ),
        },
    ];
    named.into_iter().map(|named| order(named, at)).collect()
}

fn order(named: Named, at: Timestamp) -> Order {
    let article = ARTICLES.iter().find(|article| article.sku == named.sku).unwrap_or(&LATE);
    let unit = Cents::new(article.price);
    let row = Row {
        id: 1,
        kind: Kind::Goods(article),
        quantity: 1,
        unit,
        discount: unit.minus(Cents::new(named.net)),
        tax: Cents::ZERO,
    };
    let sale = Sale {
        shop: Shop::Api,
        id: named.id,
        number: named.id,
        currency: "USD",
        foreign: None,
        prices_hold_tax: false,
        tax_rate: 0,
        test: false,
        rows: vec![row],
        shipping: Cents::ZERO,
        shipping_tax: Cents::ZERO,
        fee: Cents::ZERO,
        tip: Cents::ZERO,
        marks: Marks { meta: Some(named.referrer.to_owned()), ..Marks::default() },
        customer: 11_200,
        person: &PEOPLE[0],
        placed: at,
        token: String::new(),
    };
    Order {
        key: format!("shopify/api/{}", named.id),
        form: Form::Given { form: named.form, body: named.body },
        moments: vec![Moment { phase: Phase::Paid, at, paid: Some(at) }],
        backwards: false,
        late: false,
        ending: Ending::Paid,
        closed: false,
        earning: vec![Earning { class: article.class, net: Cents::new(named.net).decimal() }],
        behind: Behind::Referrer(named.referrer.to_owned()),
        sale,
    }
}
