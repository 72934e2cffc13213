//! What a memolock tag has in a Redis, for people: what is stored, which locks are held, and what is announced.
//!
//! ```text
//! cargo run --example inspect -- --redis redis://127.0.0.1 --tag report
//! cargo run --example inspect -- --redis redis://127.0.0.1 --tag report show '{GET /report/42 :-:authority}'
//! cargo run --example inspect -- --redis redis://127.0.0.1 --tag report watch
//! ```
//!
//! It reads what any member of the memolock family has written, and shows no body unless it is told to. Whatever is
//! printed has its control characters escaped, and an end.
//!
//! 1. `server.rs`: what is asked of Redis; `deployment.rs`: which servers that is;
//! 2. `entry.rs`: what a value is; `notice.rs`: what a message says;
//! 3. `list.rs`, `show.rs`, `watch.rs`, `invalidate.rs`: the commands; `text.rs`: how things are written; `json.rs`: the same
//!    for programs.

mod deployment;
mod entry;
mod invalidate;
mod json;
mod list;
mod notice;
mod options;
mod server;
mod show;
mod text;
mod watch;

use std::process::ExitCode;

use tower::BoxError;

use self::options::{Command, Options};
use self::server::Server;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    let stop = support::shutdown();
    let result = tokio::select! {
        result = run(options) => result,
        () = stop => Ok(()),
    };
    support::exit_code(result)
}

async fn run(options: Options) -> Result<(), BoxError> {
    let mut server = Server::connect(&options.redis, options.tag).await?;
    match options.command {
        Command::List if options.json => json::values(&mut server, options.limit).await,
        Command::List => list::values(&mut server, options.limit).await,
        Command::Locks if options.json => json::locks(&mut server, options.limit).await,
        Command::Locks => list::locks(&mut server, options.limit).await,
        Command::Show(key) if options.json => json::show(&mut server, &key, options.body).await,
        Command::Show(key) => show::show(&mut server, &key, options.body).await,
        Command::Watch => watch::watch(&server).await,
        Command::Invalidate(what, manner) => invalidate::invalidate(&server, what, manner).await,
    }
}
