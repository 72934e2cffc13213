//! says: `&MemoryStore` is not a store
//! says: its clones are handles on the same one: `store.clone()`

use tower_memolock::{MemoLock, MemoryStore};

fn main() {
    let store = MemoryStore::new();
    let _ = MemoLock::new(&store, "likes");
}
