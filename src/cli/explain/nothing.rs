//! Why components of a plan paid nothing on an order.

use std::collections::BTreeMap;

use crate::domain::{
    commission::{Idle, MappedLine, MappedOrder, Run},
    id::ComponentId,
    money::Money,
    plan::{Component, FastStartOrders, Plan},
};

/// Every component that pays on orders and paid nothing on this one, each with its reason.
pub(super) fn reasons(run: &Run, plan: &Plan) -> BTreeMap<ComponentId, String> {
    let of_orders = plan.components.iter().filter(|component| of_orders(component));
    let silent = of_orders.filter(|component| !run.totals.contains_key(component.id()));
    silent.map(|component| (component.id().clone(), reason(component, run))).collect()
}

/// The reasons as text, and which components wait for the close of the period.
pub(super) fn tell(run: &Run, plan: &Plan) -> String {
    let mut text = String::new();
    for (component, reason) in reasons(run, plan) {
        text += &format!("  {component}: nothing, because {reason}\n");
    }
    let later = plan.components.iter().filter(|component| !of_orders(component));
    let later: Vec<&str> = later.map(|component| component.id().as_str()).collect();
    if !later.is_empty() {
        text +=
            &format!("  paid when the period closes, not with the order: {}\n", later.join(", "));
    }
    text
}

/// What became of an order of which nothing, or not all, is left; nothing to say of others.
pub(super) fn state(order: &MappedOrder) -> Option<String> {
    let net: Money = order.lines.iter().map(|line| line.net).sum();
    let refunded: Money = order.lines.iter().map(|line| line.refunded).sum();
    if !refunded.is_positive() {
        return None;
    }
    let left = order.lines.iter().any(|line| line.base.is_positive());
    let what = if left { "partly refunded" } else { "fully refunded" };
    let rest = if left { "" } else { ": nothing of it earns any more" };
    Some(format!("{what}: {refunded} of net {net} {} came back{rest}", order.currency))
}

fn of_orders(component: &Component) -> bool {
    !matches!(component, Component::Binary(_) | Component::Matrix(_) | Component::Close(_))
}

fn reason(component: &Component, run: &Run) -> String {
    let order = &run.order;
    if let Some(idle) = run.idle.get(component.id()) {
        return match (idle, component) {
            (Idle::OutsideWindow(end), Component::FastStart(part)) => format!(
                "the order was placed {}, and the {} days after the enrolment of the buyer were over on {end}",
                order.placed_at, part.days
            ),
            (Idle::OutsideWindow(end), _) => format!("its first days were over on {end}"),
            (Idle::BeforeEnrolment(start), _) => format!(
                "the order was placed {}, more than a day before the enrolment: orders count from {start} on",
                order.placed_at
            ),
            (Idle::ExcludedBy(other), _) => {
                format!("the fast start {other} takes the order in its place")
            }
        };
    }
    let earning: Vec<&MappedLine> =
        order.lines.iter().filter(|line| line.base.is_positive()).collect();
    if earning.is_empty() {
        return "no line earns, for the reasons above".to_owned();
    }
    let people = &order.attribution;
    let (referrer, own) = (people.referrer.as_ref(), people.own_purchase.as_ref());
    match (component, referrer, own) {
        (_, None, None) => return "no distributor stands behind the order".to_owned(),
        (Component::Direct(_), None, Some(own)) => {
            return format!("{own} bought for themselves, and it pays on what customers buy only");
        }
        (Component::FastStart(part), Some(referrer), None)
            if part.orders == FastStartOrders::Own =>
        {
            return format!(
                "it pays on what a new distributor buys for themselves, and this is a customer of {referrer}"
            );
        }
        _ => {}
    }
    let classes: Vec<&str> =
        earning.iter().filter_map(|line| Some(line.class.as_ref()?.as_str())).collect();
    let rated = earning.iter().filter_map(|line| line.class.as_ref());
    if !rated.clone().any(|class| component.pays_for(class)) {
        return if classes.is_empty() {
            "no line has a commission class".to_owned()
        } else {
            format!("it has no rate for the class {}", classes.join(", "))
        };
    }
    "nobody in the upline takes a level of it".to_owned()
}

#[cfg(test)]
mod tests;
