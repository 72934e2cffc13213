//! Follows a failover that the connections themselves cannot notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::sentinel::Sentinels;
use crate::store::redis::pubsub::hub::Hub;

/// How often the sentinels are asked whether the master is still the master.
const PERIOD: Duration = Duration::from_secs(1);

/// Asks again and again where the master is, and has both planes check whether they are connected to it.
///
/// A plane cannot rely on its own connection: a master that was cut off goes on as one, and a plane on its side of the
/// gap would stay with it.
pub(crate) async fn keep_looking(sentinels: Arc<Sentinels>, dialer: Dialer, hub: Arc<Hub>, check: Arc<Notify>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Ok(candidates) = sentinels.candidates().await else {
            continue;
        };
        let Some(likeliest) = candidates.into_iter().next() else {
            continue;
        };
        // This takes note of a server that is a master.
        if !sentinels.is_at(&likeliest) && dialer.commands_at(&likeliest).await.is_ok() {
            check.notify_one();
            hub.check();
        }
    }
}
