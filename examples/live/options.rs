//! The command line.

use std::net::SocketAddr;

use support::{Error, read_args, redis_url_of_environment};

const USAGE: &str = "\
Usage: live [--listen ADDR] [--redis URL]

Serves a page that shows three nodes, which share the responses of a slow handler, and a herd of clients; with buttons
that kill the leader, freeze Redis and more.

  --listen ADDR   where to listen; port 0 takes a free one   [default: 127.0.0.1:3000]
  --redis URL     three processes share through this Redis; without it, three nodes share through a store in this process
  --help          this text";

/// What the command line asks for.
pub(crate) enum Options {
    Serve {
        listen: SocketAddr,
        redis: Option<Server>,
    },
    /// The program starts its nodes like this.
    Node {
        number: usize,
        redis: String,
    },
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut listen, mut redis, mut node) = (SocketAddr::from(([127, 0, 0, 1], 3000)), None, None);
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = args.address()?,
                    "--redis" => redis = Some(args.redis_url()?),
                    "--node" => node = Some(args.count()?),
                    _ => return Err(args.unknown()),
                }
            }
            let Some(number) = node else {
                let redis = redis.as_deref().map(Server::new).transpose()?;
                return Ok(Self::Serve { listen, redis });
            };
            let redis = redis_url_of_environment()?.ok_or("--node is for the program itself")?;
            Ok(Self::Node { number, redis })
        })
    }
}

/// The URL of a Redis server, taken apart so that it can name another address.
pub(crate) struct Server {
    /// User name and password, with the `@`.
    login: String,
    host: String,
    port: u16,
    /// The path, which is the number of the database, and what follows.
    rest: String,
}

impl Server {
    fn new(url: &str) -> Result<Self, Error> {
        let Some(without_scheme) = url.strip_prefix("redis://") else {
            return Err(
                "--redis takes an address like redis://127.0.0.1:6379 here: the page cuts the connection".into(),
            );
        };
        let end = without_scheme.find(['/', '?']).unwrap_or(without_scheme.len());
        let (authority, rest) = without_scheme.split_at(end);
        let login = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, server) = authority.split_at(login);
        let port_at = server.rfind(':').filter(|at| !server[*at..].contains(']'));
        let (host, port) = match port_at {
            Some(at) => (
                &server[..at],
                server[at + 1..].parse().map_err(|_| "--redis: not a port")?,
            ),
            None => (server, 6379),
        };
        Ok(Self {
            login: login.to_owned(),
            host: host.to_owned(),
            port,
            rest: rest.to_owned(),
        })
    }

    /// The server itself.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}{}", self.login, self.address()) + &self.rest
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same, by way of another address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("redis://{}{address}{}", self.login, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_takes_the_place_of_host_and_port_alone() {
        let address = SocketAddr::from(([127, 0, 0, 1], 99));
        for (url, there, elsewhere) in [
            ("redis://h", "h:6379", "redis://127.0.0.1:99"),
            ("redis://h:1/2", "h:1", "redis://127.0.0.1:99/2"),
            ("redis://u:p%40@h:1?x=y", "h:1", "redis://u:p%40@127.0.0.1:99?x=y"),
            ("redis://:a@[::1]/0", "[::1]:6379", "redis://:a@127.0.0.1:99/0"),
        ] {
            let server = Server::new(url).unwrap();
            assert_eq!(server.address(), there);
            assert_eq!(server.url_at(address), elsewhere);
        }
        assert!(Server::new("rediss://h").is_err());
    }
}
