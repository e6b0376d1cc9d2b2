//! A list of blocks that is cheap to copy: two levels of shared pointers, and whoever changes a
//! block of a copy copies that block and the pointers on the way to it.

use std::sync::Arc;

/// Blocks under one branch. With blocks of a thousand distributors, ten million are 80 branches: a
/// copy counts up 80 references, a change of one block 128 more.
const FAN: usize = 128;

/// The blocks, by their number from 0 on.
#[derive(Debug)]
pub(in crate::domain) struct Spine<T> {
    branches: Vec<Arc<[Arc<T>]>>,
    len: usize,
}

impl<T> Default for Spine<T> {
    fn default() -> Self {
        Self { branches: Vec::new(), len: 0 }
    }
}

impl<T> Clone for Spine<T> {
    fn clone(&self) -> Self {
        Self { branches: self.branches.clone(), len: self.len }
    }
}

impl<T: Clone> Spine<T> {
    /// How many blocks there are.
    pub(in crate::domain) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::domain) fn get(&self, block: usize) -> Option<&T> {
        Some(self.branches.get(block / FAN)?.get(block % FAN)?)
    }

    /// The block, for a change that no copy of the list sees.
    pub(in crate::domain) fn get_mut(&mut self, block: usize) -> Option<&mut T> {
        let branch = Arc::make_mut(self.branches.get_mut(block / FAN)?);
        Some(Arc::make_mut(branch.get_mut(block % FAN)?))
    }

    /// Adds a block at the end.
    pub(in crate::domain) fn push(&mut self, block: T) {
        let block = Arc::new(block);
        match self.branches.last_mut() {
            Some(branch) if branch.len() < FAN => {
                *branch = branch.iter().cloned().chain([block]).collect();
            }
            Some(_) | None => self.branches.push(Arc::from([block])),
        }
        self.len = self.len.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_no_copy_and_shares_what_it_does_not_touch() {
        let mut list = Spine::default();
        for number in 0..=FAN * 2 {
            list.push(number);
        }
        let copy = list.clone();
        *list.get_mut(FAN).unwrap() = 7;
        assert_eq!((list.get(FAN), copy.get(FAN)), (Some(&7), Some(&FAN)));
        assert_eq!((list.get(FAN * 2 + 1), list.len()), (None, FAN * 2 + 1));
        let shared = |block| std::ptr::eq(list.get(block).unwrap(), copy.get(block).unwrap());
        assert_eq!((0..list.len()).filter(|block| !shared(*block)).collect::<Vec<_>>(), [FAN]);
    }
}
