//! `portcullis serve`: the server itself.

use super::config_flags::ConfigFlags;
use super::error::CliError;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis serve                                     the current kubeconfig context, a self-made certificate
  portcullis serve --kubeconfig admin.yaml --context staging
  portcullis serve --config /etc/portcullis/config.yaml
  portcullis serve --tls-cert tls.crt --tls-key tls.key --listen 0.0.0.0:443

Every key of the configuration file has an environment variable; flags win over it.
`portcullis check-config` shows them all with their values and sources.";

/// Runs the server until it is told to stop.
pub(super) fn run(flags: &ConfigFlags) -> Result<(), CliError> {
    let resolution = flags.resolve()?;
    let log = &resolution.config.log;
    crate::telemetry::init_logging(log.format, &log.level)?;
    let flags = flags.clone();
    Ok(crate::server::serve(resolution, Box::new(move || flags.read()))?)
}
