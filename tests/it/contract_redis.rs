//! The contract on `RedisStore`: two connections to one server.

use tower_memolock::RedisStore;

use crate::support::RedisServer;
use tower_memolock::store::contract::{self, for_each_clause};

async fn connect(server: &RedisServer) -> RedisStore {
    server.store().await
}

macro_rules! tests {
    ($($clause:ident)*) => {$(
        #[tokio::test]
        async fn $clause() {
            let server = RedisServer::start();
            let (one, two) = (connect(&server).await, connect(&server).await);
            contract::$clause(one, two).await;
        }
    )*};
}
for_each_clause!(tests);
tests!(addresses_without_a_hash_tag_do_not_interfere);
