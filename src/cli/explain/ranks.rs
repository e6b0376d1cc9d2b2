//! Where the ranks that an order was computed with come from.

use crate::{
    cli::{
        output,
        rank::{origin, says},
    },
    domain::{
        commission::{RankRecord, Run, standings},
        id::DistributorId,
    },
    store::postgres::Postgres,
    stream::ServiceError,
};

/// A table of the facts that are in force for those whom the calculation met; nothing for an order that
/// is locked to no ranks.
pub(super) async fn tell(store: &Postgres, run: &Run) -> Result<String, ServiceError> {
    let Some(version) = run.order.locks.ranks else { return Ok(String::new()) };
    let mut met: Vec<&str> = Vec::new();
    for step in run.walks.values().flatten() {
        let id = step.distributor.as_str();
        if !met.contains(&id) {
            met.push(id);
        }
    }
    let plan = &run.order.locks.plan.id;
    let mut records = store.ranks_of(&met, version).await?;
    records.retain(|record| record.plan == *plan);
    let mut text = format!("  ranks of {plan} up to fact {version}\n");
    let standings = standings(&records, run.order.placed_at);
    let facts = met.into_iter().filter_map(|id| standings.get(&DistributorId::parse(id).ok()?));
    let facts = facts.flat_map(|standing| [standing.by_close, standing.by_hand]).flatten();
    let row = |record: &RankRecord| {
        let fact = &record.fact;
        vec![
            fact.distributor.to_string(),
            says(fact.paid_as.as_ref(), fact.source),
            fact.effective_at.to_string(),
            origin(record),
        ]
    };
    let rows: Vec<Vec<String>> = facts.map(row).collect();
    text += &output::table(&["distributor", "paid as", "from", "by"], &rows);
    Ok(text)
}
