//! Flat columns and the numbers that lead into them.

use std::ops::Range;

/// The number that stands for nobody: the sponsor of the top, the source of a line without one.
pub const NOBODY: u32 = u32::MAX;

/// A number as an index.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An index as a number; populations are bounded so that it fits.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NOBODY)
}

/// What stands in a column, the default for nobody.
pub(super) fn at<T: Copy + Default>(column: &[T], number: u32) -> T {
    column.get(index(number)).copied().unwrap_or_default()
}

/// Writes into a column.
pub(super) fn set<T>(column: &mut [T], number: u32, value: T) {
    if let Some(slot) = column.get_mut(index(number)) {
        *slot = value;
    }
}

/// Changes what stands in a column.
pub(super) fn update<T>(column: &mut [T], number: u32, change: impl FnOnce(&mut T)) {
    if let Some(slot) = column.get_mut(index(number)) {
        change(slot);
    }
}

/// A part of a column.
pub(super) fn part<T>(column: &[T], range: Range<u32>) -> &[T] {
    column.get(index(range.start)..index(range.end)).unwrap_or_default()
}
