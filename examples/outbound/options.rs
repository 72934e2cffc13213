//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;

use support::{Args, Error, redis_url_of_environment};

pub(crate) const USAGE: &str = "\
Usage: outbound [OPTIONS]

Starts a slow API and three callers that ask it for the same at once. Ends with 0 if the API was
called once, with 1 if not. With --redis the callers are processes.

  --redis URL     let the callers share through this Redis; without it, and without REDIS_URL in
                  the environment, through a store in this process
  --client NAME   which HTTP client the layer is around: hyper or reqwest       [default: hyper]
  --work TIME     how long the API takes                                          [default: 1s]
  --serve ADDR    be the API alone, on this address; port 0 takes a free one
  --call URL      be one caller alone, of this URL
  --help          this text";

/// Which part of it this process is.
pub(crate) enum Part {
    All,
    Serve(SocketAddr),
    Call(Uri),
}

/// The client inside the layer.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    Hyper,
    Reqwest,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Reqwest => "reqwest",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Hyper, Self::Reqwest].into_iter().find(|one| one.name() == name)
    }
}

pub(crate) struct Options {
    pub(crate) part: Part,
    pub(crate) redis: Option<String>,
    pub(crate) client: Client,
    pub(crate) work: Duration,
}

pub(crate) fn read_options(args: &mut Args) -> Result<Options, Error> {
    let mut options = Options {
        part: Part::All,
        redis: None,
        client: Client::Hyper,
        work: Duration::from_secs(1),
    };
    while let Some(flag) = args.next_flag()? {
        let part = match flag {
            "--serve" => Part::Serve(args.address()?),
            "--call" => Part::Call(args.http_url()?),
            "--redis" => {
                options.redis = Some(args.redis_url()?);
                continue;
            }
            "--client" => {
                options.client = args.value("hyper or reqwest", Client::named)?;
                continue;
            }
            "--work" => {
                options.work = args.duration()?;
                continue;
            }
            _ => return Err(args.unknown()),
        };
        if !matches!(options.part, Part::All) {
            return Err("--serve and --call are for different processes".into());
        }
        options.part = part;
    }
    if options.redis.is_none() {
        options.redis = redis_url_of_environment()?;
    }
    Ok(options)
}
