//! Pipeline files: which shops there are, how they prove themselves, how their orders are read and
//! which plan pays for them.
//!
//! Every file `pipelines/*.toml` adds stores. Secrets are never in the file: it names the
//! environment variables that hold them, several per store while they are rotated. A variable
//! `NAME` may also be given as `NAME_FILE`, the path of a file that holds the secret.

mod access;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;
use toml::Spanned;

use self::access::{AdobeFile, Place, RestFile};
use crate::{
    config::Environment,
    domain::{
        customer::{AttributionPolicy, Unattributed, UnknownReferrer},
        id::{IdError, Platform, StoreId},
        money::Currency,
        order::RefundPolicy,
        plan::{
            Plan, PlanError, line_of,
            versions::{VersionError, in_order},
        },
    },
    ingest::{AdmissionConfig, AdobeEvents, KeyError},
    sink::RestAccess,
    stage::{
        platform::{ReferralRule, StorePolicy, Writes},
        validate::OnUnfooted,
    },
    stream::runner::Limits,
};

/// Why the pipeline files cannot be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not TOML of the right shape; the source names line and field.
    #[error("{} is not a pipeline file", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A plan file is not a plan.
    #[error("{} is not a plan (`upline plan lint` tells all that is wrong with it)", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: Box<PlanError>,
    },
    /// A file lists a plan file twice.
    #[error("{}:{line}: `plans` names {} twice: drop one of the two", path.display(), plan.display())]
    PlanTwice {
        /// The file.
        path: PathBuf,
        /// The line of the second.
        line: usize,
        /// The plan file.
        plan: PathBuf,
    },
    /// Two versions of a plan cannot stand beside each other.
    #[error(
        "{}:{line}: `{field}` of plan {plan} (the other version stands in {})",
        path.display(), other.display()
    )]
    Versions {
        /// The file of the version that is to be changed.
        path: PathBuf,
        /// The line of the field.
        line: usize,
        /// The field.
        field: &'static str,
        /// The plan.
        plan: Box<str>,
        /// The file of the other version.
        other: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<VersionError>,
    },
    /// The stores' plan is in none of the plan files.
    #[error("{}: no plan file defines the plan {plan:?}", path.display())]
    NoPlan {
        /// The file.
        path: PathBuf,
        /// The id in the file.
        plan: Box<str>,
    },
    /// A store's name or platform is not one.
    #[error("{}: store {name:?}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        name: String,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// Two stores of one platform have one name.
    #[error("the {0} store {1} is defined twice")]
    Repeated(Platform, StoreId),
    /// A store names no variable for its secret, nor keys of Adobe's.
    #[error(
        "the {0} store {1} names no variable under `secrets`{hint}, so nobody could prove that a \
         delivery is its own",
        hint = if *.0 == Platform::Magento { " and no key files under `adobe`" } else { "" }
    )]
    NoSecret(Platform, StoreId),
    /// A table of a store that says how it proves itself or can be asked is not right.
    #[error("the {platform} store {store}: {key} {reason}")]
    Access {
        /// The platform.
        platform: Platform,
        /// The store.
        store: StoreId,
        /// The key in the file.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file under `adobe.keys` is not a public key.
    #[error("{} is not a public key of Adobe I/O Events", path.display())]
    AdobeKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A store gives unknown codes to a house account that it does not name.
    #[error(
        "the {0} store {1} has unknown_referrer = \"house\" and needs \
         unattributed = {{ house = \"DISTRIBUTOR\" }}"
    )]
    NoHouse(Platform, StoreId),
    /// A variable that should hold a secret is not set.
    #[error("the {platform} store {store} needs the secret in {variable}, which is not set")]
    MissingSecret {
        /// The platform.
        platform: Platform,
        /// The store.
        store: StoreId,
        /// The variable.
        variable: String,
    },
    /// No file defines a store.
    #[error("no pipeline file in {} defines a store", .0.display())]
    Empty(PathBuf),
    /// Two files set limits.
    #[error("both {} and {} set [limits]; one process has one set", .0.display(), .1.display())]
    TwoLimits(PathBuf, PathBuf),
    /// A limit is zero or contradicts another.
    #[error("{}: limit {field} {reason}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineFile {
    /// Plan files, relative to this file; every version that may be needed.
    plans: Vec<Spanned<PathBuf>>,
    /// The id of the plan that the stores use.
    plan: Box<str>,
    #[serde(default)]
    limits: Option<LimitsFile>,
    #[serde(default, rename = "store")]
    stores: Vec<StoreFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    name: String,
    platform: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    adobe: Option<AdobeFile>,
    #[serde(default)]
    rest: Option<RestFile>,
    #[serde(default)]
    attribution: Vec<ReferralRule>,
    #[serde(default)]
    shop: Option<StoreId>,
    #[serde(default)]
    writes: Writes,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    refunds: RefundPolicy,
    #[serde(default)]
    on_unfooted: Option<OnUnfooted>,
    #[serde(default)]
    payout_currency: Option<Currency>,
    #[serde(default)]
    unattributed: Unattributed,
    #[serde(default)]
    unknown_referrer: UnknownReferrer,
}

