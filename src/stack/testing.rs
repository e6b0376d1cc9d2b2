//! What the tests of this module share.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A folder that is removed with its value.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// `name` is unique among the tests of this module.
    pub(super) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("upline-stack-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays behind must not hide why a test failed.
        drop(fs::remove_dir_all(&self.0));
    }
}
