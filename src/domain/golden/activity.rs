//! The orders of a case that make somebody active, where the plan asks for one.

use super::{Unusable, company::Company};
use crate::domain::{
    plan::{case::PeriodRow, rank::ActiveOrder, volume::LineVolumes},
    volume::Volume,
};

/// What the orders of a period bring that make somebody active by the plan, by member.
pub(super) fn orders(company: &Company<'_>, row: &PeriodRow) -> Result<Vec<Volume>, Unusable> {
    let mut left = vec![Volume::ZERO; company.members.len()];
    let asked = company.plan.activity.as_ref().and_then(|activity| activity.order);
    for spanned in &row.volumes {
        let member = company.bearer(&spanned.get_ref().who, company.cases.line(spanned))?;
        let LineVolumes { qv, cv, .. } = company.volumes(spanned)?;
        let counts = match asked {
            Some(ActiveOrder::OwnOrReferred) => true,
            Some(ActiveOrder::Own) => !spanned.get_ref().retail,
            None => false,
        };
        let place = usize::try_from(member).unwrap_or(usize::MAX);
        if let Some(left) = left.get_mut(place).filter(|_| counts) {
            *left += qv + cv;
        }
    }
    Ok(left)
}

/// Who has such an order in the look-back, of the periods so far, the last one first.
pub(super) fn ordered(company: &Company<'_>, periods: &[Vec<Volume>]) -> Vec<bool> {
    let activity = company.plan.activity.as_ref();
    let look_back = activity.map_or(1, |activity| usize::from(activity.look_back));
    let mut ordered = vec![false; company.members.len()];
    for orders in periods.iter().take(look_back) {
        for (ordered, left) in ordered.iter_mut().zip(orders) {
            *ordered |= left.is_positive();
        }
    }
    ordered
}
