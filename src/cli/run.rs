//! `drawspan run`: the gateway itself.

use super::config_file::ConfigError;
use super::flags::RunArgs;
use super::{Exit, config_file, control_folder, surroundings};
use crate::app::{self, Ending, StartError};
use crate::config::{Config, LogFormat};
use crate::telemetry::diagnostics::{self, Format, Guard};

/// Runs until SIGTERM or SIGINT. What is wrong with the configuration or the surroundings is
/// said on stderr before anything runs.
pub fn run(args: &RunArgs) -> Exit {
    let environment = config_file::environment();
    let loaded = match args.load(&environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{}", error.told());
            return Exit::Usage;
        }
    };
    let _diagnostics = match set_up_diagnostics(&loaded.config) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Exit::Usage;
        }
    };
    let problems = surroundings::problems(&loaded, &environment);
    if !problems.is_empty() {
        let from =
            args.config.as_ref().map_or_else(|| "drawspan".into(), |p| p.display().to_string());
        eprintln!("{}", ConfigError::Wrong { from, problems }.told());
        eprintln!("error: drawspan did not start");
        return Exit::Usage;
    }
    let control = &loaded.config.control.path;
    if *control == environment.control_path()
        && let Err(error) = control_folder::make(control, environment.uid)
    {
        eprintln!("error: drawspan did not start: {error}");
        return Exit::Usage;
    }
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    match app::start(loaded.config, warnings) {
        Ok(gateway) => match gateway.run() {
            Ok(Ending::Clean | Ending::Cut) => Exit::True,
            Ok(Ending::WorkerLost) => Exit::Internal,
            Err(error) => {
                eprintln!("error: cannot wait for signals: {error}");
                Exit::Internal
            }
        },
        Err(error) => {
            eprintln!("error: drawspan did not start: {error}");
            exit_of(&error)
        }
    }
}

fn set_up_diagnostics(config: &Config) -> anyhow::Result<Guard> {
    let format = match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let level = config.log.level.as_str().to_owned();
    Ok(diagnostics::init(&diagnostics::Settings { format, level })?)
}

/// What the operator can put right in configuration or surroundings is usage.
fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::StateDir { .. }
        | StartError::Journal { .. }
        | StartError::Listen(_)
        | StartError::Admin(_)
        | StartError::Control(_)
        | StartError::Group(_)
        | StartError::Notice(_)
        | StartError::AccessLog(_) => Exit::Usage,
        StartError::Metrics(_) | StartError::Thread(_) => Exit::Internal,
    }
}
