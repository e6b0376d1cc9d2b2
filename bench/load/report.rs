//! What was measured, as a table, a page, a plot and JSON.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use crate::{audit::Audit, plot, process::Program, run::Run};

/// How the names of runs at a share of saturation end.
pub(crate) const OF_SATURATION: &str = " % of saturation";

/// What a figure is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At least so much.
    AtLeast {
        /// Is good.
        good: f64,
        /// Is great.
        great: f64,
    },
    /// At most so much.
    AtMost {
        /// Is good.
        good: f64,
        /// Is great.
        great: f64,
    },
    /// Nothing: for information.
    None,
}

impl Goal {
    fn judge(self, value: f64) -> &'static str {
        let (good, great) = match self {
            Self::AtLeast { good, great } => (value >= good, value >= great),
            Self::AtMost { good, great } => (value <= good, value <= great),
            Self::None => return "",
        };
        match (great, good) {
            (true, _) => "great",
            (false, true) => "good",
            (false, false) => "miss",
        }
    }
}

/// One line of the table. With a limit the ratio is judged, without one the figure.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The number of the goal; empty for what is for information.
    pub(crate) number: &'static str,
    /// What it is.
    pub(crate) what: String,
    /// The figure.
    pub(crate) measured: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is compared with: the figure and its name.
    pub(crate) limit: Option<(f64, &'static str)>,
    /// The ratio, if it is not figure by limit: the median of pairs.
    pub(crate) ratio: Option<f64>,
    /// What is wanted.
    pub(crate) goal: Goal,
}

impl Line {
    /// A figure for itself.
    pub(crate) fn figure(
        number: &'static str,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        goal: Goal,
    ) -> Self {
        Self { number, what: what.into(), measured, unit, limit: None, ratio: None, goal }
    }

    /// With what it is compared.
    pub(crate) fn against(self, limit: f64, name: &'static str, ratio: f64) -> Self {
        Self { limit: Some((limit, name)), ratio: Some(ratio), ..self }
    }

    fn verdict(&self) -> &'static str {
        self.goal.judge(self.ratio.unwrap_or(self.measured))
    }

    fn cells(&self) -> [String; 6] {
        let limit = self.limit.map_or_else(String::new, |(limit, name)| {
            format!("{} ({name})", figure(limit, self.unit))
        });
        [
            self.number.to_owned(),
            self.what.clone(),
            figure(self.measured, self.unit),
            limit,
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.verdict().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "number": self.number, "what": self.what, "measured": self.measured,
            "unit": self.unit, "limit": self.limit.map(|(limit, _)| limit),
            "limit_name": self.limit.map(|(_, name)| name), "ratio": self.ratio,
            "verdict": self.verdict(),
        })
    }
}

/// A point of the latency curve: all in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Webhooks a second.
    pub(crate) rate: f64,
    /// Webhook answers.
    pub(crate) webhook: (f64, f64),
    /// Edge receipt to ledger commit.
    pub(crate) emit: (f64, f64),
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// Processor time of an order by program in microseconds, for each kind of run.
    pub(crate) cpu: Vec<(String, BTreeMap<Program, f64>)>,
    /// Memory by program in bytes.
    pub(crate) memory: Vec<(String, BTreeMap<Program, u64>)>,
    /// Latency over the rate.
    pub(crate) curve: Vec<Point>,
    notes: Vec<String>,
    /// All books together.
    pub(crate) audit: Audit,
}

impl Report {
    /// A line of the table; it is shown at once.
    pub(crate) fn line(&mut self, line: Line) {
        let [number, what, measured, limit, ratio, verdict] = line.cells();
        println!("{number:<4} {what:<58} {measured:>16} {limit:<34} {ratio:>6} {verdict}");
        self.lines.push(line);
    }

