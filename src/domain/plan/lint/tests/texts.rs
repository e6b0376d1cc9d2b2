//! Texts that are no plan: what the schema says of them, and that each is answered.

use proptest::prelude::*;

use super::*;

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let fits = |text: &str| stated::fits(&toml::from_str(text).unwrap());
    for text in [PLAN, RANKED, WHOLE] {
        assert!(fits(text));
    }
    for (from, to) in [
        ("method = \"pro_rata\"", "method = \"by_turns\""),
        ("kind = \"pool\"", "kind = \"poll\""),
        ("nobody = \"breakage\"\n", ""),
        ("width = 2", "width = \"2\""),
        ("lot = \"none\", ", ""),
        ("version = 1", "version = \"one\""),
        ("id = \"gold\"\nactive = true", "id = \"gold\"\nactiv = true"),
    ] {
        let text = changed(from, to);
        assert!(Plan::parse(&text).is_err(), "{to}");
        assert!(!fits(&text), "{to}");
    }
}

/// A plan with a piece cut out, doubled, or replaced by another piece of a plan.
fn mutated() -> impl Strategy<Value = String> {
    let texts = [PLAN, RANKED, WHOLE, include_str!("../../../../../pipelines/plans/sample.toml")];
    let edit = (any::<u32>(), 0usize..60, any::<u32>(), 0usize..60);
    (0usize..texts.len(), prop::collection::vec(edit, 1..6)).prop_map(move |(which, edits)| {
        let mut lines: Vec<String> = texts[which].lines().map(str::to_owned).collect();
        for (from, length, other, cut) in edits {
            let line = usize::try_from(from).unwrap() % lines.len();
            let second = usize::try_from(other).unwrap() % lines.len();
            match cut % 5 {
                0 => drop(lines.remove(line)),
                1 => lines.insert(line, lines[second].clone()),
                2 => lines.swap(line, second),
                3 => {
                    let words = lines[line].char_indices().nth(length).map(|(at, _)| at);
                    lines[line].truncate(words.unwrap_or(usize::MAX));
                }
                _ => {
                    let (left, right) = (lines[line].clone(), lines[second].clone());
                    let value = right.split_once('=').map_or("", |(_, value)| value);
                    let key = left.split_once('=').map_or(left.as_str(), |(key, _)| key);
                    lines[line] = format!("{key}={value}");
                }
            }
            if lines.is_empty() {
                lines.push(String::new());
            }
        }
        lines.join("\n")
    })
}

proptest! {
    /// Whatever stands in a file, it is looked at: a plan, or at least one error and no other word.
    #[test]
    fn lint_answers_for_every_text(text in mutated()) {
        let report = lint(&text, Some(Rate::WHOLE));
        match Plan::parse(&text) {
            Ok(plan) => {
                prop_assert_eq!(report.plan, Some(plan.reference.clone()));
                prop_assert!(report.findings.iter().all(|f| f.rule != "unreadable"));
                let same = compare(&text, &text).unwrap();
                prop_assert!(same.changes.is_empty() && same.worst_change == "0 %");
                prop_assert!(plan.close().is_ok(), "a plan that is read has a close that holds");
                prop_assert_eq!(plan.close().unwrap().is_some(), plan.is_closed());
            }
            Err(_) => {
                prop_assert!(report.failed() && report.plan.is_none());
            }
        }
        let lines = text.lines().count().max(1);
        for finding in &report.findings {
            prop_assert!((1..=lines.saturating_add(1)).contains(&finding.line), "{:?}", finding);
            prop_assert!(!finding.message.is_empty());
        }
    }

    #[test]
    fn lint_answers_for_any_bytes(text in ".{0,200}") {
        let _report = lint(&text, None);
    }
}
