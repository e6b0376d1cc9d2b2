//! `upline import`: distributors, placement trees, SKU mappings, exchange rates and customers from CSV.
//!
//! The whole file is read and checked before anything is written; every row that cannot be used is
//! named with its line, its column and the fix, and the others are imported all the same; of placements, ranks
//! and carries all are, or none.

mod by;
mod carries;
mod placements;
mod ranks;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;

use self::by::{By, NOTHING, all_or_nothing};
use super::{block_on, output, services};
use crate::{
    clock::Clock,
    config::Environment,
    domain::{
        catalog::Scope,
        customer::{CustomerKey, CustomerLink, LinkKind},
        fx::ExchangeRate,
        genealogy::DistributorStatus,
        id::{CommissionClass, DistributorId, Platform, Sku, StoreId, TreeId},
        money::Currency,
        volume::Volume,
    },
    store::postgres::{
        Postgres,
        customers::CustomerRow,
        import::{DistributorRow, ImportRow, Imported, RateRow, Refused, SkuRow, import},
    },
};

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Columns: `distributor_id`, `sponsor_id`; optional: status, country, `created_at`,
    /// `changed_at`. An empty cell or an absent column keeps what is known; the sponsor `none` moves
    /// a distributor to the top.
    Distributors {
        /// The file, with a header row.
        file: PathBuf,
    },
    /// Columns: `position` (an id of your own), `distributor`; optional: `parent` (the position above),
    /// `side` (left or right; a number from 0 in a matrix), `placed_at`. In the order of the file, each
    /// below one that is placed. In a matrix a row without parent spills below its sponsor; in a binary
    /// only the first row has none. Nothing placed moves.
    Placements {
        /// The file, with a header row.
        file: PathBuf,
        /// The tree, as the plan names it; needed only where there are several.
        #[arg(long, value_name = "NAME")]
        tree: Option<String>,
        /// Only say what would be placed.
        #[arg(long)]
        dry_run: bool,
    },
    /// Ranks reached in an earlier system, before the first close of the plan. Columns: `distributor_id`,
    /// `rank` (or unranked), `as_of` (a period of the plan, whose end is meant, or an instant); optional: `plan`,
    /// `highest` (the highest rank ever; without it `rank`), `bonus_paid_to` (the highest rank whose bonus was
    /// paid, or none; without it `highest`).
    Ranks(ranks::Arguments),
    /// Volume that waits in the legs of a binary, before the first close of the plan. Columns: `position`,
    /// `left`, `right` (points).
    Carries(carries::Arguments),
    /// Columns: `sku_id`, `platform` (shopify, woocommerce, magento, api, any), `platform_sku`,
    /// `commission_class`; optional: name, category, `effective_from`, `cv_per_unit`,
    /// `qv_per_unit`.
    Skus {
        /// The file, with a header row.
        file: PathBuf,
    },
    /// Columns: `platform`, `store`, `customer_id` (as the platform has it), `distributor_id`, `kind`
    /// (lifetime: they referred the customer; own: they are the customer); optional:
    /// `effective_from`.
    Customers {
        /// The file, with a header row.
        file: PathBuf,
    },
    /// Columns: `base_currency`, `quote_currency`, `rate` (how many of the quote currency one of the
    /// base currency is), `effective_from`; optional: source.
    Rates {
        /// The file, with a header row.
        file: PathBuf,
    },
}

