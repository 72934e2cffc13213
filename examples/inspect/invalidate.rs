//! `invalidate`: makes values out of date, on every node.

use support::println;
use tower::BoxError;
use tower_memolock::{Key, MemoLock};

use super::options::What;
use super::server::Server;
use super::text::{NAME, from_plain, plain};

/// Returns once it holds everywhere.
pub(crate) async fn invalidate(server: &Server, what: What) -> Result<(), BoxError> {
    let memo = MemoLock::new(server.store.clone(), server.tag.clone());
    match what {
        What::Keys(keys) => {
            for key in keys {
                let meant = from_plain(&key).and_then(|key| String::from_utf8(key).ok());
                let id = Key::new(meant.unwrap_or(key))?;
                memo.invalidate(id.clone()).await?;
                println!("invalidated {}", plain(id.as_str().as_bytes(), NAME));
            }
        }
        What::Tagged(tags) => {
            memo.invalidate_tags(&tags).await?;
            for tag in tags {
                println!("invalidated everything tagged {}", plain(tag.as_bytes(), NAME));
            }
        }
        What::All => {
            memo.stamped(true).invalidate_all().await?;
            println!("invalidated everything with a stamp");
        }
    }
    Ok(())
}
