//! The contract on `MemoryStore`: two clones.

use tower_memolock::MemoryStore;

use tower_memolock::store::contract::{self, for_each_clause};

macro_rules! tests {
    ($($clause:ident)*) => {$(
        #[tokio::test]
        async fn $clause() {
            let store = MemoryStore::new();
            contract::$clause(store.clone(), store).await;
        }
    )*};
}
for_each_clause!(tests);
tests!(addresses_without_a_hash_tag_do_not_interfere);
