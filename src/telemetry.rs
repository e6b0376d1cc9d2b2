//! Logs: to standard error, as text or JSON lines.

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::Environment;

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `UPLINE_LOG` is not a filter.
    #[error("UPLINE_LOG is not a log filter such as info or upline=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// `UPLINE_LOG_FORMAT` is neither of the two.
    #[error("UPLINE_LOG_FORMAT is {0:?}, use text or json")]
    Format(String),
    /// Logging is set up already.
    #[error("logging is set up twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets up logging for the process.
pub fn install(environment: &Environment) -> Result<(), TelemetryError> {
    let filter = environment.get("UPLINE_LOG").unwrap_or("info,async_nats=warn");
    let filter = EnvFilter::try_new(filter).map_err(TelemetryError::Filter)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match environment.get("UPLINE_LOG_FORMAT").unwrap_or("text") {
        "text" => builder.try_init().map_err(TelemetryError::Twice),
        "json" => builder.json().try_init().map_err(TelemetryError::Twice),
        other => Err(TelemetryError::Format(other.to_owned())),
    }
}
