//! Where values come from. This is the only place that reads our environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors};

/// All sources, read but not interpreted. Tests fill it by hand.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Values of flags by the path of their key.
    pub flags: BTreeMap<&'static str, String>,
    /// The environment; variables that don't concern us may be there.
    pub environment: BTreeMap<String, String>,
    /// The configuration file, if one was named.
    pub file: Option<ConfigFile>,
    /// What some defaults depend on.
    pub host: Host,
}

/// A configuration file's text.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Facts of the machine that defaults depend on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host {
    /// Whether the process runs as root.
    pub superuser: bool,
    /// How many cores it may use.
    pub cores: usize,
}

/// Which source a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag, with its name.
    Flag(&'static str),
    /// An environment variable, with its name.
    Environment(String),
    /// The configuration file.
    File(PathBuf),
    /// The key's own default.
    Default,
}

impl Sources {
    /// The environment of this process and the file named by the flag `--config` or by `PORTCULLIS_CONFIG`.
    pub fn of_process(
        flags: BTreeMap<&'static str, String>,
        config_file: Option<PathBuf>,
    ) -> Result<Self, ConfigErrors> {
        let environment = read_environment(std::env::vars_os())?;
        let named = environment.get(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = match config_file.or(named) {
            Some(path) => Some(read_file(&path)?),
            None => None,
        };
        Ok(Self { flags, environment, file, host: Host::this() })
    }
}

impl Host {
    fn this() -> Self {
        Self {
            // The directory of a process belongs to its effective user; asking libc would need unsafe code.
            superuser: std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

fn read_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigErrors> {
    let mut environment = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, value) in variables {
        // Others' variables may be any bytes, and are nobody's mistake here.
        let Some(name) = name.to_str().filter(|name| concerns_us(name)) else { continue };
        match value.into_string() {
            Ok(value) => drop(environment.insert(name.to_owned(), value)),
            Err(_) => errors.push(ConfigError::NotText(Origin::Environment(name.to_owned()))),
        }
    }
    ConfigErrors::check(errors)?;
    Ok(environment)
}

fn concerns_us(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX) || matches!(name, "HOME" | "XDG_DATA_HOME")
}

fn read_file(path: &Path) -> Result<ConfigFile, ConfigErrors> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(ConfigFile { path: path.to_owned(), text }),
            Err(_) => Err(ConfigError::NotText(Origin::File(path.to_owned())).into()),
        },
        Err(error) => Err(ConfigError::Unreadable(path.to_owned(), error).into()),
    }
}

/// What our variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "PORTCULLIS_";

/// Names the configuration file where no flag does.
pub(super) const CONFIG_VARIABLE: &str = "PORTCULLIS_CONFIG";

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn only_our_own_variables_have_to_be_text() {
        let broken = || OsString::from_vec(vec![0xff]);
        let foreign =
            [(OsString::from("OTHER"), broken()), (OsString::from("PORTCULLIS_LISTEN"), "x".into())];
        let environment = read_environment(foreign.into_iter()).unwrap();
        assert_eq!(environment.into_iter().collect::<Vec<_>>(), [("PORTCULLIS_LISTEN".into(), "x".into())]);

        let ours = [(OsString::from("PORTCULLIS_DATA_DIR"), broken())];
        let errors = read_environment(ours.into_iter()).unwrap_err();
        assert!(errors.to_string().contains("PORTCULLIS_DATA_DIR"), "{errors}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let errors = read_file(Path::new("/nonexistent/portcullis.yaml")).unwrap_err();
        assert!(errors.to_string().contains("/nonexistent/portcullis.yaml"), "{errors}");
    }
}
