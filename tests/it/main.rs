//! Tests from outside: the examples as processes, over a real Redis, as a client sees them.

mod acl;
mod cluster;
mod contract;
mod contract_memory;
mod contract_redis;
mod crowd;
mod deferred;
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
mod layer;
mod lookups;
mod memo;
#[cfg(feature = "metrics")]
mod metrics;
mod own_answers;
mod proxy_messages;
mod proxy_silence;
mod redis_cluster;
mod renewable;
mod reverse_proxy;
mod sentinel;
mod shutdown;
mod support;
mod tags;
mod tls;
mod tonic;
mod wire;