const BATCH: usize = 1_000;

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
    let mut written = "written";
    let imported = match &arguments.what {
        What::Distributors { file } => {
            let (rows, refused) = distributors(File::open(file).context(opening(file))?)?;
            block_on(write(&store, rows, refused))??
        }
        What::Placements { file, tree, dry_run } => {
            let tree = tree.as_deref().map(TreeId::parse).transpose().context("--tree")?;
            let (rows, refused) = placements::read(File::open(file).context(opening(file))?)?;
            let now = Clock::system().now();
            // A row that is missing would change where all that come after it go, for ever.
            let whole = refused.is_empty();
            let placed = placements::place(&store, &rows, tree.as_ref(), now, *dry_run || !whole);
            let mut imported = block_on(placed)??;
            imported.refused.extend(refused);
            imported.refused.sort_by_key(|refused| refused.row);
            written = match all_or_nothing(&imported, *dry_run) {
                NOTHING => "would be, but nothing is placed while a row is refused",
                other => other,
            };
            imported
        }
        What::Ranks(arguments) => {
            let imported = block_on(ranks::run(&store, arguments))??;
            written = all_or_nothing(&imported, arguments.dry_run());
            imported
        }
        What::Carries(arguments) => {
            let imported = block_on(carries::run(&store, arguments))??;
            written = all_or_nothing(&imported, arguments.dry_run());
            imported
        }
        What::Skus { file } => {
            let (rows, refused) = skus(File::open(file).context(opening(file))?)?;
            block_on(write(&store, rows, refused))??
        }
        What::Customers { file } => {
            let (rows, refused) = customers(File::open(file).context(opening(file))?)?;
            block_on(write(&store, rows, refused))??
        }
        What::Rates { file } => {
            let (rows, refused) = rates(File::open(file).context(opening(file))?)?;
            block_on(write(&store, rows, refused))??
        }
    };
    report(&imported, written, arguments.json);
    Ok(if imported.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn opening(file: &Path) -> String {
    format!("cannot open {}", file.display())
}

/// Writes rows in batches and shows how far it is.
pub(super) async fn write<R: ImportRow>(
    store: &Postgres,
    rows: Vec<R>,
    refused: Vec<Refused>,
) -> anyhow::Result<Imported> {
    let mut all = Imported { refused, ..Imported::default() };
    let mut progress = output::Progress::new();
    let total = u64::try_from(rows.len())?;
    let mut done = 0u64;
    for batch in rows.chunks(BATCH) {
        let part = import(store, batch)
            .await
            .map_err(|error| anyhow::anyhow!("{}; what was imported stays", error.chain()))?;
        all.written = all.written.saturating_add(part.written);
        all.unchanged = all.unchanged.saturating_add(part.unchanged);
        all.refused.extend(part.refused);
        done = done.saturating_add(u64::try_from(batch.len())?);
        progress.show("imported", done, total);
    }
    if total > 0 {
        progress.done();
    }
    all.refused.sort_by_key(|refused| refused.row);
    Ok(all)
}

fn report(imported: &Imported, written: &str, json: bool) {
    if json {
        let refused: Vec<_> = imported
            .refused
            .iter()
            .map(|r| serde_json::json!({ "line": r.row, "reason": r.reason }))
            .collect();
        output::line(
            &serde_json::json!({
                "written": imported.written, "unchanged": imported.unchanged, "refused": refused,
            })
            .to_string(),
        );
        return;
    }
    for refused in &imported.refused {
        output::error(&format!("line {}: {}", refused.row, refused.reason));
    }
    output::line(&format!(
        "{} {written}, {} unchanged, {} refused",
        imported.written,
        imported.unchanged,
        imported.refused.len()
    ));
}

/// One row with its columns by name.
struct Fields<'a> {
    columns: &'a HashMap<String, usize>,
    record: &'a csv::StringRecord,
}

impl<'a> Fields<'a> {
    fn get(&self, column: &str) -> Option<&'a str> {
        let text = self.record.get(*self.columns.get(column)?)?.trim();
        (!text.is_empty()).then_some(text)
    }

    fn need(&self, column: &str) -> Result<&'a str, String> {
        self.get(column).ok_or_else(|| format!("{column} is empty"))
    }

    fn parse<T>(
        &self,
        column: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.get(column)
            .map(|text| parse(text).ok_or_else(|| format!("{column} is {text:?}, not {wanted}")))
            .transpose()
    }

    fn time(&self, column: &str) -> Result<Option<Timestamp>, String> {
        let parse = |text: &str| {
            text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse::<Timestamp>().ok())
        };
        self.parse(column, "a time such as 2026-01-31 or 2026-01-31T12:00:00Z", parse)
    }

    fn volume(&self, column: &str) -> Result<Option<Decimal>, String> {
        let parse = |text: &str| Volume::parse(text).ok().filter(|volume| *volume >= Volume::ZERO);
        let wanted = "a number such as 12.50, not below 0, with at most 4 decimal places";
        Ok(self.parse(column, wanted, parse)?.map(Volume::as_decimal))
    }
}

/// Reads every record with its line number.
fn records<R>(
    source: impl std::io::Read,
    needed: &[&str],
    known: &[&str],
    mut row: impl FnMut(u64, &Fields<'_>) -> Result<R, String>,
) -> anyhow::Result<(Vec<R>, Vec<Refused>)> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
    let head = reader.headers().context("the file has no header row")?.clone();
    let name = |text: &str| text.trim().trim_start_matches('\u{feff}').to_ascii_lowercase();
    let columns: HashMap<String, usize> =
        head.iter().enumerate().map(|(at, text)| (name(text), at)).collect();
    if let Some(missing) = needed.iter().find(|column| !columns.contains_key(**column)) {
        anyhow::bail!("the column {missing} is missing; the file needs {}", needed.join(", "));
    }
    let mut stray = columns.keys().filter(|column| !known.contains(&column.as_str()));
    if let Some(stray) = stray.next() {
        anyhow::bail!("the column {stray} is unknown; there are {}", known.join(", "));
    }
    let mut rows = Vec::new();
    let mut refused = Vec::new();
    for record in reader.records() {
        let (line, result) = match &record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                (line, row(line, &Fields { columns: &columns, record }))
            }
            Err(error) => (error.position().map_or(0, csv::Position::line), Err(error.to_string())),
        };
        match result {
            Ok(read) => rows.push(read),
            Err(reason) => refused.push(Refused { row: line, reason }),
        }
    }
    Ok((rows, refused))
}

