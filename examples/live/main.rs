//! A page that shows what the layer does: three nodes, a herd of clients, and buttons to break things.
//!
//! ```text
//! cargo run --example live
//! cargo run --example live -- --redis redis://127.0.0.1
//! ```
//!
//! Open the address that it prints. Every number on the page is counted: the requests are real ones over HTTP, what became
//! of each says its `Cache-Status`, and the handler counts its own calls.
//!
//! 1. `node.rs`: one node, with the layer;
//! 2. `fleet.rs`: three of them, as threads (`thread.rs`) or as processes of this program (`process.rs`), which come back;
//! 3. `link.rs`: the way to Redis, which the page freezes and cuts;
//! 4. `clients.rs`: herds and steady load; `outcome.rs`: what became of a request;
//! 5. `board.rs` and `state.rs`: what is known; `key.rs`, `nodes.rs`, `lanes.rs`, `counts.rs`: its parts; `story.rs`: the sentence;
//! 6. `stage.rs`: what the buttons do; `page.rs` and `page.html`: the page.

mod board;
mod clients;
mod counts;
mod errand;
mod fleet;
mod key;
mod lanes;
mod link;
mod node;
mod nodes;
mod options;
mod outcome;
mod page;
mod process;
mod stage;
mod state;
mod story;
mod switches;
mod thread;
mod times;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tower::BoxError;
use tower_memolock::{MemoryStore, RedisStore, Tag};
use tracing_subscriber::filter::LevelFilter;

use self::board::Board;
use self::fleet::{Fleet, Kind};
use self::link::RedisLink;
use self::options::{Options, Server};
use self::stage::Stage;
use support::println;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        // What the nodes have to say while the page breaks things, the page says.
        .with_max_level(LevelFilter::ERROR)
        .init();
    let result = match options {
        Options::Serve { listen, redis } => serve(listen, redis).await,
        Options::Node { number, redis } => process::be_node(number, &redis).await,
    };
    support::exit_code(result)
}

async fn serve(listen: SocketAddr, redis: Option<Server>) -> Result<(), BoxError> {
    let stop = support::shutdown();
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|e| format!("cannot listen on {listen}: {e}"))?;
    let board = Arc::new(Board::new(redis.is_some()));
    let (kind, link) = match redis {
        None => (Kind::Threads(MemoryStore::new()), None),
        Some(server) => {
            let store = RedisStore::builder(server.url()).require_connected().connect().await?;
            store.check(&Tag::new(node::TAG)?).await?;
            drop(store);
            let link = RedisLink::start(server.address(), &board).await?;
            (Kind::Processes(server.url_at(link.address())), Some(link))
        }
    };
    let fleet = Fleet::start(&kind, &board);
    let app = page::routes(Stage::new(Arc::clone(&board), fleet, link));
    tokio::select! {
        result = async {
            board.all_up().await?;
            println!("listening on http://{}", listener.local_addr()?);
            Ok::<_, BoxError>(axum::serve(listener, app).await?)
        } => result,
        // Pages that watch would watch for ever.
        () = stop => Ok(()),
    }
}
