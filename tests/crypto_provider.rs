//! A program that chooses a crypto provider of rustls keeps it. In a process of its own, for there is one choice.

use rustls::crypto::{CryptoProvider, ring};
use tower_memolock::RedisStore;

#[tokio::test]
async fn the_provider_that_the_program_chose_stays() {
    let mut chosen = ring::default_provider();
    chosen.cipher_suites.truncate(1);
    assert!(chosen.install_default().is_ok());
    // No server listens there, and none has to.
    let store = RedisStore::connect("rediss://127.0.0.1:1").await;
    assert!(store.is_ok(), "{store:?}");
    let provider = CryptoProvider::get_default().expect("a provider");
    assert_eq!(provider.cipher_suites.len(), 1);
}