/// Reads distributors, in an order in which each sponsor comes before those enrolled by them.
pub(super) fn distributors(
    source: impl std::io::Read,
) -> anyhow::Result<(Vec<DistributorRow>, Vec<Refused>)> {
    let known = ["distributor_id", "sponsor_id", "status", "country", "created_at", "changed_at"];
    let mut seen = HashSet::new();
    let (rows, mut refused) =
        records(source, &["distributor_id", "sponsor_id"], &known, |row, fields| {
            let id = fields.need("distributor_id")?;
            DistributorId::parse(id).map_err(|error| error.to_string())?;
            let sponsor = fields.get("sponsor_id");
            if let Some(sponsor) = sponsor {
                DistributorId::parse(sponsor).map_err(|error| format!("sponsor_id: {error}"))?;
            }
            if sponsor == Some(id) {
                return Err(format!("{id} is their own sponsor"));
            }
            if !seen.insert(id.to_owned()) {
                return Err(format!("{id} is in the file twice"));
            }
            let status = fields.parse("status", "active, inactive or terminated", |text| {
                DistributorStatus::parse(text)
            })?;
            let country = fields.parse("country", "a code of two letters", |text| {
                let code = text.to_ascii_uppercase();
                let good = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
                good.then_some(code)
            })?;
            Ok(DistributorRow {
                row,
                id: id.to_owned(),
                sponsor: sponsor.map(str::to_owned),
                status: status.map(|status| status.as_str().to_owned()),
                country,
                created_at: fields.time("created_at")?,
                changed_at: fields.time("changed_at")?,
            })
        })?;
    let (rows, loops) = sponsors_first(rows);
    refused.extend(loops);
    Ok((rows, refused))
}

/// Sorts so that sponsors come first; who is in a loop of sponsors is refused.
fn sponsors_first(rows: Vec<DistributorRow>) -> (Vec<DistributorRow>, Vec<Refused>) {
    let in_file: HashSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut under: HashMap<String, Vec<DistributorRow>> = HashMap::new();
    let mut ready = Vec::new();
    for row in rows.into_iter().rev() {
        match &row.sponsor {
            Some(sponsor) if in_file.contains(sponsor) => {
                under.entry(sponsor.clone()).or_default().push(row);
            }
            Some(_) | None => ready.push(row),
        }
    }
    let mut sorted = Vec::new();
    while let Some(row) = ready.pop() {
        ready.extend(under.remove(&row.id).unwrap_or_default());
        sorted.push(row);
    }
    let mut loops: Vec<Refused> = under
        .into_values()
        .flatten()
        .map(|row| Refused {
            row: row.row,
            reason: format!("{} is in a loop of sponsors, or under one", row.id),
        })
        .collect();
    loops.sort_by_key(|refused| refused.row);
    (sorted, loops)
}

/// Reads SKU mappings.
pub(super) fn skus(source: impl std::io::Read) -> anyhow::Result<(Vec<SkuRow>, Vec<Refused>)> {
    let needed = ["sku_id", "platform", "platform_sku", "commission_class"];
    let optional = ["name", "category", "effective_from", "cv_per_unit", "qv_per_unit"];
    let known = [needed.as_slice(), optional.as_slice()].concat();
    records(source, &needed, &known, |row, fields| {
        let sku = |column: &str| {
            let text = fields.need(column)?;
            Sku::parse(text).map_err(|error| format!("{column}: {error}"))?;
            Ok::<_, String>(text.to_owned())
        };
        let platform = Scope::parse(fields.need("platform")?).map_err(|e| e.to_string())?;
        let class = CommissionClass::parse(fields.need("commission_class")?);
        Ok(SkuRow {
            row,
            sku_id: sku("sku_id")?,
            platform: platform.as_str().to_owned(),
            platform_sku: sku("platform_sku")?,
            name: fields.get("name").map(str::to_owned),
            category: fields.get("category").map(str::to_owned),
            class: class.map_err(|error| error.to_string())?.as_str().to_owned(),
            effective_from: fields.time("effective_from")?,
            cv: fields.volume("cv_per_unit")?,
            qv: fields.volume("qv_per_unit")?,
        })
    })
}