/// The limits of the stages and of what the edge lets in, as a file may set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsFile {
    /// The most messages in one batch of a stage.
    pub batch: usize,
    /// The most messages that a stage may have in work.
    pub in_flight: usize,
    /// How long a message may be in work before it is handed out again, in seconds.
    pub ack_wait_seconds: u64,
    /// The first wait before a message is tried again, in milliseconds; doubles each time.
    pub retry_first_ms: u64,
    /// The longest wait before a message is tried again, in milliseconds.
    pub retry_longest_ms: u64,
    /// How long the warehouse collects rows for one insert, in milliseconds.
    pub warehouse_linger_ms: u64,
    /// The most entries of the ledger in one insert of the warehouse, but for those of a single block.
    pub warehouse_batch: usize,
    /// How many lanes run validate, map, commission and ledger as one; 0 is the chain through the log.
    pub fused_lanes: usize,
    /// The most deliveries on their way to the log; a store may hold half while others are active.
    pub webhooks_in_flight: usize,
    /// How many of them are kept free for each store.
    pub store_reserve: usize,
    /// The wait for the ledger above which senders that come again are refused, in milliseconds; 0: never.
    pub target_wait_ms: u64,
    /// The backlog at which every sender is refused, in seconds of work.
    pub outage_wait_seconds: u64,
    /// The same in messages; the smaller holds.
    pub backlog_max: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            batch: 500,
            in_flight: 2_000,
            ack_wait_seconds: 5,
            retry_first_ms: 100,
            retry_longest_ms: 10_000,
            warehouse_linger_ms: 500,
            warehouse_batch: 50_000,
            fused_lanes: 0,
            webhooks_in_flight: 1024,
            store_reserve: 16,
            target_wait_ms: 1_000,
            outage_wait_seconds: 300,
            backlog_max: 1_000_000,
        }
    }
}

impl LimitsFile {
    /// As the runner of a stage wants them.
    pub fn stage(&self) -> Limits {
        use std::time::Duration;
        Limits {
            batch: self.batch,
            idle: Duration::from_millis(500),
            retry_first: Duration::from_millis(self.retry_first_ms),
            retry_longest: Duration::from_millis(self.retry_longest_ms),
        }
    }

    /// As the edge wants them.
    pub fn admission(&self) -> AdmissionConfig {
        use std::{num::NonZeroUsize, time::Duration};
        AdmissionConfig {
            in_flight: NonZeroUsize::new(self.webhooks_in_flight).unwrap_or(NonZeroUsize::MIN),
            store_reserve: self.store_reserve,
            target_wait: Duration::from_millis(self.target_wait_ms),
            outage_wait: Duration::from_secs(self.outage_wait_seconds),
            backlog_max: self.backlog_max,
        }
    }

    fn check(&self, path: &Path) -> Result<(), PipelineError> {
        let fail = |field, reason| Err(PipelineError::Limit { path: path.into(), field, reason });
        for (field, value) in [
            ("batch", self.batch),
            ("warehouse_batch", self.warehouse_batch),
            ("webhooks_in_flight", self.webhooks_in_flight),
        ] {
            if value == 0 {
                return fail(field, "must be above zero");
            }
        }
        if self.in_flight < self.batch {
            return fail("in_flight", "must not be less than batch");
        }
        if self.fused_lanes > 64 {
            return fail("fused_lanes", "must not be above 64");
        }
        // Twice: the two would not be two otherwise.
        if self.outage_wait_seconds.saturating_mul(500) < self.target_wait_ms {
            return fail("outage_wait_seconds", "must be at least twice target_wait_ms");
        }
        if self.backlog_max < 1_000 {
            return fail("backlog_max", "must be at least 1000");
        }
        if self.ack_wait_seconds == 0 {
            return fail("ack_wait_seconds", "must be above zero");
        }
        if self.retry_first_ms == 0 || self.retry_longest_ms < self.retry_first_ms {
            return fail("retry_first_ms", "must be above zero and at most retry_longest_ms");
        }
        if self.warehouse_linger_ms > 60_000 {
            return fail("warehouse_linger_ms", "must not be above 60000");
        }
        Ok(())
    }
}

