//! What a period costs as a whole, as text.

use rust_decimal::Decimal;

use crate::{app::closing::Whole, store::postgres::OrdersPaid};

/// What the close posts, what orders paid already, and both.
pub(super) fn tell(whole: &Whole) -> String {
    let Whole { currency, close, orders, together, volume, close_ratio, ratio } = whole;
    let mut text =
        format!("\nthe close posts {close} {currency} to distributors{}\n", of(*close_ratio));
    for OrdersPaid { component, currency, paid } in orders {
        text += &format!("orders of the period paid {paid} {currency} of {component} already\n");
    }
    let other = orders.iter().any(|paid| paid.currency != *currency);
    let but = if other { ", without other currencies" } else { "" };
    text += &format!(
        "together {together} {currency}{}{but}; the volume of the period is {volume} {currency}",
        of(*ratio)
    );
    text
}

fn of(ratio: Option<Decimal>) -> String {
    let percent = ratio.map(|ratio| ratio.saturating_mul(Decimal::ONE_HUNDRED).normalize());
    percent.map(|percent| format!(", {percent} % of the volume")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::ComponentId,
        money::{Currency, Money},
    };

    #[test]
    fn what_orders_paid_is_in_the_ratio() {
        let money = |text| Money::parse(text).unwrap();
        let currency = |text| Currency::parse(text).unwrap();
        let paid = |component, of, amount| OrdersPaid {
            component: ComponentId::parse(component).unwrap(),
            currency: currency(of),
            paid: money(amount),
        };
        let mut whole = Whole {
            currency: currency("USD"),
            close: money("120.00"),
            orders: vec![paid("fast", "USD", "80.00"), paid("retail", "USD", "20.00")],
            together: money("220.00"),
            volume: "1000".parse().unwrap(),
            close_ratio: Some("0.12".parse().unwrap()),
            ratio: Some("0.22".parse().unwrap()),
        };
        let wanted = "\nthe close posts 120.00 USD to distributors, 12 % of the volume\n\
                      orders of the period paid 80.00 USD of fast already\n\
                      orders of the period paid 20.00 USD of retail already\n\
                      together 220.00 USD, 22 % of the volume; the volume of the period is 1000 USD";
        assert_eq!(tell(&whole), wanted);
        whole.orders.push(paid("retail", "EUR", "5.00"));
        assert!(tell(&whole).contains("22 % of the volume, without other currencies"));
    }
}
