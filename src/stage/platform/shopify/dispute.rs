//! The dispute of Shopify: a chargeback, or an inquiry before one.

use serde::Deserialize;

use super::Found;
use crate::{
    domain::order::{Chargeback, ChargebackStage, Fact},
    stage::{
        RejectCode, Rejection,
        platform::{
            order_id, refund_id,
            wire::{Path, Raw},
        },
    },
};

/// The fields of a dispute that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireDispute<'a> {
    id: Raw<'a>,
    order_id: Raw<'a>,
    #[serde(rename = "type")]
    kind: Raw<'a>,
    status: Raw<'a>,
    amount: Raw<'a>,
    currency: Raw<'a>,
}

/// Reads a dispute. The status says how far it has come; only a dispute of type `inquiry` moves no
/// money before it becomes a chargeback.
pub(super) fn read(dispute: &WireDispute<'_>, at: Path<'_>) -> Result<Found, Rejection> {
    let order = order_id(&dispute.order_id, at.key("order_id"))?;
    let amount = dispute.amount.amount_if_any(at.key("amount"))?;
    let currency = dispute.currency.currency(at.key("currency"))?;
    let chargeback = Chargeback {
        stage: stage(dispute, at)?,
        id: refund_id(&dispute.id, at.key("id"))?,
        amount: amount.ok_or_else(|| at.key("amount").missing("the amount in dispute"))?.abs(),
        currency: currency
            .ok_or_else(|| at.key("currency").missing("the currency of the amount"))?,
    };
    Ok(Found { order, fact: Fact::Chargeback(chargeback) })
}

fn stage(dispute: &WireDispute<'_>, at: Path<'_>) -> Result<ChargebackStage, Rejection> {
    let inquiry = dispute.kind.word() == Some("inquiry");
    let open = if inquiry { ChargebackStage::Inquiry } else { ChargebackStage::Open };
    match dispute.status.word() {
        Some("needs_response" | "under_review") => Ok(open),
        // A prevented dispute never became a chargeback: like one that is won, it takes nothing.
        Some("won" | "prevented") => Ok(ChargebackStage::Won),
        Some("charge_refunded") => Ok(ChargebackStage::Refunded),
        // An accepted dispute was not defended.
        Some("lost" | "accepted") => Ok(ChargebackStage::Lost),
        other => {
            let said = match other {
                Some(word) => format!("{word:?} is no known status of a dispute"),
                None => "the status of the dispute is missing".to_owned(),
            };
            Err(at.key("status").reject(
                RejectCode::Value,
                format!(
                    "{said}, expected needs_response, under_review, won, prevented, lost, accepted \
                     or charge_refunded"
                ),
            ))
        }
    }
}