/// One shop.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its name: part of its webhook URL.
    pub name: StoreId,
    /// Its platform.
    pub platform: Platform,
    /// The variables that hold its secrets.
    pub variables: Vec<String>,
    /// The secrets; for the API they are bearer tokens.
    pub secrets: Vec<SecretString>,
    /// For Magento: how deliveries of Adobe I/O Events prove themselves.
    pub adobe: Option<AdobeEvents>,
    /// For WooCommerce: how it is asked for refunds that it told the sum of.
    pub rest: Option<RestAccess>,
    /// How its orders are read.
    pub policy: StorePolicy,
    /// What happens to an order that does not foot.
    pub on_unfooted: OnUnfooted,
    /// The id of its plan.
    pub plan: Box<str>,
    /// The currency that commission on its orders is paid in; without one each order's own.
    pub payout: Option<Currency>,
    /// What becomes of orders that no known distributor referred.
    pub attribution: AttributionPolicy,
}

/// A plan with the text that it was read from.
#[derive(Debug, Clone)]
pub struct PlanSource {
    /// The plan.
    pub plan: Plan,
    /// The file's text.
    pub text: String,
}

/// Every shop, plan and limit.
#[derive(Debug, Clone, Default)]
pub struct Pipelines {
    /// The shops.
    pub stores: Vec<Store>,
    /// The plans by file.
    pub plans: BTreeMap<PathBuf, PlanSource>,
    /// The limits.
    pub limits: LimitsFile,
}

fn read(path: &Path) -> Result<String, PipelineError> {
    fs::read_to_string(path).map_err(|source| PipelineError::Read { path: path.to_owned(), source })
}

