//! Files that are imported as a whole, and who brings along what an earlier system left behind.

use anyhow::Context;
use clap::Args;

use crate::{
    domain::id::{Operator, Reason},
    store::postgres::{Postgres, import::Imported},
};

/// Who brings along what an earlier system left behind.
#[derive(Debug, Args)]
pub(super) struct By {
    /// Who: an account or a number of your staff, it stays in the books for ever.
    #[arg(long = "by", value_name = "WHO")]
    who: String,
    /// Where it comes from, in a line; without personal data.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Only say what would be written.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl By {
    pub(super) fn read(&self) -> anyhow::Result<(Operator, Reason)> {
        let by = Operator::parse(&self.who).context("--by")?;
        Ok((by, Reason::parse(&self.why).context("--why")?))
    }

    /// What is brought along comes before the first close: later it would change what is closed.
    pub(super) async fn before_the_first_close(
        store: &Postgres,
        plan: &str,
        instead: &str,
    ) -> anyhow::Result<()> {
        if let Some(last) = store.last_close(plan).await? {
            anyhow::bail!(
                "period {} of plan {plan} is closed: what an earlier system left behind comes before the \
                 first close. What is missing now is a matter of {instead}",
                last.basis.period.id
            );
        }
        Ok(())
    }
}

/// Nothing is written while a row is refused.
pub(super) const NOTHING: &str = "would be, but nothing is written while a row is refused";

/// What became of the rows of a file that is imported as a whole.
pub(super) fn all_or_nothing(imported: &Imported, dry_run: bool) -> &'static str {
    match (dry_run, imported.refused.is_empty()) {
        (true, _) => "would be written",
        (false, true) => "written",
        (false, false) => NOTHING,
    }
}
