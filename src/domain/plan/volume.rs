//! The section `[volumes]` of a plan file: what counts as whose volume.

use std::ops::{AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    money::{Money, Rate},
    volume::{Conversion, Volume},
};

/// What counts as volume, and what a point is worth.
///
/// ```
/// let volumes: upline::domain::plan::volume::Volumes = toml::from_str(r#"
///     pv = "qv"
///     group = "pv"
///     retail_orders = "referrer"
///     conversion = "1"
///     negative_volume = "carry"
///     [qv]
///     source = "catalogue"
///     missing = "zero"
///     [cv]
///     source = "net"
///     rate = "80 %"
/// "#).unwrap();
/// assert_eq!(volumes.conversion, upline::domain::volume::Conversion::ONE);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volumes {
    /// Where the qualifying volume of an order line comes from: for ranks and activity, never paid.
    pub qv: Source,
    /// Where the commissionable volume of an order line comes from: what payouts are taken of.
    pub cv: Source,
    /// Which of the two a person's PV adds up.
    pub pv: Counted,
    /// Which volume GV and PGV add up over people.
    pub group: Measure,
    /// Whose PV the order of a retail customer counts for.
    pub retail_orders: RetailOrders,
    /// How much money a point is, unless a component says otherwise.
    pub conversion: Conversion,
    /// What becomes of personal volume below zero. A close from the books has none: what comes back corrects
    /// the period that counted it.
    pub negative_volume: NegativeVolume,
}

/// What becomes of the personal volume of a period that is below zero, as a golden case may state it. In the
/// period itself it counts as none: nobody's group is smaller by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NegativeVolume {
    /// It is part of the person's volume in the next period, and so on until it is made up for.
    Carry,
    /// It is forgotten.
    Forgive,
}

/// Where the volume of an order line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The catalogue states it for a unit.
    Catalogue {
        /// What an article without a stated volume has.
        missing: Missing,
    },
    /// It is a share of the net amount: at 100 % a unit of the currency is a point.
    Net {
        /// The share.
        rate: Rate,
    },
}

/// The volume of an article for which the catalogue states none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// None.
    Zero,
    /// Its net amount, a point for each unit of the currency.
    Net,
}

/// The volume of an order line that PV adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Qualifying volume.
    Qv,
    /// Commissionable volume.
    Cv,
}

/// A personal volume: a column of the population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Personal volume: own orders and, if the plan says so, those of own retail customers.
    Pv,
    /// Qualifying volume.
    Qv,
    /// Commissionable volume.
    Cv,
}

/// Whose PV the order of a retail customer counts for. Its QV and CV are always the referrer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetailOrders {
    /// The referrer's.
    Referrer,
    /// Nobody's: PV is own purchases alone.
    Nobody,
}

/// What an order line adds to the volumes of the person that it counts for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineVolumes {
    /// Personal volume.
    pub pv: Volume,
    /// Qualifying volume.
    pub qv: Volume,
    /// Commissionable volume.
    pub cv: Volume,
}

impl Source {
    /// The volume of a line: `net` is its net amount, `stated` what the catalogue states for what is
    /// left of its units.
    pub fn of_line(self, net: Money, stated: Option<Volume>) -> Volume {
        match (self, stated) {
            (Self::Net { rate }, _) => Volume::of_money(net, rate),
            (Self::Catalogue { .. }, Some(stated)) => stated,
            (Self::Catalogue { missing: Missing::Zero }, None) => Volume::ZERO,
            (Self::Catalogue { missing: Missing::Net }, None) => Volume::of_money(net, Rate::WHOLE),
        }
    }
}

impl LineVolumes {
    /// Whether there is nothing of any of them.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// One of them.
    pub fn of(self, measure: Measure) -> Volume {
        match measure {
            Measure::Pv => self.pv,
            Measure::Qv => self.qv,
            Measure::Cv => self.cv,
        }
    }
}

impl AddAssign for LineVolumes {
    fn add_assign(&mut self, other: Self) {
        self.pv += other.pv;
        self.qv += other.qv;
        self.cv += other.cv;
    }
}

impl Sub for LineVolumes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { pv: self.pv - other.pv, qv: self.qv - other.qv, cv: self.cv - other.cv }
    }
}

impl Volumes {
    /// What a line adds to the volumes of the buyer who is a distributor, or of the referrer of a
    /// retail customer; the catalogue states the qualifying and the commissionable volume of its units.
    pub fn of_line(
        &self,
        net: Money,
        (qualifying, commissionable): (Option<Volume>, Option<Volume>),
        retail: bool,
    ) -> LineVolumes {
        let qv = self.qv.of_line(net, qualifying);
        let cv = self.cv.of_line(net, commissionable);
        let pv = match self.pv {
            _ if retail && self.retail_orders == RetailOrders::Nobody => Volume::ZERO,
            Counted::Qv => qv,
            Counted::Cv => cv,
        };
        LineVolumes { pv, qv, cv }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(retail: &str) -> Volumes {
        let text = r#"
            pv = "qv"
            group = "pv"
            retail_orders = "RETAIL"
            conversion = "0.50"
            negative_volume = "forgive"
            qv = { source = "catalogue", missing = "net" }
            cv = { source = "net", rate = "80 %" }
        "#;
        toml::from_str(&text.replace("RETAIL", retail)).unwrap()
    }

    #[test]
    fn a_line_counts_what_the_plan_says() {
        let net = Money::parse("20.05").unwrap();
        let stated = (Some(Volume::points(18)), Some(Volume::points(14)));
        let own = volumes("nobody").of_line(net, stated, false);
        assert_eq!((own.pv, own.qv), (Volume::points(18), Volume::points(18)));
        assert_eq!(
            own.cv.to_string(),
            "16.04",
            "80 % of the net amount, whatever the catalogue says"
        );
        let retail = volumes("nobody").of_line(net, stated, true);
        assert_eq!((retail.pv, retail.qv), (Volume::ZERO, Volume::points(18)));
        assert_eq!(volumes("referrer").of_line(net, stated, true), own);
        let unknown = volumes("referrer").of_line(net, (None, None), false);
        assert_eq!(unknown.qv.to_string(), "20.05");
    }

    #[test]
    fn a_choice_that_is_not_stated_is_refused() {
        let text = "pv = \"qv\"\ngroup = \"pv\"\nconversion = \"1\"\nnegative_volume = \"carry\"\n[qv]\nsource = \"net\"\nrate = \"1\"\n[cv]\nsource = \"catalogue\"\n";
        let error = toml::from_str::<Volumes>(text).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