/// The pipeline files of a folder in their order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let fail = |source| PipelineError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|e| e == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A pipeline file with its text.
fn parse(path: &Path) -> Result<(PipelineFile, String), PipelineError> {
    let text = read(path)?;
    let file = toml::from_str(&text).map_err(|source| PipelineError::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok((file, text))
}

impl Pipelines {
    /// Reads every `*.toml` in a folder, and the secrets that they name.
    pub fn load(folder: &Path, environment: &Environment) -> Result<Self, PipelineError> {
        let mut pipelines = Self::default();
        let mut limits_from: Option<PathBuf> = None;
        for path in files(folder)? {
            let (mut file, text) = parse(&path)?;
            pipelines.add_plans(&path, &text, std::mem::take(&mut file.plans))?;
            if let Some(limits) = file.limits {
                limits.check(&path)?;
                if let Some(first) = limits_from.replace(path.clone()) {
                    return Err(PipelineError::TwoLimits(first, path));
                }
                pipelines.limits = limits;
            }
            pipelines.add(&path, file, environment)?;
        }
        if pipelines.stores.is_empty() {
            return Err(PipelineError::Empty(folder.to_owned()));
        }
        pipelines.check_versions()?;
        // A version of a plan may stand in a file that is read after its stores.
        let plans = pipelines.plans.values().map(|source| &source.plan);
        pipelines.stores.iter().try_for_each(|store| access::pays_as(store, plans.clone()))?;
        Ok(pipelines)
    }

    /// The plans that the pipeline files of a folder name, without the stores and their secrets.
    pub fn plans(folder: &Path) -> Result<BTreeMap<PathBuf, PlanSource>, PipelineError> {
        let mut pipelines = Self::default();
        for path in files(folder)? {
            let (file, text) = parse(&path)?;
            pipelines.add_plans(&path, &text, file.plans)?;
        }
        pipelines.check_versions()?;
        Ok(pipelines.plans)
    }

    /// The plans, lower versions first: a higher one is checked against them.
    pub fn in_order(plans: &BTreeMap<PathBuf, PlanSource>) -> Vec<&PlanSource> {
        let mut sources: Vec<_> = plans.values().collect();
        sources.sort_by_key(|source| (&source.plan.reference.id, source.plan.reference.version));
        sources
    }

    fn add_plans(
        &mut self,
        path: &Path,
        listed: &str,
        plans: Vec<Spanned<PathBuf>>,
    ) -> Result<(), PipelineError> {
        let mut known: Vec<PathBuf> = Vec::new();
        for named in plans {
            let start = named.span().start;
            let plan = path.parent().unwrap_or_else(|| Path::new(".")).join(named.into_inner());
            if known.contains(&plan) {
                let line = listed.get(..start).unwrap_or_default().matches('\n').count();
                let (path, line) = (path.to_owned(), line.saturating_add(1));
                return Err(PipelineError::PlanTwice { path, line, plan });
            }
            known.push(plan.clone());
            let text = read(&plan)?;
            let parsed = Plan::parse(&text)
                .map_err(Box::new)
                .map_err(|source| PipelineError::Plan { path: plan.clone(), source })?;
            self.plans.insert(plan, PlanSource { plan: parsed, text });
        }
        Ok(())
    }

    /// Checks that the versions of each plan rise with their starts.
    fn check_versions(&self) -> Result<(), PipelineError> {
        let pairs = self.plans.iter().flat_map(|one| self.plans.iter().map(move |two| (one, two)));
        for ((path, source), (other, lower)) in pairs.filter(|((one, _), (two, _))| one != two) {
            let (plan, under) = (&source.plan, &lower.plan);
            let (version, below) = (plan.reference.version, under.reference.version);
            if plan.reference.id != under.reference.id || version < below {
                continue;
            }
            let Err(error) = in_order([under.edition(), plan.edition()]) else { continue };
            let field = match error {
                VersionError::Repeated(_) => "version",
                VersionError::NotLater { .. } | VersionError::Closed { .. } => "effective_from",
            };
            return Err(PipelineError::Versions {
                path: path.clone(),
                line: line_of(&source.text, &[field]),
                field,
                plan: plan.reference.id.clone(),
                other: other.clone(),
                source: Box::new(error),
            });
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        file: PipelineFile,
        environment: &Environment,
    ) -> Result<(), PipelineError> {
        // Orders of a plan that nobody knows would wait for ever.
        if !self.plans.values().any(|source| source.plan.reference.id == file.plan) {
            return Err(PipelineError::NoPlan { path: path.to_owned(), plan: file.plan });
        }
        for store in file.stores {
            let fail = |source| PipelineError::Store {
                path: path.to_owned(),
                name: store.name.clone(),
                source,
            };
            let platform = Platform::parse(&store.platform).map_err(fail)?;
            let name = StoreId::parse(&store.name).map_err(fail)?;
            if self.stores.iter().any(|s| s.platform == platform && s.name == name) {
                return Err(PipelineError::Repeated(platform, name));
            }
            let place = Place { path, platform, store: &name };
            place.for_the_api("currency", store.currency.is_some())?;
            place.for_the_api("writes", store.writes != Writes::default())?;
            let house = matches!(store.unattributed, Unattributed::House(_));
            if store.unknown_referrer == UnknownReferrer::House && !house {
                return Err(PipelineError::NoHouse(platform, name));
            }
            let adobe = store.adobe.map(|adobe| adobe.load(place)).transpose()?;
            if store.secrets.is_empty() && adobe.is_none() {
                return Err(PipelineError::NoSecret(platform, name));
            }
            let secret = |variable: &str| {
                environment.secret(variable).ok_or_else(|| PipelineError::MissingSecret {
                    platform,
                    store: name.clone(),
                    variable: variable.to_owned(),
                })
            };
            let mut variables = store.secrets;
            let secrets =
                variables.iter().map(|name| secret(name)).collect::<Result<Vec<_>, _>>()?;
            variables.extend(store.rest.iter().flat_map(RestFile::variables));
            let rest = store.rest.map(|rest| rest.load(place, secret)).transpose()?;
            place.finds_codes(&store.attribution)?;
            self.stores.push(Store {
                name,
                platform,
                variables,
                secrets,
                adobe,
                rest,
                policy: StorePolicy {
                    attribution: store.attribution,
                    shop: store.shop,
                    writes: store.writes,
                    currency: store.currency,
                    refunds: store.refunds,
                },
                on_unfooted: store.on_unfooted.unwrap_or_else(|| OnUnfooted::default_for(platform)),
                plan: file.plan.clone(),
                payout: store.payout_currency,
                attribution: AttributionPolicy {
                    unattributed: store.unattributed,
                    unknown_referrer: store.unknown_referrer,
                },
            });
        }
        Ok(())
    }
}
