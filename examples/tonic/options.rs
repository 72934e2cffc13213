//! The command line.

use std::net::SocketAddr;

use support::{Args, read_args};

const USAGE: &str = "\
Usage: tonic --listen ADDR [OPTIONS]

Serves memolock.demo.v1.Reports; the method Render is memoized for ten seconds.

  --listen ADDR   where to listen; port 0 takes a free one
  --redis URL     share with other servers through this Redis; without it, within this process
  --node NAME     what this server calls itself in its replies   [default: the address]
  --help          this text";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) redis: Option<String>,
    pub(crate) node: Option<String>,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut listen, mut redis, mut node) = (None, None, None);
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = Some(args.address()?),
                    "--redis" => redis = Some(args.redis_url()?),
                    "--node" => node = Some(args.text("a name")?),
                    _ => return Err(args.unknown()),
                }
            }
            let listen = listen.ok_or_else(|| Args::missing("--listen", "an address"))?;
            Ok(Self { listen, redis, node })
        })
    }
}