    /// A remark.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("     {text}");
        self.notes.push(text);
    }

    /// The books, processor time and memory of a run.
    pub(crate) fn run(&mut self, label: &str, run: &Run) {
        self.audit.add(run.audit);
        if !run.audit.clean() {
            self.note(format!("WRONG BOOKS in {label}: {}", run.audit));
        }
        if !run.exact {
            self.note(format!(
                "{label}: ClickHouse has not every order, so the ledger's latency is until its time \
                 stamp, which is before its transaction"
            ));
        }
        self.cpu.push((label.to_owned(), run.cpu_us()));
        self.memory.push((label.to_owned(), run.memory.clone()));
    }

    /// Prints the whole table and what belongs to it.
    pub(crate) fn print(&self) {
        println!("\n{}", self.table(false));
        println!("{}", self.cpu_table());
        println!("the books: {}", self.audit);
    }

    /// Writes the page, the plot and the JSON.
    pub(crate) fn write(&self, folder: &Path, about: &str) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let notes: Vec<String> = self.notes.iter().map(|note| format!("- {note}")).collect();
        let notes = notes.join("\n");
        let page = format!(
            "# Results of `cargo bench --bench load`\n\n{about}\n\n{}\n\
             ![Processor time of an order and latency over the rate](latest.svg)\n\n\
             ## Processor time of an order in microseconds\n\n{}\n\
             ## Memory in MiB at the end of the load\n\n{}\n\
             ## Remarks\n\n{notes}\n\n\
             Books of all runs: {}.\n",
            self.table(true),
            self.cpu_table(),
            self.memory_table(),
            self.audit
        );
        fs::write(folder.join("latest.md"), page)?;
        // At a low rate an order bears the cost of idling, which would dwarf the rest.
        let mut cpu = middle(&self.cpu, |value| *value);
        cpu.retain(|(label, _)| !label.ends_with(OF_SATURATION));
        fs::write(folder.join("latest.svg"), plot::svg(&cpu, &self.curve))?;
        fs::write(folder.join("latest.json"), serde_json::to_string_pretty(&self.json(about))?)?;
        Ok(())
    }

    fn table(&self, judged_only_first: bool) -> String {
        let mut text =
            "| # | what | measured | limit | ratio | |\n|---|---|---|---|---|---|\n".to_owned();
        let judged = self.lines.iter().filter(|line| !line.number.is_empty());
        let others = self.lines.iter().filter(|line| line.number.is_empty());
        let in_order = self.lines.iter();
        let lines: Vec<&Line> =
            if judged_only_first { judged.chain(others).collect() } else { in_order.collect() };
        for line in lines {
            writeln!(text, "| {} |", line.cells().join(" | ")).ok();
        }
        text
    }

    fn cpu_table(&self) -> String {
        by_program(&self.cpu, |value| *value, |value| format!("{value:.0}"))
    }

    fn memory_table(&self) -> String {
        let mib = |bytes: &u64| *bytes as f64 / 1_048_576.0;
        by_program(&self.memory, mib, |value| format!("{value:.0}"))
    }

    fn json(&self, about: &str) -> Value {
        let by_name = |map: &BTreeMap<Program, f64>| -> Value {
            map.iter().map(|(program, value)| (program.name().to_owned(), json!(value))).collect()
        };
        json!({
            "about": about,
            "lines": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
            "cpu_us_per_order": middle(&self.cpu, |value| *value).iter()
                .map(|(label, map)| json!({ "run": label, "programs": by_name(map) }))
                .collect::<Vec<_>>(),
            "latency_ms": self.curve.iter()
                .map(|point| json!({
                    "rate": point.rate, "webhook_p50": point.webhook.0,
                    "webhook_p99": point.webhook.1, "emit_p50": point.emit.0,
                    "emit_p99": point.emit.1,
                }))
                .collect::<Vec<_>>(),
            "notes": self.notes,
            "books": {
                "orders": self.audit.accepted, "rows": self.audit.rows, "wrong": self.audit.wrong,
                "doubled": self.audit.doubled, "lost": self.audit.lost,
            },
        })
    }
}

/// Runs of one name as one, with the middle of their figures.
fn middle<T>(
    runs: &[(String, BTreeMap<Program, T>)],
    value: impl Fn(&T) -> f64,
) -> Vec<(String, BTreeMap<Program, f64>)> {
    let mut groups: Vec<(String, BTreeMap<Program, Vec<f64>>)> = Vec::new();
    for (label, map) in runs {
        let at = groups.iter().position(|(known, _)| known == label).unwrap_or(groups.len());
        if at == groups.len() {
            groups.push((label.clone(), BTreeMap::new()));
        }
        for (program, figure) in map {
            if let Some((_, group)) = groups.get_mut(at) {
                group.entry(*program).or_default().push(value(figure));
            }
        }
    }
    let medians = |group: BTreeMap<Program, Vec<f64>>| {
        group.into_iter().map(|(program, figures)| (program, median(figures))).collect()
    };
    groups.into_iter().map(|(label, group)| (label, medians(group))).collect()
}

fn by_program<T>(
    runs: &[(String, BTreeMap<Program, T>)],
    value: impl Fn(&T) -> f64,
    show: impl Fn(f64) -> String,
) -> String {
    let columns = [
        Program::Upline,
        Program::Nats,
        Program::Postgres,
        Program::ClickHouse,
        Program::Generator,
    ];
    let mut text = "| run |".to_owned();
    let runs = &middle(runs, value);
    for column in columns {
        write!(text, " {} |", column.name()).ok();
    }
    text.push_str(" system |\n|---|---|---|---|---|---|---|\n");
    for (label, map) in runs {
        let of = |program: Program| map.get(&program).copied().unwrap_or_default();
        let system: f64 =
            columns.iter().filter(|p| **p != Program::Generator).map(|p| of(*p)).sum();
        let cells: Vec<String> =
            columns.iter().map(|p| of(*p)).chain([system]).map(&show).collect();
        writeln!(text, "| {label} | {} |", cells.join(" | ")).ok();
    }
    text
}

/// A figure with its unit; what has none is a count.
fn figure(value: f64, unit: &str) -> String {
    if unit.is_empty() { format!("{value:.0}") } else { format!("{} {unit}", number(value)) }
}

/// A figure with as many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{value:.0}");
            let (sign, digits) =
                digits.strip_prefix('-').map_or(("", digits.as_str()), |d| ("-", d));
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            format!("{sign}{grouped}")
        }
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
