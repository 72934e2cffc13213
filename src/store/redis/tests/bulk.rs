//! The connection for large values.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};

use super::server::Server;
use crate::store::redis::conn::address::ServerUrl;
use crate::store::redis::conn::bulk::{Bulk, BulkError, Transfer};
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::resp::{Command, Reply};

const LONG: Duration = Duration::from_secs(60);

fn bulk(server: &Server) -> Bulk {
    Bulk::new(Dialer::new(ServerUrl::read(&server.url()).unwrap(), LONG, LONG))
}

fn client_id() -> Command {
    let mut command = Command::new("CLIENT");
    command.arg("ID");
    command
}

/// Which connection is in use.
async fn id(bulk: &Bulk) -> i64 {
    match bulk.send(&client_id(), Transfer::Received(0)).await.unwrap() {
        Reply::Int(id) => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_is_used_until_it_breaks_or_is_left() {
    let server = Server::start().await;
    let bulk = bulk(&server);
    let (first, same) = tokio::join!(id(&bulk), id(&bulk));
    assert_eq!((same, id(&bulk).await), (first, first));
    bulk.leave();
    let second = id(&bulk).await;
    assert_ne!(second, first);
    bulk.retire();
    let third = id(&bulk).await;
    assert_ne!(third, second);
    assert_eq!(server.run::<i64>(&format!("CLIENT KILL ID {third}")).await, 1);
    let broken = bulk.send(&client_id(), Transfer::Received(0)).await;
    assert!(matches!(broken, Err(BulkError::Unanswered(_))), "{broken:?}");
    let fourth = id(&bulk).await;
    assert!(fourth != third && fourth == id(&bulk).await);
}

/// A command whose answer does not come, once the server has it.
async fn blocked(server: &Server, bulk: &Arc<Bulk>, clients: usize) -> JoinHandle<Result<Reply, BulkError>> {
    let bulk = Arc::clone(bulk);
    let asking = tokio::spawn(async move {
        let mut command = Command::new("BLPOP");
        command.arg("list").arg("0");
        bulk.send(&command, Transfer::Received(0)).await
    });
    let expected = format!("blocked_clients:{clients}\r");
    while !server.run::<String>("INFO clients").await.contains(&expected) {
        yield_now().await;
    }
    asking
}

#[tokio::test]
async fn what_is_on_its_way_is_given_up_with_its_connection_and_not_when_that_is_left() {
    let server = Server::start().await;
    let bulk = Arc::new(bulk(&server));
    let left = blocked(&server, &bulk, 1).await;
    bulk.leave();
    let retired = blocked(&server, &bulk, 2).await;
    bulk.retire();
    let given_up = retired.await.unwrap();
    assert!(matches!(given_up, Err(BulkError::Unanswered(_))), "{given_up:?}");
    assert_eq!(server.run::<i64>("RPUSH list a").await, 1);
    assert!(matches!(left.await.unwrap(), Ok(Reply::Array(_))));
}

#[tokio::test]
async fn a_connection_is_not_lost_because_one_that_was_left_breaks() {
    let server = Server::start().await;
    let bulk = Arc::new(bulk(&server));
    let former = id(&bulk).await;
    let left = blocked(&server, &bulk, 1).await;
    bulk.leave();
    let current = id(&bulk).await;
    assert_eq!(server.run::<i64>(&format!("CLIENT KILL ID {former}")).await, 1);
    let broken = left.await.unwrap();
    assert!(matches!(broken, Err(BulkError::Unanswered(_))), "{broken:?}");
    assert_eq!(id(&bulk).await, current);
}
