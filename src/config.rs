//! Configuration: read once from the environment, right or fatal.
//!
//! A variable that starts with `UPLINE_` and is none of those below (and no secret that a pipeline
//! file names) is an error that names it: a misspelt limit must not be a silent default.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use crate::pipeline::{PipelineError, Pipelines};

/// The variables that the program knows, with what they mean and their default.
pub const VARIABLES: [(&str, &str); 13] = [
    ("UPLINE_HTTP_ADDR", "where webhooks are taken; default 127.0.0.1:8080"),
    ("UPLINE_ADMIN_ADDR", "where /metrics, /healthz and /readyz are; default 127.0.0.1:9090"),
    ("UPLINE_NATS_URL", "nats://[user:password@]host:4222; unset: the local stack"),
    ("UPLINE_DATABASE_URL", "postgres://user@host:5432/database; unset: the local stack"),
    (
        "UPLINE_CLICKHOUSE_URL",
        "http://[user:password@]host:8123[/database]; unset: the local stack",
    ),
    ("UPLINE_PIPELINES", "the folder of the pipeline files; default pipelines"),
    ("UPLINE_STREAM_PREFIX", "put before stream and subject names; default none"),
    ("UPLINE_STREAM_REPLICAS", "copies of each message in a NATS cluster; default 1"),
    (
        "UPLINE_STREAM_MAX_MIB",
        "how large each of the four streams may grow; default 0, as the server's store allows",
    ),
    ("UPLINE_DRAIN_SECONDS", "how long a stop waits for work in flight; default 20"),
    ("UPLINE_STACK_DIR", "where the local stack lives; default the user's cache folder"),
    ("UPLINE_LOG", "what is logged, such as info or upline=debug; default info"),
    ("UPLINE_LOG_FORMAT", "text or json; default text"),
];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable of the program's name space that it does not know.
    #[error("the variable {0} is unknown; `upline check --help` lists those that there are")]
    Unknown(String),
    /// A value cannot be read.
    #[error("{variable} is {value:?}, which is not {wanted}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A file that should hold a secret cannot be read.
    #[error("{variable} names {path}, which cannot be read")]
    SecretFile {
        /// The variable.
        variable: String,
        /// The file.
        path: String,
    },
    /// A pipeline file cannot be used.
    #[error("the pipelines cannot be loaded")]
    Pipeline(#[from] PipelineError),
}

/// The environment, as a value: the process's own, or one that a test or the demo made.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, SecretString>);

impl Environment {
    /// The environment of the process.
    pub fn of_process() -> Self {
        let text = |s: std::ffi::OsString| s.into_string().ok();
        Self(
            env::vars_os()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?.into())))
                .collect(),
        )
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned().into());
        self
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret).filter(|value| !value.is_empty())
    }

    /// A secret: the variable itself, or the file that `<name>_FILE` points to, without its last
    /// line break.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        if let Some(value) = self.get(name) {
            return Some(value.to_owned().into());
        }
        let path = self.get(&format!("{name}_FILE"))?;
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned().into())
    }

    /// A secret like [`Self::secret`], but a file that is named and cannot be read is an error: where
    /// an unset variable has a meaning, a mistake must not pass for one.
    pub fn optional_secret(&self, name: &str) -> Result<Option<SecretString>, ConfigError> {
        let secret = self.secret(name);
        let variable = format!("{name}_FILE");
        match (secret, self.get(&variable)) {
            (None, Some(path)) => Err(ConfigError::SecretFile { path: path.to_owned(), variable }),
            (secret, _) => Ok(secret),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The addresses of the three services; `None` stands for the local stack.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// NATS.
    pub nats: Option<SecretString>,
    /// Postgres.
    pub database: Option<SecretString>,
    /// ClickHouse.
    pub clickhouse: Option<SecretString>,
}

impl Services {
    /// Reads the three addresses.
    pub fn load(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            nats: environment.optional_secret("UPLINE_NATS_URL")?,
            database: environment.optional_secret("UPLINE_DATABASE_URL")?,
            clickhouse: environment.optional_secret("UPLINE_CLICKHOUSE_URL")?,
        })
    }

    /// Whether one of them has to come from the local stack.
    pub fn need_stack(&self) -> bool {
        self.nats.is_none() || self.database.is_none() || self.clickhouse.is_none()
    }
}

