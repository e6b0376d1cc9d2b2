//! The plot: processor time of an order by program as bars, latency over the rate as lines.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{process::Program, report::Point};

const WIDTH: f64 = 860.0;
const BAR: f64 = 22.0;
const LEFT: f64 = 190.0;
const COLOURS: [(Program, &str); 5] = [
    (Program::Upline, "#2b6cb0"),
    (Program::Nats, "#38a169"),
    (Program::Postgres, "#d69e2e"),
    (Program::ClickHouse, "#e53e3e"),
    (Program::Generator, "#a0aec0"),
];

/// Both parts in one picture.
pub(crate) fn svg(cpu: &[(String, BTreeMap<Program, f64>)], curve: &[Point]) -> String {
    let mut body = String::new();
    let bottom = bars(&mut body, cpu);
    let height = if curve.is_empty() { bottom } else { lines(&mut body, curve, bottom + 30.0) };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn text(to: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(to, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>").ok();
}

fn rectangle(to: &mut String, x: f64, y: f64, width: f64, colour: &str) {
    writeln!(
        to,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>"
    )
    .ok();
}

/// Returns where they end.
fn bars(to: &mut String, cpu: &[(String, BTreeMap<Program, f64>)]) -> f64 {
    text(to, 10.0, 20.0, "start", "Processor time of an order, microseconds");
    let mut x = LEFT;
    for (program, colour) in COLOURS {
        rectangle(to, x, 30.0, 14.0, colour);
        text(to, x + 20.0, 42.0, "start", program.name());
        x += 110.0;
    }
    let widest = cpu.iter().map(|(_, map)| map.values().sum()).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 70.0) / widest;
    let mut y = 60.0;
    for (label, map) in cpu {
        text(to, LEFT - 8.0, y + 12.0, "end", label);
        let mut x = LEFT;
        for (program, colour) in COLOURS {
            let width = map.get(&program).copied().unwrap_or_default() * scale;
            rectangle(to, x, y, width, colour);
            x += width;
        }
        text(to, x + 6.0, y + 12.0, "start", &format!("{:.0}", map.values().sum::<f64>()));
        y += BAR;
    }
    y
}

/// Latency on a logarithmic scale. Returns where the chart ends.
fn lines(to: &mut String, curve: &[Point], top: f64) -> f64 {
    text(to, 10.0, top, "start", "Latency over the rate, milliseconds, open loop");
    let (high, low) = (top + 20.0, top + 300.0);
    let fastest = curve.iter().map(|point| point.rate).fold(1.0, f64::max);
    let slowest = curve.iter().map(|point| point.emit.1.max(point.webhook.1)).fold(10.0, f64::max);
    let decades = slowest.log10().ceil().max(1.0) + 1.0;
    let x = |rate: f64| 60.0 + rate / fastest * (WIDTH - 220.0);
    let y = |ms: f64| low - (ms.max(0.1).log10() + 1.0) / decades * (low - high);
    let mut tick = 0.1;
    while tick <= slowest * 10.0 && y(tick) >= high - 1.0 {
        let at = y(tick);
        writeln!(
            to,
            "<line x1=\"60\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e2e8f0\"/>",
            WIDTH - 160.0
        )
        .ok();
        text(to, 54.0, at + 4.0, "end", &format!("{tick}"));
        tick *= 10.0;
    }
    for point in curve {
        text(to, x(point.rate), low + 18.0, "middle", &format!("{:.0}/s", point.rate));
    }
    let mut line = |name: &str, colour: &str, pick: &dyn Fn(&Point) -> f64| {
        let mut path = String::new();
        for point in curve {
            write!(path, "{:.1},{:.1} ", x(point.rate), y(pick(point))).ok();
        }
        writeln!(
            to,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        )
        .ok();
        if let Some(last) = curve.last() {
            text(to, x(last.rate) + 6.0, y(pick(last)) + 4.0, "start", name);
        }
    };
    line("webhook p50", "#90cdf4", &|point| point.webhook.0);
    line("webhook p99", "#2b6cb0", &|point| point.webhook.1);
    line("ledger p50", "#fbd38d", &|point| point.emit.0);
    line("ledger p99", "#dd6b20", &|point| point.emit.1);
    low + 40.0
}
