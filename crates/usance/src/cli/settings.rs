//! The flags that stand for settings.

use std::path::PathBuf;

use usance_app::config::{Settings, SettingsError, Sources};

/// Flags that win over the environment (`USANCE_…`) and the settings file. They are read with the other sources, so that
/// every error is worded in one place.
#[expect(clippy::doc_markdown, reason = "clap shows the text on a terminal, where backticks are noise")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct SettingsFlags {
    /// TOML file with settings [env: USANCE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Directory of everything that is written [env: USANCE_DATA_DIR] [default: usance-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,

    /// Directory of PostgreSQL's programs, for the private PostgreSQL [env: USANCE_PG_BIN] [default: the newest installed]
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<String>,

    /// What to log: a level, or levels by module such as info,usance_app=debug [env: USANCE_LOG]
    #[arg(long, value_name = "FILTER")]
    pub(super) log: Option<String>,

    /// How to write the log: text or json [env: USANCE_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingsFlags {
    /// Loads the settings with these flags and `more`; the later of two flags with the same key wins.
    pub(super) fn load(self, more: Vec<(&'static str, String)>) -> Result<Settings, SettingsError> {
        let own = [
            ("data_dir", self.data_dir),
            ("pg_bin", self.pg_bin),
            ("log", self.log),
            ("log_format", self.log_format),
        ];
        let given = own.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let flags = given.chain(more).collect();
        Settings::load(Sources { flags, file: self.config, environment: &|name| std::env::var_os(name) })
    }
}
