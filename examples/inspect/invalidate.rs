//! `invalidate`: makes values out of date, on every node.

use support::println;
use tower::BoxError;
use tower_memolock::{Address, Invalidation, Key, MemoLock, Store};

use super::options::{Manner, What};
use super::server::Server;
use super::text::{NAME, from_plain, plain};

/// Returns once it holds everywhere.
pub(crate) async fn invalidate(server: &Server, what: What, manner: Manner) -> Result<(), BoxError> {
    let in_that_manner = |invalidation: Invalidation| match manner {
        Manner::Absent => invalidation,
        Manner::Stale => invalidation.soft(),
    };
    let memo = MemoLock::new(server.store.clone(), server.tag.clone());
    match what {
        What::Keys(keys) => {
            for key in keys {
                let meant = from_plain(&key).and_then(|key| String::from_utf8(key).ok());
                let id = Key::new(meant.unwrap_or(key))?;
                let is_absent = matches!(server.store.lookup(&Address::new(&server.tag, &id)).await, Ok(None));
                in_that_manner(memo.invalidate(id.clone())).await?;
                let name = plain(id.as_str().as_bytes(), NAME);
                match is_absent {
                    true => println!("invalidated {name}, under which nothing was stored"),
                    false => println!("invalidated {name}"),
                }
            }
        }
        What::Tagged(tags) => {
            in_that_manner(memo.invalidate_tags(&tags)).await?;
            for tag in tags {
                println!("invalidated everything tagged {}", plain(tag.as_bytes(), NAME));
            }
        }
        What::All => {
            in_that_manner(memo.stamped(true).invalidate_all()).await?;
            println!("invalidated everything with a stamp");
        }
    }
    Ok(())
}
