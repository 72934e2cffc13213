//! says: type annotations needed
//! says: consider giving this closure parameter an explicit type

use tower_memolock::{Key, MemoLockLayer, MemoryStore};

fn main() {
    let _ = MemoLockLayer::new(MemoryStore::new(), "report").key(|request| None::<Key>);
}
