//! The reasons for which there is no money, as words.

use crate::domain::close::Unpaid;

/// A reason as words in a table.
pub(super) fn word(reason: Unpaid) -> String {
    reason.as_str().replace('_', " ")
}

/// A reason as the end of a sentence.
pub(super) fn because(reason: Unpaid) -> &'static str {
    match reason {
        Unpaid::NotActive => "they were not active",
        Unpaid::RankTooLow => "their rank has no part in it",
        Unpaid::LevelLocked => "too few active legs open the level",
        Unpaid::LowerRate => "their rank has 0 % where others have more",
        Unpaid::EndOfUpline => "nobody above could have it",
        Unpaid::NoVolume => "there was no volume to be paid on, or too little for a cent",
        Unpaid::BelowFirstBracket => "the group does not reach the first bracket",
        Unpaid::OwedToFrontline => "all of the gross is owed to the groups below",
        Unpaid::OwnGroupTooSmall => "the own group is too small to receive it",
        Unpaid::NoLegBrokeAway => "no leg has broken away",
        Unpaid::PassedUp => "it went up as the guaranteed amount of the sponsor",
        Unpaid::NothingBelow => "nobody in reach below earned anything",
        Unpaid::AlreadyPaid => "it was paid before",
        Unpaid::NobodyQualified => "nobody has a rank that shares in it",
        Unpaid::Capped => "a cap took all of it",
        Unpaid::NothingGiven => "nothing of it was earned",
        Unpaid::NoneEnrolledLeft => "the left leg holds no active distributor whom they enrolled",
        Unpaid::NoneEnrolledRight => "the right leg holds no active distributor whom they enrolled",
    }
}
