//! Real payloads, where a folder with them is at hand: every one is read, none panics, and the net
//! is the one that was worked out by hand.
//!
//! The folder is `UPLINE_CORPUS`, or `../shared/corpus` beside the project. Its files have licences
//! of their own and are not part of the project; without them this test says so and passes.

use std::path::{Path, PathBuf};

use proptest::{prelude::*, test_runner::TestRunner};

use super::{Parsed, testing::read};
use crate::{
    domain::{
        id::Platform,
        money::Money,
        order::{Fact, LineKind, OrderState},
    },
    stage::SkipReason,
};

fn folder() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where a test finds its data is no configuration"
    )]
    let named = std::env::var("UPLINE_CORPUS").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = named.unwrap_or(beside);
    if folder.join("INDEX.tsv").is_file() { Some(folder) } else { None }
}

/// The topic under which a file would have come, by its name.
fn topic(platform: Platform, name: &str) -> &'static str {
    let topics: &[(&str, &str)] = match platform {
        Platform::Shopify => &[
            ("webhook_orders_edited", "orders/edited"),
            ("webhook_draft_orders_delete", "draft_orders/delete"),
            ("webhook_draft_orders", "draft_orders/create"),
            ("draft_order", "draft_orders/update"),
            ("webhook_refunds", "refunds/create"),
            ("refund_", "refunds/create"),
            ("webhook_orders_delete", "orders/delete"),
            ("webhook_orders", "orders/create"),
            ("order_", "orders/updated"),
            ("product", "products/update"),
            ("webhook_products_delete", "products/delete"),
            ("customer", "customers/update"),
            ("webhook_customers", "customers/update"),
            ("webhook_products", "products/update"),
            ("inventory", "inventory_levels/update"),
            ("webhook_inventory_levels", "inventory_levels/update"),
            ("webhook_inventory_items_delete", "inventory_items/delete"),
            ("webhook_inventory", "inventory_items/update"),
            ("webhook_fulfillments", "fulfillments/create"),
            ("webhook_shop", "shop/update"),
            ("webhook_tender", "tender_transactions/create"),
        ],
        Platform::WooCommerce => &[
            ("order_deleted", "order.deleted"),
            ("order_", "order.updated"),
            ("refund_", "refund"),
            ("product", "product.updated"),
            ("coupon", "coupon.created"),
            ("customer", "customer.created"),
            ("webhook", "webhook.updated"),
        ],
        Platform::Magento | Platform::Api => &[
            ("aio_event_invoice", "observer.sales_order_invoice_save_after"),
            ("aio_event_product", "observer.catalog_product_save_after"),
            ("creditmemo", "sales.creditmemo.created"),
            ("event_creditmemo", "sales.creditmemo.created"),
            ("event_invoice", "sales.invoice.paid"),
            ("event_order", "sales.order.updated"),
            ("invoice", "sales.invoice.created"),
            ("order_", "sales.order.updated"),
            ("search_result", "order"),
        ],
    };
    topics
        .iter()
        .find(|(start, _)| name.starts_with(start))
        .unwrap_or_else(|| panic!("no topic for {name}: add it to the table"))
        .1
}

/// What a file comes to: net of orders before their status, net of refunds, net that earns.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    orders: Option<Money>,
    refunds: Option<Money>,
    loose: Money,
    effective: Money,
    foots: bool,
}

fn sums(parsed: &Parsed) -> Sums {
    let mut sums = Sums { foots: true, ..Sums::default() };
    let Parsed::Facts(events) = parsed else { return sums };
    for event in events {
        match &event.fact {
            Fact::Snapshot(snapshot) => {
                let earning =
                    snapshot.lines.iter().filter(|line| line.kind == LineKind::Merchandise);
                let net: Money = earning.map(|line| line.net).sum();
                sums.orders = Some(sums.orders.unwrap_or_default() + net);
                sums.foots &= snapshot.footing.holds();
                let state = OrderState::of(event.clone());
                sums.effective += state.effective().iter().map(|line| line.net).sum();
            }
            Fact::Refund(refund) => {
                let net: Money = refund.lines.iter().map(|line| line.net).sum();
                sums.refunds = Some(sums.refunds.unwrap_or_default() + net);
                sums.loose += refund.loose.iter().map(|loose| loose.gross).sum();
            }
            Fact::Chargeback(_)
            | Fact::Deleted
            | Fact::Restored
            | Fact::Decision(_)
            | Fact::Recheck => {}
        }
    }
    sums
}

