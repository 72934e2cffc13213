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
        if has_moved(&sentinels, &dialer).await {
            check.notify_one();
            hub.check();
        }
    }
}

/// Whether the master is elsewhere by now, as it says itself. Takes note of where.
async fn has_moved(sentinels: &Sentinels, dialer: &Dialer) -> bool {
    let Ok(candidates) = sentinels.candidates().await else {
        return false;
    };
    let Some(likeliest) = candidates.into_iter().next() else {
        return false;
    };
    // This takes note of a server that is a master.
    !sentinels.is_at(&likeliest) && dialer.commands_at(&likeliest).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::conn::address::ServerUrl;
    use crate::store::redis::tests::scripted::{ScriptedServer, array, bulk, hello};

    const LONG: Duration = Duration::from_secs(9);

    async fn server(role: &'static str) -> ScriptedServer {
        ScriptedServer::start(move |words| (words[0] == "HELLO").then(|| hello(role))).await
    }

    fn dialer(server: &ScriptedServer) -> Dialer {
        Dialer::new(ServerUrl::read(&server.url()).unwrap(), LONG, LONG)
    }

    /// A sentinel that names this server as the master.
    async fn naming(server: &ScriptedServer) -> (Arc<Sentinels>, ScriptedServer) {
        let (host, port) = server.endpoint();
        let master = array(&[bulk(&host), bulk(&port.to_string())]);
        let sentinel = ScriptedServer::start(move |words| (words[0] == "SENTINEL").then(|| master.clone())).await;
        (Arc::new(Sentinels::new("m".to_owned(), [dialer(&sentinel)])), sentinel)
    }

    #[tokio::test]
    async fn a_master_is_believed_once_it_says_so_and_asked_only_when_it_is_another_one() {
        for (role, is_master) in [("master", true), ("slave", false)] {
            let (old, new) = (server("master").await, server(role).await);
            let (sentinels, _sentinel) = naming(&new).await;
            let dialer = dialer(&old).through(Arc::clone(&sentinels));
            sentinels.saw(old.endpoint());
            assert_eq!(has_moved(&sentinels, &dialer).await, is_master);
            assert_eq!(sentinels.is_at(&new.endpoint()), is_master);
            assert!(new.heard(|_| true) > 0);
        }
        let old = server("master").await;
        let (sentinels, _sentinel) = naming(&old).await;
        sentinels.saw(old.endpoint());
        assert!(!has_moved(&sentinels, &dialer(&old).through(Arc::clone(&sentinels))).await);
        assert_eq!(old.heard(|_| true), 0);
    }
}
