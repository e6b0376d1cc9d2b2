//! Where in a body a value stands.

use std::fmt;

use crate::stage::{RejectCode, Rejection};

/// Where in a body a value stands; prints as `line_items[2].price`, the whole body as `$`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// The whole body.
    pub(crate) const ROOT: Self = Self { parent: None, step: Step::Root };

    /// The field of that name.
    pub(crate) fn key(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Key(name) }
    }

    /// The element at that position.
    pub(crate) fn index(&'p self, at: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(at) }
    }

    fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below_root = match self.parent {
            Some(parent) if !parent.is_root() => {
                parent.write(f)?;
                false
            }
            Some(_) | None => true,
        };
        match self.step {
            Step::Root => f.write_str("$"),
            Step::Key(name) if below_root => f.write_str(name),
            Step::Key(name) => write!(f, ".{name}"),
            Step::Index(at) if below_root => write!(f, "$[{at}]"),
            Step::Index(at) => write!(f, "[{at}]"),
        }
    }

    /// A rejection of what stands here.
    pub(crate) fn reject(&self, code: RejectCode, message: impl Into<String>) -> Rejection {
        Rejection::new(code, self.to_string(), message)
    }

    /// The rejection of a field that is not there.
    pub(crate) fn missing(&self, expected: &str) -> Rejection {
        self.reject(RejectCode::Shape, format!("is missing or null, expected {expected}"))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}
