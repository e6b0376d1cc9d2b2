//! `upline skus`: what the shops sell, and what of it nobody has mapped to a commission class.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    config::Environment,
    store::postgres::{Postgres, Unmapped},
};

/// Arguments of `skus`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists SKUs and variants that have no commission class, with the orders that wait for them;
    /// `upline import skus` maps them, and what waits goes on by itself.
    Unmapped {
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        let Command::Unmapped { json } = arguments.command;
        let found = store.unmapped().await?;
        if json {
            for article in &found {
                output::line(&as_json(article));
            }
        } else {
            table(&found);
        }
        Ok(ExitCode::SUCCESS)
    })?
}

fn as_json(article: &Unmapped) -> String {
    let waiting = &article.waiting;
    serde_json::json!({
        "platform": article.platform, "store": article.store, "product": article.product,
        "variant": article.variant, "sku": article.sku, "title": article.title,
        "stock": article.stock, "orders": waiting.orders, "net": waiting.net,
        "since": waiting.since,
    })
    .to_string()
}

fn table(found: &[Unmapped]) {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|article| {
            let waiting = &article.waiting;
            let net = waiting.net.iter().map(|(currency, net)| format!("{net} {currency}"));
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                format!("{}/{}", article.platform, article.store),
                text(&article.sku),
                text(&article.variant),
                text(&article.title),
                article.stock.map(|stock| stock.normalize().to_string()).unwrap_or_default(),
                waiting.orders.to_string(),
                net.collect::<Vec<_>>().join(", "),
                waiting.since.map(|since| format!("{since:.0}")).unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["store", "sku", "variant", "title", "stock", "orders", "they come to", "since"];
    output::line(output::table(&head, &rows).trim_end());
    let orders: u64 = found.iter().map(|article| article.waiting.orders).sum();
    output::line(&format!("{} without a commission class, {orders} waits", found.len()));
}
