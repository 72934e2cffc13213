//! Signals to child processes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Sends a signal, `STOP` for instance, to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: there is no program of that name everywhere.
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "could not send SIG{name} to process {pid}"
    );
    if name == "STOP" {
        // Each of its threads stops when it is run next, and may do something until then.
        let threads = Path::new("/proc").join(pid.to_string()).join("task");
        while runs(&threads) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether one of these threads is not stopped. Where the system does not say, none.
fn runs(threads: &Path) -> bool {
    let states = fs::read_dir(threads).into_iter().flatten().flatten();
    let states = states.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // Behind the name, in parentheses, which may hold others.
    let state = |stat: &str| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    states
        .filter_map(|stat| state(&stat))
        .any(|state| !"TtZX".contains(state))
}
