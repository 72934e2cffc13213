//! Signals to child processes.

use std::process::Command;

/// Sends a signal, `STOP` for instance, to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: there is no program of that name everywhere.
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "could not send SIG{name} to process {pid}"
    );
}
