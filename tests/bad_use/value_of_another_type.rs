//! says: Result<Bytes,
//! says: Result<String,

use std::io;

use tower_memolock::{MemoLock, MemoryStore};

fn main() {
    let likes = MemoLock::new(MemoryStore::new(), "likes");
    let _ = likes.get_or_compute("kristoff", || async { Ok::<_, io::Error>(String::new()) });
}
