//! says: `u64` is not a codec
//! says: `MemoLock<Json<T>>`, made by `MemoLock::json`

use tower_memolock::MemoLock;

struct AppState {
    likes: MemoLock<u64>,
}

fn main() {}
