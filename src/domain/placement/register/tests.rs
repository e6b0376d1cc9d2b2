use super::*;
use crate::domain::placement::Spill;

const BINARY: Shape = Shape::Binary;
const MATRIX: Shape = Shape::Matrix { width: 2, height: 3, spill: Spill::BreadthFirst };

/// `position distributor parent side sponsor time`, `-` for what is not said.
fn wish(row: &str) -> Wish {
    let said: Vec<Option<&str>> =
        row.split(' ').map(|word| Some(word).filter(|w| *w != "-")).collect();
    let number = |text: &str| Owner(text.parse().unwrap());
    Wish {
        name: PositionId::parse(said[0].unwrap()).unwrap(),
        distributor: DistributorId::parse(said[1].unwrap()).unwrap(),
        owner: number(said[1].unwrap()),
        parent: said[2].map(|parent| PositionId::parse(parent).unwrap()),
        side: said[3].map(|side| side.parse().unwrap()),
        sponsor: said[4].map(number),
        placed_at: said[5].map(|second| Timestamp::from_second(second.parse().unwrap()).unwrap()),
    }
}

/// Where the rows ended up: the parent's number and the place, or what is wrong.
fn entered(shape: Shape, rows: &[&str]) -> Vec<String> {
    let mut register = Register::new(shape).unwrap();
    let mut told = Vec::new();
    for row in rows {
        told.push(match register.enter(&wish(row)) {
            Ok(Entered::Placed(Spot { below: Some((parent, side)), .. })) => {
                format!("{parent}/{side}")
            }
            Ok(Entered::Placed(_)) => "top".to_owned(),
            Ok(Entered::Unchanged) => "unchanged".to_owned(),
            Err(error) => error.to_string(),
        });
    }
    told
}

#[test]
fn a_binary_says_who_sits_where() {
    let rows = [
        "a 1 x 0 - -",
        "a 1 - - - -",
        "b 2 a 0 - -",
        "c 3 a 1 - -",
        "d 4 b 1 - -",
        "e 5 - - 1 -",
        "e 5 a - - -",
        "e 5 a 1 - -",
        "e 5 x 1 - -",
        "e 5 - 1 - -",
    ];
    let told = entered(BINARY, &rows);
    assert!(told[0].contains("parent x is not placed: the first"), "{}", told[0]);
    assert_eq!(told[1..5], ["top", "0/0", "0/1", "1/1"]);
    for (told, says) in told[5..].iter().zip([
        "parent is empty",
        "side is empty: write left or right",
        "side right below parent a is taken",
        "parent x is not placed: place it",
        "side 1 is of no parent",
    ]) {
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn who_names_no_place_in_a_matrix_spills_below_the_first_position_of_the_sponsor() {
    let rows = [
        "a 1 - - - -",
        "b 2 - - 1 -",
        "c 3 - - 1 -",
        // Under a both places are taken: the nearest free one is below b.
        "d 4 - - 1 -",
        // A second position of 2, below the sponsor too.
        "b2 2 - - 1 -",
        // The first position of 2 counts.
        "e 5 - - 2 -",
        "f 6 c 0 - -",
        "g 7 c - - -",
        "h 8 c - - -",
        "h 8 e 1 - -",
        "h 8 c 0 - -",
        "h 8 - - 9 -",
        "h 8 - - - -",
    ];
    let told = entered(MATRIX, &rows);
    assert_eq!(told[..8], ["top", "0/0", "0/1", "1/0", "1/1", "3/0", "2/0", "2/1"]);
    for (told, says) in told[8..].iter().zip([
        "parent c has 2 below already",
        "side 1 below parent e cannot be filled before 0",
        "side 0 below parent c is taken",
        "the sponsor of distributor 8 has no position",
        "distributor 8 has no sponsor",
    ]) {
        assert!(told.contains(says), "{told}");
    }
    let told = entered(MATRIX, &["a 1 - - - -", "b 2 a 1 - -"]);
    assert!(told[1].contains("cannot be filled before 0"), "{}", told[1]);
}

#[test]
fn the_same_row_again_changes_nothing_and_another_place_is_refused() {
    let rows = ["a 1 - - - -", "b 2 a 1 - -", "a 1 - - - -", "b 2 a 1 - -", "b 2 a - - -"];
    assert_eq!(entered(BINARY, &rows)[2..], ["unchanged"; 3]);
    let rows = ["a 1 - - - -", "b 2 a 1 - -", "b 2 a 0 - -", "b 3 a 1 - -", "a 1 b 0 - -"];
    let told = entered(BINARY, &rows);
    assert!(told[2].contains("b is placed already, at side right below a"), "{}", told[2]);
    assert!(told[3].contains("of another distributor"), "{}", told[3]);
    assert!(told[4].contains("at the top"), "{}", told[4]);
    let rows = ["a 1 - - - -", "b 2 - - 1 -", "b 2 - - 1 -", "b 2 a 0 - -", "b 2 a 1 - -"];
    let told = entered(MATRIX, &rows);
    assert_eq!(told[2..4], ["unchanged", "unchanged"]);
    assert!(told[4].contains("at side 0 below a"), "{}", told[4]);
}

#[test]
fn time_does_not_run_backwards() {
    let rows = ["a 1 - - - 5", "b 2 a 0 - -", "c 3 a 1 - 4", "c 3 a 1 - 5", "d 4 c 0 - 9"];
    let mut register = Register::new(BINARY).unwrap();
    let mut times = Vec::new();
    for row in rows {
        match register.enter(&wish(row)) {
            Ok(Entered::Placed(spot)) => times.push(spot.placed_at.as_second()),
            other => {
                let told = other.unwrap_err().to_string();
                assert!(told.contains("placed_at is 1970-01-01T00:00:04Z, before"), "{told}");
            }
        }
    }
    assert_eq!(times, [5, 5, 5, 9]);
    assert_eq!(register.len(), 4);
}
