//! The allocator, and how long it keeps what was freed.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

/// Of every program with the product in it, so that a benchmark of its server has the server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds for which freed memory stays with the process. With the allocator's own 10, what one batch of events has used
/// is given back before the next one comes, and taking it again is a tenth of what the server spends on an event.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "100");

/// Runs a program with the allocator's settings, unless the environment has others. The allocator reads them before `main`:
/// so the process begins anew, once. Where it cannot, it goes on without them.
pub fn run(main: impl FnOnce() -> ExitCode) -> ExitCode {
    let (name, value) = PURGE_DELAY;
    if env::var_os(name).is_none()
        && let Ok(program) = env::current_exe()
    {
        // Returns only if it fails.
        drop(Command::new(program).args(env::args_os().skip(1)).env(name, value).exec());
    }
    main()
}
