//! says: future cannot be sent between threads safely
//! says: which is not `Send`

use std::io;
use std::rc::Rc;

use tower_memolock::{MemoLock, MemoryStore};

fn main() {
    let likes = MemoLock::new(MemoryStore::new(), "likes");
    let _ = likes.get_or_compute("kristoff", || async {
        let local = Rc::new(42);
        std::future::ready(()).await;
        Ok::<_, io::Error>(local.to_string().into())
    });
}
