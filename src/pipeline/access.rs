//! How stores prove themselves and how they can be asked, where a secret alone does not say it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use serde::Deserialize;

use super::{PipelineError, Store, read};
use crate::{
    domain::{
        id::{Platform, StoreId},
        plan::Plan,
    },
    ingest::{ADOBE_KEYS_MAX, AdobeEvents, AdobeKey},
    sink::RestAccess,
    stage::platform::ReferralRule,
};

/// A store of a pipeline file, for what is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) platform: Platform,
    pub(super) store: &'a StoreId,
}

impl Place<'_> {
    fn fail(self, key: &'static str, reason: impl Into<String>) -> PipelineError {
        let Self { platform, store, .. } = self;
        PipelineError::Access { platform, store: store.clone(), key, reason: reason.into() }
    }

    /// Refuses a key that means nothing to the store of a shop.
    pub(super) fn for_the_api(self, key: &'static str, set: bool) -> Result<(), PipelineError> {
        if !set || self.platform == Platform::Api {
            return Ok(());
        }
        Err(self.fail(key, "is for API stores only"))
    }

    /// Refuses rules that could find no code on the store's orders, or anything.
    pub(super) fn finds_codes(self, rules: &[ReferralRule]) -> Result<(), PipelineError> {
        let wrong = rules.iter().find_map(|rule| rule.check(self.platform).err());
        wrong.map_or(Ok(()), |reason| Err(self.fail("attribution", reason)))
    }
}

/// Refuses another payout currency than that of the store's plan.
pub(super) fn pays_as<'a>(
    store: &Store,
    mut plans: impl Iterator<Item = &'a Plan>,
) -> Result<(), PipelineError> {
    let Some(payout) = store.payout else { return Ok(()) };
    let other = |plan: &&Plan| plan.reference.id == store.plan && plan.currency != Some(payout);
    let Some(plan) = plans.find(|plan| other(plan) && plan.currency.is_some()) else {
        return Ok(());
    };
    let (id, version) = (&plan.reference.id, plan.reference.version);
    let currency = plan.currency.map_or_else(String::new, |currency| currency.to_string());
    Err(PipelineError::Access {
        platform: store.platform,
        store: store.name.clone(),
        key: "payout_currency",
        reason: format!(
            "differs from {currency}, in which version {version} of the plan {id} pays: leave it out"
        ),
    })
}

/// Deliveries of Adobe I/O Events, as a file describes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdobeFile {
    client_id: Box<str>,
    /// PEM files, relative to the pipeline file.
    keys: Vec<PathBuf>,
}

impl AdobeFile {
    pub(super) fn load(self, at: Place<'_>) -> Result<AdobeEvents, PipelineError> {
        if at.platform != Platform::Magento {
            return Err(at.fail("adobe", "is for Magento stores only"));
        }
        if self.client_id.trim().is_empty() {
            let reason = "is empty, and Adobe signs the events of all its customers alike";
            return Err(at.fail("adobe.client_id", reason));
        }
        if self.keys.is_empty() || self.keys.len() > ADOBE_KEYS_MAX {
            return Err(at.fail("adobe.keys", "must name the files of one to eight public keys"));
        }
        let folder = at.path.parent().unwrap_or_else(|| Path::new("."));
        let key = |file: PathBuf| {
            let path = folder.join(file);
            let text = read(&path)?;
            AdobeKey::from_pem(&text).map_err(|source| PipelineError::AdobeKey { path, source })
        };
        let keys = self.keys.into_iter().map(key).collect::<Result<_, _>>()?;
        Ok(AdobeEvents { client_id: self.client_id, keys })
    }
}

/// The REST API of a WooCommerce shop, as a file describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestFile {
    url: String,
    /// The variables that hold the consumer key and its secret.
    key: String,
    secret: String,
    #[serde(default = "six_hours")]
    give_up_after_seconds: u64,
}

fn six_hours() -> u64 {
    6 * 60 * 60
}

impl RestFile {
    /// The variables that it names.
    pub(super) fn variables(&self) -> [String; 2] {
        [self.key.clone(), self.secret.clone()]
    }

    pub(super) fn load(
        self,
        at: Place<'_>,
        secret: impl Fn(&str) -> Result<SecretString, PipelineError>,
    ) -> Result<RestAccess, PipelineError> {
        if at.platform != Platform::WooCommerce {
            return Err(at.fail("rest", "is for WooCommerce stores only"));
        }
        let patience = Duration::from_secs(self.give_up_after_seconds);
        RestAccess::new(&self.url, secret(&self.key)?, secret(&self.secret)?, patience)
            .map_err(|error| at.fail("rest.url", error.to_string()))
    }
}
