//! In which periods the volume of an order counts, and what they paid.

use jiff::Timestamp;

use crate::{
    app::closing::{ClosingError, CountedIn, counted_in},
    domain::{plan::PlanBook, volume::Volume},
    store::postgres::{PaidAbove, Postgres, Story},
};

/// The periods that count what is posted of an order.
pub(super) async fn of_order(
    store: &Postgres,
    plans: &PlanBook,
    order: &Story,
    now: Timestamp,
) -> Result<Vec<CountedIn>, ClosingError> {
    let entries: Vec<_> = order.runs.iter().flat_map(|run| &run.volumes).collect();
    if entries.is_empty() { Ok(Vec::new()) } else { counted_in(store, plans, &entries, now).await }
}

/// They as text, each with the command that tells more.
pub(super) fn tell(periods: &[CountedIn]) -> String {
    let mut text = String::new();
    for CountedIn { plan, period, distributor, volumes, late, block, paid } in periods {
        let state = match block {
            Some(block) => format!("closed, block {block}"),
            None => "open".to_owned(),
        };
        let back = *late && volumes.qv < Volume::ZERO;
        let counts = if back { "came back in" } else { "counts in" };
        let late = match (late, back) {
            (true, true) => ": it corrects its own period and counts in no later one",
            (true, false) => ", late: its own period was closed before",
            (false, _) => "",
        };
        text += &format!(
            "  {counts} {period} of plan {plan} ({state}) for {distributor}: PV {}, QV {}, CV {}{late}\n",
            volumes.pv, volumes.qv, volumes.cv
        );
        for PaidAbove { distributor, components } in paid {
            text += &format!(
                "    the close paid {distributor} for the whole period: {}\n",
                components.join(", ")
            );
        }
        let most = paid.first().map_or(distributor.as_str(), |paid| &paid.distributor);
        text += &format!("    more: `upline explain {most} {period}`\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::DistributorId,
        plan::{period::PeriodId, volume::LineVolumes},
    };

    #[test]
    fn open_and_closed_periods_are_told_with_the_command_for_more() {
        let points = Volume::points;
        let mut counted = CountedIn {
            plan: "field".into(),
            period: PeriodId::parse("2026-02").unwrap(),
            distributor: DistributorId::parse("302").unwrap(),
            volumes: LineVolumes { pv: points(100), qv: points(100), cv: points(80) },
            late: true,
            block: None,
            paid: Vec::new(),
        };
        let wanted = "  counts in 2026-02 of plan field (open) for 302: PV 100, QV 100, CV 80, late: its own \
                      period was closed before\n    more: `upline explain 302 2026-02`\n";
        assert_eq!(tell(&[counted.clone()]), wanted);
        (counted.late, counted.block) = (false, Some(7));
        counted.paid = vec![PaidAbove {
            distributor: "201".to_owned(),
            components: vec!["team 16.00".to_owned(), "uni 4.00".to_owned()],
        }];
        let wanted = "  counts in 2026-02 of plan field (closed, block 7) for 302: PV 100, QV 100, CV 80\n    \
                      the close paid 201 for the whole period: team 16.00, uni 4.00\n    more: `upline \
                      explain 201 2026-02`\n";
        assert_eq!(tell(&[counted]), wanted);
    }
}
