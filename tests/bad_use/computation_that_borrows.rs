//! says: borrowed data escapes
//! says: 'static

use std::io;

use tower_memolock::{MemoLock, MemoryStore};

async fn count(likes: &MemoLock, user: &str) {
    let _ = likes.get_or_compute(user, || async { Ok::<_, io::Error>(user.to_owned().into()) }).await;
}

fn main() {
    let _ = count(&MemoLock::new(MemoryStore::new(), "likes"), "kristoff");
}