/// Everything that `serve` needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where webhooks are taken.
    pub http: SocketAddr,
    /// Where metrics and probes are.
    pub admin: SocketAddr,
    /// The services.
    pub services: Services,
    /// Put before stream and subject names.
    pub stream_prefix: String,
    /// Copies of each message in a NATS cluster.
    pub replicas: usize,
    /// How large each of the four streams may grow, in MiB; the server sets it aside when a stream is
    /// made. 0: as large as the server's store allows.
    pub stream_max_mib: u32,
    /// How long a stop waits for work in flight.
    pub drain: Duration,
    /// Shops, plans, limits.
    pub pipelines: Pipelines,
}

/// Reads a value or takes the default.
fn value<T: std::str::FromStr>(
    environment: &Environment,
    variable: &'static str,
    default: T,
    wanted: &'static str,
) -> Result<T, ConfigError> {
    match environment.get(variable) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_wrong| ConfigError::Value {
            variable,
            value: text.to_owned(),
            wanted,
        }),
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The folder of the pipeline files.
pub fn pipelines_folder(environment: &Environment) -> PathBuf {
    environment.get("UPLINE_PIPELINES").map_or_else(|| PathBuf::from("pipelines"), PathBuf::from)
}

impl Config {
    /// Reads the whole configuration.
    pub fn load(environment: &Environment) -> Result<Self, ConfigError> {
        Self::load_from(environment, &pipelines_folder(environment))
    }

    /// Reads the configuration with the pipeline files of a given folder.
    pub fn load_from(environment: &Environment, folder: &Path) -> Result<Self, ConfigError> {
        let pipelines = Pipelines::load(folder, environment)?;
        check_names(environment, &pipelines)?;
        let wanted = "an address such as 127.0.0.1:8080";
        let drain = value(environment, "UPLINE_DRAIN_SECONDS", 20, "a number of seconds")?;
        let prefix = environment.get("UPLINE_STREAM_PREFIX").unwrap_or_default();
        if !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(ConfigError::Value {
                variable: "UPLINE_STREAM_PREFIX",
                value: prefix.to_owned(),
                wanted: "made of letters, digits, - and _",
            });
        }
        Ok(Self {
            http: value(environment, "UPLINE_HTTP_ADDR", local(8080), wanted)?,
            admin: value(environment, "UPLINE_ADMIN_ADDR", local(9090), wanted)?,
            services: Services::load(environment)?,
            stream_prefix: prefix.to_owned(),
            replicas: value(environment, "UPLINE_STREAM_REPLICAS", 1, "a number from 1 to 5")?,
            stream_max_mib: value(
                environment,
                "UPLINE_STREAM_MAX_MIB",
                0,
                "a number of MiB, 0 for no limit of their own",
            )?,
            drain: Duration::from_secs(drain),
            pipelines,
        })
    }
}

/// Refuses variables of the program's name space that nobody reads.
fn check_names(environment: &Environment, pipelines: &Pipelines) -> Result<(), ConfigError> {
    let secrets = pipelines.stores.iter().flat_map(|store| &store.variables);
    let known: Vec<&str> =
        secrets.map(String::as_str).chain(VARIABLES.iter().map(|(name, _)| *name)).collect();
    let stray = environment
        .names()
        .filter(|name| name.starts_with("UPLINE_"))
        .find(|name| !known.contains(&name.strip_suffix("_FILE").unwrap_or(name)));
    stray.map_or(Ok(()), |name| Err(ConfigError::Unknown(name.to_owned())))
}

