//! The name that was surely meant.

/// The most letters that may be wrong.
const MAX_WRONG: usize = 2;

/// The longest name that is compared.
const MAX_LENGTH: usize = 64;

/// The known name that is nearest to one that nobody knows, if one is near: by the letters to change, to
/// add and to drop, of which at most a third may be wrong.
pub(super) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = MAX_WRONG.min(found.chars().count().div_ceil(3));
    let near = known.into_iter().map(|name| (distance(found, name), name));
    near.filter(|(wrong, _)| *wrong <= limit).min_by_key(|(wrong, _)| *wrong).map(|(_, name)| name)
}

/// How many letters lie between two words (Levenshtein), in any case; those that are too long are far.
fn distance(one: &str, other: &str) -> usize {
    if one.len() > MAX_LENGTH || other.len() > MAX_LENGTH {
        return usize::MAX;
    }
    let letters = |word: &str| word.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for ((above, diagonal), second) in row.iter().skip(1).zip(&row).zip(&other) {
            let change = diagonal.saturating_add(usize::from(letter != second));
            left = change.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_finds_none() {
        let ranks = ["silver", "gold", "platinum"];
        for (found, meant) in [
            ("gould", Some("gold")),
            ("Gold", Some("gold")),
            ("platnium", Some("platinum")),
            ("silvr", Some("silver")),
            ("diamond", None),
            ("x", None),
        ] {
            assert_eq!(nearest(found, ranks), meant, "{found}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
