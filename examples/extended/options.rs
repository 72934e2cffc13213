//! The command line.

use std::net::SocketAddr;

use support::{Args, Error, read_args, redis_url_of_environment};

const USAGE: &str = "\
Usage: extended --listen ADDR --redis URL
       extended --worker WORD --redis URL

Serves what takes long, to any number of clients of any number of these servers at once:

  /query/simple/ID       two seconds of work, kept for five
  /report/renewable/ID   eight seconds of work, under a lease of five that is renewed in time
  /report/oh-no/ID       the same, renewed too late
  /ext/stemmer/WORD      the stem of an English word, which a process of its own finds
  /ext/joke              whatever a user says with redis-cli: SET ext:joke 700 EX 10
                                                                PUBLISH ext/notif:joke 700

  --listen ADDR   where to listen; port 0 takes a free one
  --redis URL     the Redis that they all share        [default: REDIS_URL of the environment]
  --worker WORD   be that process of its own: stem the word, resolve ext:WORD, and end
  --help          this text";

/// What the command line asks for.
pub(crate) enum Options {
    Serve { listen: SocketAddr, redis: String },
    Work { word: String, redis: String },
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut listen, mut redis, mut word) = (None, None, None);
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = Some(args.address()?),
                    "--redis" => redis = Some(args.redis_url()?),
                    "--worker" => word = Some(args.text("a word")?),
                    _ => return Err(args.unknown()),
                }
            }
            let redis = match redis {
                Some(redis) => redis,
                None => redis_url_of_environment()?.ok_or_else(no_redis)?,
            };
            match (listen, word) {
                (Some(listen), None) => Ok(Self::Serve { listen, redis }),
                (None, Some(word)) => Ok(Self::Work { word, redis }),
                (None, None) => Err(Args::missing("--listen", "an address")),
                (Some(_), Some(_)) => Err("--listen and --worker exclude each other".into()),
            }
        })
    }
}

/// What others resolve is resolved there.
fn no_redis() -> Error {
    Args::missing(
        "--redis",
        "the address of the Redis through which all programs of this demo share",
    )
}