/// A URL for people to read: user, password and query masked; what is no URL is masked whole.
pub fn masked(url: &SecretString) -> String {
    let url = url.expose_secret();
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?***"),
        None => (rest, ""),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::AdmissionConfig;

    const PLAN: &str = r#"
        id = "p"
        version = 1
        effective_from = "2020-01-01T00:00:00Z"
        rounding = "half_even"
        [[component]]
        kind = "direct"
        id = "direct"
        inactive_referrer = "breakage"
        rates = { a = "20 %" }
    "#;
    const PIPELINE: &str = r#"
        plans = ["plan.toml"]
        plan = "p"
        [[store]]
        name = "acme"
        platform = "shopify"
        secrets = ["UPLINE_ACME_SECRET"]
    "#;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, pipeline: &str) -> Self {
            let path = env::temp_dir().join(format!("upline-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("pipelines")).unwrap();
            fs::write(path.join("pipelines/shop.toml"), pipeline).unwrap();
            fs::create_dir_all(path.join("pipelines/plans")).unwrap();
            fs::write(path.join("pipelines/plan.toml.txt"), PLAN).unwrap();
            Self(path.join("pipelines"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(self.0.parent().unwrap()).unwrap();
        }
    }

    fn load(name: &str, pipeline: &str, environment: &Environment) -> Result<Config, String> {
        let pipeline = pipeline.replace("plan.toml", "plan.toml.txt");
        let folder = Folder::new(name, &pipeline);
        Config::load_from(environment, &folder.0).map_err(|e| crate::stream::chain(&e))
    }

    fn secret() -> Environment {
        Environment::default().with("UPLINE_ACME_SECRET", "hush")
    }

    #[test]
    fn the_defaults_are_local() {
        let config = load("defaults", PIPELINE, &secret()).unwrap();
        assert_eq!(config.http, local(8080));
        assert!(config.services.need_stack());
        assert_eq!(config.pipelines.stores[0].name.as_str(), "acme");
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let error = load("variable", PIPELINE, &secret().with("UPLINE_HTTP_ADR", "x")).unwrap_err();
        assert!(error.contains("UPLINE_HTTP_ADR"), "{error}");
        let misspelt = PIPELINE.replace("secrets", "secret");
        let error = load("field", &misspelt, &secret()).unwrap_err();
        assert!(error.contains("secret"), "{error}");
    }

    #[test]
    fn a_missing_secret_names_its_variable() {
        let error = load("secret", PIPELINE, &Environment::default()).unwrap_err();
        assert!(error.contains("UPLINE_ACME_SECRET"), "{error}");
    }

    #[test]
    fn a_store_pays_in_the_currency_of_its_plan() {
        let load = |plan: &str, store: &str| {
            let pipeline = PIPELINE.replace("plan.toml", "plan.toml.txt");
            let folder = Folder::new("payout", &format!("{pipeline}\n{store}"));
            fs::write(folder.0.join("plan.toml.txt"), format!("{plan}\n{PLAN}")).unwrap();
            let config = Config::load_from(&secret(), &folder.0);
            config.map(drop).map_err(|error| crate::stream::chain(&error))
        };
        let (euro, dollar) = ("payout_currency = \"EUR\"", "currency = \"USD\"");
        assert_eq!(load("", euro), Ok(()));
        assert_eq!(load(dollar, ""), Ok(()));
        assert_eq!(load(dollar, "payout_currency = \"USD\""), Ok(()));
        let error = load(dollar, euro).unwrap_err();
        assert!(error.contains("acme") && error.contains("differs from USD"), "{error}");
    }

    #[test]
    fn a_store_without_any_key_is_refused_and_told_which_keys_there_are() {
        let keys = include_str!("ingest/tests/adobe.json");
        let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
        let magento = |adobe: &str| {
            let store = PIPELINE.replace("shopify", "magento");
            store.replace(r#"secrets = ["UPLINE_ACME_SECRET"]"#, adobe)
        };
        let load = |adobe: &str, key: &str| {
            let folder =
                Folder::new("adobe", &magento(adobe).replace("plan.toml", "plan.toml.txt"));
            fs::write(folder.0.join("key.pem"), key).unwrap();
            let config = Config::load_from(&Environment::default(), &folder.0);
            config.map_err(|error| crate::stream::chain(&error))
        };
        let whole = r#"adobe = { client_id = "id", keys = ["key.pem"] }"#;
        let config = load(whole, keys["keys"][0].as_str().unwrap()).unwrap();
        let adobe = config.pipelines.stores[0].adobe.clone().unwrap();
        assert_eq!((&*adobe.client_id, adobe.keys.len()), ("id", 1));
        for (adobe, names) in [
            ("", &["acme", "`secrets`", "`adobe`"][..]),
            (r#"adobe = { keys = ["key.pem"] }"#, &["client_id"]),
            (r#"adobe = { client_id = " ", keys = ["key.pem"] }"#, &["acme", "client_id"]),
            (r#"adobe = { client_id = "id", keys = [] }"#, &["acme", "keys"]),
            (r#"adobe = { client_id = "id", keys = ["none.pem"] }"#, &["none.pem"]),
            (whole, &["key.pem", "1024 bits"]),
        ] {
            let error = load(adobe, keys["unusable"]["short"].as_str().unwrap()).unwrap_err();
            assert!(names.iter().all(|name| error.contains(name)), "{adobe}: {error}");
        }
        let folder = Folder::new("adobe-elsewhere", &format!("{PIPELINE}\n{whole}"));
        let text = fs::read_to_string(folder.0.join("shop.toml")).unwrap();
        fs::write(folder.0.join("shop.toml"), text.replace("plan.toml", "plan.toml.txt")).unwrap();
        let error = Config::load_from(&secret(), &folder.0).unwrap_err();
        assert!(crate::stream::chain(&error).contains("Magento stores only"));
    }

    #[test]
    fn limits_must_agree() {
        let limited = format!("{PIPELINE}\n[limits]\nbatch = 10\nin_flight = 5\n");
        let error = load("limits", &limited, &secret()).unwrap_err();
        assert!(error.contains("in_flight"), "{error}");
        let admission = |keys: &str| {
            let limited = format!("{PIPELINE}\n[limits]\n{keys}\n");
            load("admission", &limited, &secret()).map(|config| config.pipelines.limits.admission())
        };
        for (keys, field) in [
            ("webhooks_in_flight = 0", "webhooks_in_flight must be above zero"),
            ("target_wait_ms = 2000\noutage_wait_seconds = 3", "outage_wait_seconds must be"),
            ("backlog_max = 999", "backlog_max must be"),
        ] {
            let error = admission(keys).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
        let set = "webhooks_in_flight = 7\nstore_reserve = 2\ntarget_wait_ms = 0\n\
                   outage_wait_seconds = 9\nbacklog_max = 5000";
        let wanted = AdmissionConfig {
            in_flight: std::num::NonZeroUsize::new(7).unwrap(),
            store_reserve: 2,
            target_wait: Duration::ZERO,
            outage_wait: Duration::from_secs(9),
            backlog_max: 5000,
        };
        assert_eq!(admission(set).unwrap(), wanted);
        assert_eq!(admission("batch = 10").unwrap(), AdmissionConfig::default());
    }

    #[test]
    fn urls_are_shown_without_password() {
        let url = |text: &str| masked(&text.to_owned().into());
        assert_eq!(url("postgres://me:pw@db:5432/x"), "postgres://***@db:5432/x");
        assert_eq!(url("http://127.0.0.1:8123"), "http://127.0.0.1:8123");
        assert_eq!(url("postgres://db/x?user=me&password=pw"), "postgres://db/x?***");
        assert_eq!(url("host=db user=me password=pw"), "***");
    }

    #[test]
    fn a_secret_file_that_cannot_be_read_is_no_unset_variable() {
        let environment =
            Environment::default().with("UPLINE_DATABASE_URL_FILE", "/nowhere/at/all");
        let error = Services::load(&environment).unwrap_err().to_string();
        assert!(error.contains("UPLINE_DATABASE_URL_FILE"), "{error}");
    }
}
