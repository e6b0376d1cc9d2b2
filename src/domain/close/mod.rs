//! What is paid when a period closes.

pub mod binary;
pub mod matrix;
