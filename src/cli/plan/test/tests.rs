//! The plan files of this project hold their cases, and each case can fail.

use std::{fs, ops::Range};

use super::*;

fn plans() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/plans");
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    assert!(found.len() >= 9, "{found:?}");
    found
}

#[test]
fn every_plan_of_the_project_does_what_its_cases_say() {
    for path in plans() {
        for source in sources(&path).unwrap() {
            let proof = prove(source, None);
            assert!(proof.outcomes.iter().all(Outcome::holds), "{}", text(&proof));
        }
    }
}

/// The texts in quotes that are numbers or rates, outside of comments and cases.
fn figures(text: &str) -> Vec<Range<usize>> {
    let rules = text.split("\n[[case]]").next().unwrap();
    let mut found = Vec::new();
    let mut start = 0;
    for line in rules.split_inclusive('\n') {
        let code = line.split('#').next().unwrap();
        let quotes: Vec<usize> = code.match_indices('"').map(|(at, _)| start + at).collect();
        found.extend(quotes.as_chunks::<2>().0.iter().map(|[open, close]| open + 1..*close));
        start += line.len();
    }
    let figure = |range: &Range<usize>| {
        let number = text[range.clone()].trim_end_matches(" %");
        !number.is_empty() && number.parse::<rust_decimal::Decimal>().is_ok()
    };
    found.retain(figure);
    found
}

/// The text with another figure in one place: a little more (of percents one of them), and twice as much.
fn changed(text: &str, at: &Range<usize>) -> [String; 2] {
    let figure = &text[at.clone()];
    let (number, unit) = figure.strip_suffix(" %").map_or((figure, ""), |n| (n, " %"));
    let number: rust_decimal::Decimal = number.parse().unwrap();
    [number + rust_decimal::Decimal::ONE, number + number]
        .map(|other| format!("{}{other}{unit}{}", &text[..at.start], &text[at.end..]))
}

/// The cases that do not hold under a text of their plan; `None` if that is no plan.
fn failing(text: &str, cases: &Cases) -> Option<BTreeSet<Box<str>>> {
    let plan = Plan::parse(text).ok()?;
    let outcomes = golden::run(&plan, cases, |_| true).into_iter();
    Some(outcomes.filter(|outcome| !outcome.holds()).map(|outcome| outcome.name).collect())
}

/// A plan with another rate fails at least one of its cases, whichever rate it is; and there is no case
/// that no change of a figure can fail.
#[test]
fn a_plan_with_another_rate_fails_and_every_case_can() {
    for path in plans() {
        for Source { path, cases, .. } in sources(&path).unwrap() {
            let of = fs::read_to_string(&path).unwrap();
            let (file, text) = if Cases::stand_beside(&of) {
                let (plan, _) = Cases::parse_beside(&of).unwrap();
                let file = path.with_file_name(&*plan);
                (file.clone(), fs::read_to_string(file).unwrap())
            } else {
                (path.clone(), of)
            };
            let mut failed = BTreeSet::new();
            for figure in figures(&text) {
                let [more, twice] = changed(&text, &figure).map(|text| failing(&text, &cases));
                let rate = text[figure.clone()].ends_with('%');
                let line = text[..figure.start].matches('\n').count() + 1;
                // A text that is no plan pays nobody either.
                assert!(
                    !rate || more.as_ref().is_none_or(|fail| !fail.is_empty()),
                    "{}:{line}: no case sees that {} is another",
                    file.display(),
                    &text[figure]
                );
                failed.extend([more, twice].into_iter().flatten().flatten());
            }
            let idle = cases.iter().map(|case| &case.get_ref().name).find(|n| !failed.contains(*n));
            assert_eq!(idle, None, "{}: no change of a figure fails this case", path.display());
        }
    }
}
