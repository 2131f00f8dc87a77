// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// What the help ends with.
const MORE: &str = "\
EXAMPLES
  twzd                            keep the threads of the default pool
  twzd --pool /srv/pool --once    start each once, and wait for their ends
  twzd --serve                    hold the host's keys as well
  twzd --serve --no-threads       hold the host's keys, and nothing else

CONFIGURATION
  # /etc/twz/twzd.toml: root and the user that twzd runs as may do everything.
  audit-limit = 16777216
  [[allow]]
  users = [\"www-data\"]
  groups = [\"web\"]
  keys = [\"web\"]
  may = [\"attach\", \"grant\", \"delegate\", \"revoke\", \"mask\", \"remove\"]

SIGNALS
  SIGTERM and SIGINT stop the programs that were started here, and end it; they
  stay resumable. SIGHUP has it look at the pool at once.

EXIT CODES
  0  it was told to stop; with --once, all threads are finished
  1  the pool cannot be used; with --once, a thread is not finished";

/// Keep the threads of a pool running
///
/// A thread is a program that is to go on after a power cut: it has registered
/// itself, or was added by 'twz threads add'. Each one that is not finished and
/// does not run is started, as the user whose it is: by root's twzd everybody's,
/// by anybody else's their own only. It is a thread's own object that says what is
/// to be run, so it is believed only where nobody else can have written it.
///
/// It does not fork, and says what it does on the standard error. Where
/// NOTIFY_SOCKET is set, it says there when it is ready and when it stops.
#[derive(Parser)]
#[command(name = "twzd", version, after_help = MORE)]
pub struct Options {
    /// The pool: a directory, or the kernel module's device [default: the one that
    /// 'twz pool info' shows]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub pool: Option<PathBuf>,
    /// Start each thread once, wait until all have ended, and end
    #[arg(long)]
    pub once: bool,
    /// Give up on a thread after so many bad ends in a row; 0 for never
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub attempts: u32,
    /// Wait so long before starting a thread again; after each further bad end
    /// twice as long, up to half a minute
    #[arg(long, value_name = "MS", value_parser = millis, default_value = "200")]
    pub backoff: Duration,
    /// An end after so long is no further one in the row
    #[arg(long, value_name = "MS", value_parser = millis, default_value = "10000")]
    pub settled: Duration,
    /// Look so often for threads that are new, or that others have lost
    #[arg(long, value_name = "MS", value_parser = millis, default_value = "1000")]
    pub rescan: Duration,
    /// When told to stop, give the programs so long to end by themselves
    #[arg(long, value_name = "MS", value_parser = millis, default_value = "5000")]
    pub grace: Duration,
    /// Believe the threads of a device that users other than root may open, except
    /// one that says it is root's: each of those users can have programs run as any
    /// other
    #[arg(long)]
    pub trust_pool: bool,
    /// Hold the host's keys too, and use them for whom the configuration allows it:
    /// listen at the socket, or at the one that the service manager hands over
    #[arg(long)]
    pub serve: bool,
    /// Leave the threads to another daemon
    #[arg(long, requires = "serve", conflicts_with = "once")]
    pub no_threads: bool,
    /// Where to listen
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath, default_value = twzd::SOCKET)]
    pub socket: PathBuf,
    /// Who may have the host's keys used for what [default: /etc/twz/twzd.toml, if it
    /// is there]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where the host's own key is kept
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, default_value = "/var/lib/twz")]
    pub state: PathBuf,
    /// Write the manual page
    #[arg(long, hide = true)]
    pub manual: bool,
}

fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis) => Ok(Duration::from_millis(millis)),
        Err(_) => Err("a number of milliseconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Options::command().debug_assert();
    }
}
