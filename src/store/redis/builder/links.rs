//! The first connection, and whether it is of use.

use std::sync::Arc;
use std::time::Duration;

use crate::store::redis::acl;
use crate::store::redis::conn::capacity;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{DialError, Unroutable};
use crate::store::redis::near::Near;
use crate::store::redis::topology::cluster::Cluster;
use crate::store::redis::topology::link::{Link, Server};

/// A link to one server. An error only where it is of no use to go on trying, or where a connection is required.
pub(super) async fn server(dialer: Dialer, required: bool, near: &Arc<Near>) -> Result<Link, DialError> {
    let mut first = dialer.commands().await;
    if let Ok(connection) = &first {
        match acl::check_commands(&dialer, connection).await {
            Ok(()) => capacity::warn(connection).await,
            Err(error) => first = Err(error),
        }
    }
    match first {
        Err(error) if required || error.is_permanent() => Err(error),
        first => Ok(Link::Server(Box::new(Server::start(dialer, first, near)))),
    }
}

/// A link to a cluster. An error only where it is of no use to go on trying, or where a connection is required.
pub(super) async fn cluster(
    seeds: Vec<Dialer>,
    timeout: Duration,
    connect_timeout: Duration,
    required: bool,
    near: &Arc<Near>,
) -> Result<Link, DialError> {
    let cluster = Cluster::start(seeds, timeout, connect_timeout, Arc::clone(near)).await?;
    if required && cluster.any_node().await.is_err() {
        return Err(DialError::NoView);
    }
    if let Ok((dialer, _)) = cluster.any_node().await
        && let Ok(connection) = dialer.direct().await
    {
        match acl::check_commands(&dialer, &connection).await {
            Ok(()) => capacity::warn(&connection).await,
            Err(error) if error.is_permanent() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Link::Cluster(cluster, Unroutable::default()))
}