/// The first amount in a cell of the index after a word.
fn amount_after(cell: &str, word: &str) -> Option<Money> {
    let (_, rest) = cell.split_once(word)?;
    let digits: String =
        rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Money::parse(digits.trim_end_matches('.')).ok()
}

fn each_file(mut check: impl FnMut(Platform, &str, &str, Vec<u8>)) {
    let Some(folder) = folder() else {
        #[expect(clippy::print_stderr, reason = "a skipped test has to be loud")]
        {
            eprintln!("SKIPPED: no corpus; set UPLINE_CORPUS to the folder that holds INDEX.tsv");
        }
        return;
    };
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    for row in index.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let file = cells[0];
        let Some((platform, name)) = file.split_once('/') else { continue };
        let platform = Platform::parse(platform).unwrap();
        let body = std::fs::read(folder.join(file)).unwrap();
        check(platform, name, cells.last().unwrap(), body);
    }
}

#[test]
fn every_payload_of_the_corpus_comes_to_its_net() {
    let mut table = Vec::new();
    let mut wrong = Vec::new();
    each_file(|platform, name, expected, body| {
        let topic = topic(platform, name);
        let parsed = match read(platform, topic, &body) {
            Ok(parsed) => parsed,
            Err(rejection) => return wrong.push(format!("{name}: {rejection}")),
        };
        let sums = sums(&parsed);
        let is_fact = matches!(parsed, Parsed::Facts(_));
        table.push(format!("{platform}/{name} [{topic}] {expected:?} -> {sums:?} fact={is_fact}"));
        let found = (sums.orders, sums.refunds);
        let fits = if let Some(base) = amount_after(expected, "(base USD") {
            found.0 == Some(base) || found.1 == Some(base)
        } else if let Some(refund) = amount_after(expected, "refund net of tax:")
            .or_else(|| amount_after(expected, "refund net"))
        {
            found.1 == Some(refund)
        } else if let Some(gross) = amount_after(expected, "refund amount") {
            sums.loose == gross && found.1 == Some(Money::ZERO)
        } else if name.contains("invoice") {
            // An invoice earns by its order, not by itself.
            parsed == Parsed::Skip(SkipReason::Notice)
        } else if let (Some(net), true) = (amount_after(expected, ""), is_fact) {
            found.0 == Some(net) || (expected.contains("draft") && sums.effective == net)
        } else {
            expected.is_empty() || parsed == Parsed::Skip(SkipReason::NotAnOrder)
        };
        let zero = !expected.contains("-> 0") || sums.effective.is_zero();
        if !fits || !zero {
            wrong.push(format!("{name}: expected {expected:?}, found {sums:?}"));
        }
    });
    assert!(wrong.is_empty(), "{}\n---\n{}", wrong.join("\n"), table.join("\n"));
}

#[test]
fn nothing_personal_of_a_payload_is_read() {
    each_file(|platform, name, _, body| {
        let told = format!("{:?}", read(platform, topic(platform, name), &body));
        for personal in ["example.com", "Sam", "Doe", "Beispiel", "Johnny", "Norman", "203.0.113"] {
            assert!(!told.contains(personal), "{name} tells {personal}");
        }
    });
}

#[test]
fn a_cut_payload_is_refused_and_never_panics() {
    each_file(|platform, name, _, body| {
        let topic = topic(platform, name);
        let step = (body.len() / 23).max(1);
        for end in (0..body.len().saturating_sub(1)).step_by(step) {
            let cut = read(platform, topic, &body[..end]);
            assert!(
                !matches!(cut, Ok(Parsed::Facts(_) | Parsed::Articles(_))),
                "{name} cut at {end}"
            );
        }
    });
}

#[test]
fn a_payload_with_a_changed_byte_never_panics() {
    each_file(|platform, name, _, body| {
        let topic = topic(platform, name);
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 24,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let change = (0..body.len(), prop::sample::select(b"0-9{}[]\",:.eEnN".to_vec()));
        runner
            .run(&change, |(at, byte)| {
                let mut body = body.clone();
                body[at] = byte;
                let _outcome = read(platform, topic, &body);
                Ok(())
            })
            .unwrap();
    });
}
