//! [`FaultProxy`]: the way between the nodes and Redis, with the faults that a test orders.
//!
//! It understands RESP 2 and 3 in both directions, so that a fault hits whole messages: the reply to one command, a
//! message of one channel. What it does follows from the orders and from what flows through it, never from chance, and
//! every order counts how often it was carried out.
//!
//! ```ignore
//! let proxy = FaultProxy::start(redis.port()).await;
//! let lost = proxy.inject(Target::messages().naming("/notif:"), Fault::Drop);
//! // .. nodes that connect to proxy.url() ..
//! lost.happened(1).await;
//! proxy.heal();
//! proxy.link(Plane::Commands, Link::Silent);
//! ```

mod connection;
mod frame;
mod proxy;
mod rule;

pub(crate) use self::proxy::{Cut, FaultProxy, Link, Plane};
pub(crate) use self::rule::{Fault, Injection, Target};
