//! How much memory an operation takes as long as it lasts.

use super::address;
use crate::store::Store;
use crate::store::redis::RedisStore;

#[tokio::test]
async fn a_look_up_takes_little_memory() {
    // Nothing listens there.
    let store = RedisStore::connect("redis://127.0.0.1:1").await.unwrap();
    let address = address("{a}");
    let size = size_of_val(&store.lookup(&address));
    assert!(size <= 800, "{size} bytes");
}