/// Reads the links of customers.
pub(super) fn customers(
    source: impl std::io::Read,
) -> anyhow::Result<(Vec<CustomerRow>, Vec<Refused>)> {
    let needed = ["platform", "store", "customer_id", "distributor_id", "kind"];
    let known = [needed.as_slice(), &["effective_from"]].concat();
    records(source, &needed, &known, |row, fields| {
        let platform = Platform::parse(fields.need("platform")?).map_err(|e| e.to_string())?;
        let store = StoreId::parse(fields.need("store")?).map_err(|e| e.to_string())?;
        let customer = fields.need("customer_id")?;
        let fits = customer.len() <= 64 && customer.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || customer.contains('@') {
            return Err("customer_id is not an id: up to 64 letters, digits or signs without \
                        blanks, never a name or a mail address"
                .to_owned());
        }
        let distributor = DistributorId::parse(fields.need("distributor_id")?);
        let distributor = distributor.map_err(|error| error.to_string())?;
        let kind = fields.parse("kind", "lifetime or own", LinkKind::parse)?;
        Ok(CustomerRow {
            row,
            customer: CustomerKey { platform, store, customer: customer.into() },
            link: CustomerLink {
                seq: 0,
                distributor,
                kind: kind.ok_or("kind is empty")?,
                source: "import".into(),
                order: None,
                effective_from: fields.time("effective_from")?.unwrap_or(Timestamp::UNIX_EPOCH),
            },
        })
    })
}

/// Reads exchange rates.
pub(super) fn rates(source: impl std::io::Read) -> anyhow::Result<(Vec<RateRow>, Vec<Refused>)> {
    let needed = ["base_currency", "quote_currency", "rate", "effective_from"];
    let known = [needed.as_slice(), &["source"]].concat();
    records(source, &needed, &known, |row, fields| {
        let currency = |column: &str| {
            let code = Currency::parse(fields.need(column)?);
            code.map_err(|error| format!("{column}: {error}")).map(|code| code.to_string())
        };
        let (base, quote) = (currency("base_currency")?, currency("quote_currency")?);
        if base == quote {
            return Err(format!("{base} into itself needs no rate"));
        }
        let rate = ExchangeRate::parse(fields.need("rate")?).map_err(|error| error.to_string())?;
        fields.need("effective_from")?;
        let effective_from = fields.time("effective_from")?.unwrap_or_default();
        let source = fields.get("source").map(str::to_owned);
        Ok(RateRow { row, base, quote, rate: rate.as_decimal(), effective_from, source })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sponsors_come_first_and_bad_rows_are_named() {
        let file = "distributor_id,sponsor_id,status,country\n\
                    c,b,active,us\nb,a,,DE\na,,inactive,\n\
                    x,y,,\ny,x,,\nz,z,,\na,,,\n,a,,\nq,,sleeping,\n";
        let (rows, refused) = distributors(file.as_bytes()).unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(rows[2].country.as_deref(), Some("US"));
        let mut lines: Vec<u64> = refused.iter().map(|r| r.row).collect();
        lines.sort_unstable();
        assert_eq!(lines, [5, 6, 7, 8, 9, 10]);
        assert!(refused.iter().any(|r| r.reason.contains("sleeping")));
    }

    #[test]
    fn a_missing_or_unknown_column_is_named() {
        let error = skus("sku_id,platform\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("platform_sku"), "{error}");
        let error = distributors("distributor_id,sponsor_id,rank\n".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("rank"), "{error}");
    }

    #[test]
    fn a_rate_row_is_read_and_a_bad_one_named() {
        let file = "base_currency,quote_currency,rate,effective_from,source\n\
                    eur,USD,1.0842,2026-01-31,ECB\n\
                    EUR,EUR,1,2026-01-31,\nEUR,USD,0,2026-01-31,\nEUR,USD,1.1,,\n\
                    EURO,USD,1.1,2026-01-31,\n";
        let (rows, refused) = rates(file.as_bytes()).unwrap();
        assert_eq!((rows[0].base.as_str(), rows[0].rate), ("EUR", Decimal::new(10_842, 4)));
        assert_eq!(rows[0].source.as_deref(), Some("ECB"));
        let lines: Vec<u64> = refused.iter().map(|r| r.row).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        assert!(refused[2].reason.contains("effective_from"), "{refused:?}");
    }

    #[test]
    fn a_sku_row_is_read() {
        let file = "sku_id,platform,platform_sku,name,commission_class,effective_from,cv_per_unit\n\
                    SUPP001,any,SUPP001,\"Green, powder\",supplement,2026-01-31,12.5\n\
                    X,amazon,X,,a,,\n";
        let (rows, refused) = skus(file.as_bytes()).unwrap();
        assert_eq!(rows[0].name.as_deref(), Some("Green, powder"));
        assert_eq!(rows[0].effective_from, "2026-01-31T00:00:00Z".parse().ok());
        assert!(refused[0].reason.contains("amazon"));
    }
}
