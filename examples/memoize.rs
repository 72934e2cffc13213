//! The core without HTTP: memoize any async computation.
//!
//! ```text
//! cargo run --example memoize
//! ```

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
// A `println!` that does not panic when standard output is closed.
use support::println;
use tower_memolock::{MemoLock, MemoryStore};

const USAGE: &str = "\
Usage: memoize

Counts likes for a hundred callers at once, for one later, and once more when they have changed.

  --help   this text";

/// Stands for a query that takes its time.
async fn count_likes(user: &'static str) -> io::Result<Bytes> {
    println!("  querying the database for {user}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(format!("{user} has 42 likes").into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    support::read_nothing(USAGE);

    // The tag and the id make the name `likes:kristoff`, under which every node of a cluster finds the value.
    let likes = MemoLock::new(MemoryStore::new(), "likes").ttl(Duration::from_secs(60));

    println!("a hundred ask at once:");
    let started = Instant::now();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let likes = likes.clone();
            tokio::spawn(async move { likes.get_or_compute("kristoff", || count_likes("kristoff")).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await??, "kristoff has 42 likes");
    }
    println!("  all answered after {} ms\n", started.elapsed().as_millis());

    println!("one asks later:");
    let value = likes.get_or_compute("kristoff", || count_likes("kristoff")).await?;
    println!("  {}, without a query\n", String::from_utf8_lossy(&value));

    println!("one asks after a user has liked something:");
    likes.invalidate("kristoff").await?;
    let value = likes.get_or_compute("kristoff", || count_likes("kristoff")).await?;
    println!("  {}\n", String::from_utf8_lossy(&value));

    let stats = likes.stats();
    println!(
        "{} computations, {} callers who waited for one, {} who found the value stored",
        stats.led, stats.followed, stats.hits
    );
    Ok(())
}
