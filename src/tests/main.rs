//! The integration tests: over memory with scripted faults, and over the real servers of the local
//! stack.

mod simulation;
mod tidy;
