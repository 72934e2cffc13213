//! [`python`]: the interpreter for the tests' programs in Python.

use std::path::PathBuf;

/// The interpreter with the packages of `tests/python/requirements.txt`: `MEMOLOCK_PYTHON`, or the one that
/// `tests/python/setup.sh` makes.
///
/// # Panics
///
/// If there is none: nothing that has to be tested is left out.
pub(crate) fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("MEMOLOCK_PYTHON") {
        return python.into();
    }
    // The test program is in `deps` of a profile, and that in the target directory or in a target's part of it.
    let test = std::env::current_exe().expect("the path of the test program");
    let made = test.ancestors().map(|dir| dir.join("python/bin/python"));
    let mut made = made.skip(3).take(2).filter(|python| python.exists());
    made.next()
        .expect("no Python for the tests in the target directory: run tests/python/setup.sh")
}
