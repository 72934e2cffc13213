//! Tests from outside: the examples as processes, over a real Redis, as a client sees them.

mod acl;
#[cfg(all(feature = "admin", feature = "serde"))]
mod admin;
mod capacity;
mod cluster;
mod commands;
mod contract_memory;
mod contract_redis;
mod crowd;
mod crowded_proxy;
mod deferred;
mod endless;
mod events;
mod examples;
mod extended;
mod external;
mod family;
mod family_python;
mod faults;
mod freshness;
mod grpc;
mod guide;
mod inspect;
mod large_failover;
mod large_values;
mod layer;
mod live;
mod lookups;
mod memo;
#[cfg(feature = "metrics")]
mod metrics;
mod misuse;
mod near;
#[cfg(feature = "serde")]
mod otel;
mod outbound;
mod own_answers;
mod proxy_messages;
mod proxy_receipts;
mod proxy_silence;
mod read_along;
mod redis_cluster;
mod renewable;
mod reverse_proxy;
mod sentinel;
mod shutdown;
mod soft;
mod support;
mod tags;
mod tls;
mod tonic;
mod typed;
mod unread;
mod values;
mod wire;
