//! What is paid when a period closes.
