//! tower-memolock beside other caches for tower, in one program: the same handler, the same requests, in turn.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! Needs `redis-server`. Each figure is the median of some rounds, in each of which every cache has its turn, because
//! times on one machine mean something only beside each other. It prints the tables of the README.

mod caches;
mod floor;
mod handler;
mod hits;
mod server;
mod stampede;

use self::server::Server;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let server = Server::start();
    println!("{}", hits::in_memory().await);
    println!("{}", hits::in_redis(&server).await);
    println!("{}", stampede::in_one_process().await);
    println!("{}", stampede::on_three_nodes(&server).await);
}

/// The median.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
