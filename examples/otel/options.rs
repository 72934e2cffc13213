//! The command line.

use std::net::SocketAddr;

use support::{Args, read_args};

const USAGE: &str = "\
Usage: otel --listen ADDR [OPTIONS]

Serves /report/{id}, which takes a moment and is stored for a minute, and sends its spans to a collector.

  --listen ADDR      where to listen; port 0 takes a free one
  --redis URL        share with other servers through this Redis; without it, within this process
  --collector URL    where OTLP over HTTP is taken, as JSON       [default: http://127.0.0.1:4318]
  --node NAME        what this server calls itself in its spans   [default: otel]
  --help             this text";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) redis: Option<String>,
    pub(crate) collector: String,
    pub(crate) node: String,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut listen, mut redis) = (None, None);
            let (mut collector, mut node) = ("http://127.0.0.1:4318".to_owned(), "otel".to_owned());
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = Some(args.address()?),
                    "--redis" => redis = Some(args.redis_url()?),
                    "--collector" => collector = args.text("a URL")?,
                    "--node" => node = args.text("a name")?,
                    _ => return Err(args.unknown()),
                }
            }
            let listen = listen.ok_or_else(|| Args::missing("--listen", "an address"))?;
            Ok(Self {
                listen,
                redis,
                collector,
                node,
            })
        })
    }
}
