use std::error::Error;

use super::*;

/// Server, user, password and database, as the usual client reads them.
fn theirs(url: &str) -> Option<(String, Option<String>, Option<String>, i64)> {
    let info: redis::ConnectionInfo = url.parse().ok()?;
    let settings = info.redis_settings();
    Some((
        info.addr().to_string(),
        settings.username().map(str::to_owned),
        settings.password().map(str::to_owned),
        settings.db(),
    ))
}

fn own(url: &str) -> Option<(String, Option<String>, Option<String>, i64)> {
    let url = ServerUrl::read(url).ok()?;
    Some((url.address.to_string(), url.username, url.password, url.database))
}

const URLS: &[&str] = &[
    "redis://h",
    "redis://h/",
    "REDIS://h/3",
    "valkey://h:1",
    "redis://h:/2/",
    "redis://127.0.0.1:7000/15",
    "redis://[::1]:6380/1",
    "redis://[2001:DB8::0:1]",
    "redis://user:password@h",
    "redis://:password@h:6379",
    "redis://user@h",
    "redis://user:@h",
    "redis://us%65r:p%40%2f%23%zz@h",
    "redis://a@b:c@h",
    "redis://u+v:p+q@h",
    "redis://:%1g%g1%1@h",
    "redis://u:p:q@h",
    "redis://h?protocol=resp3",
    "redis://h/7?protocol=3&x=y",
    "redis://h/1#fragment",
    "redis://some-host.example.com",
    " redis://h \n",
    "redis://h_1",
    "unix:///tmp/redis.sock",
    "unix:/tmp/redis.sock",
    "unix://localhost/tmp/redis.sock",
    "redis+unix:///tmp/a%20b?db=3&user=u&pass=p+q%26",
    "valkey+unix:///tmp/s?pass=&db=0",
    "unix:///tmp/a+b?user=u+v&pass=a=b",
];

const NO_URLS: &[&str] = &[
    "",
    "redis",
    "redis:",
    "redis:h",
    "redis:/h",
    "redis://",
    "redis:///1",
    "redis://:6379",
    "redis://user:p@",
    "redis://h:x",
    "redis://h:65536",
    "redis://h:-1",
    "redis://h:+1",
    "redis://h/x",
    "redis://h/1/2",
    "redis://0.0.0.0",
    "redis://[::]",
    "redis://[::1",
    "redis://[::1]x",
    "redis://[h]",
    "redis://a b",
    "redis://a|b",
    "redis://:p/w@h",
    "redis://%ff:p@h",
    "http://h",
    "unix:",
    "unix://",
    "unix:s",
    "unix://host/s",
    "unix:///s?db=x",
];

#[test]
fn a_url_means_what_it_means_to_others() {
    for url in URLS {
        let (own, mut theirs) = (own(url), theirs(url).unwrap());
        // An empty one is none: no user has it.
        theirs.2.take_if(|password| password.is_empty());
        assert_eq!(own, Some(theirs), "{url:?}");
    }
}

#[test]
fn what_is_no_url_to_others_is_none_here() {
    for url in NO_URLS {
        assert_eq!((own(url), theirs(url)), (None, None), "{url:?}");
    }
    // No resolver knows such hosts, and no socket has the name of a folder.
    assert_eq!((own("redis://a\u{1}b"), own("unix:///")), (None, None));
}

#[cfg(feature = "tls")]
#[test]
fn a_secure_url_is_told_from_others() {
    let address = |url| ServerUrl::read(url).unwrap().address;
    assert!(address("rediss://h").is_secure() && address("Valkeys://h:1/2").is_secure());
    assert!(!address("redis://h").is_secure() && !address("unix:///s").is_secure());
    assert!(ServerUrl::read("rediss://h#insecure").is_err());
    assert!(ServerUrl::read("rediss://h/#other").is_err());
    assert_eq!(address("redis://h").at(&("i".to_owned(), 1)).to_string(), "i:1");
    assert!(address("rediss://h").at(&("i".to_owned(), 1)).is_secure());
}

#[test]
fn no_error_shows_a_password() {
    for url in [
        "redis://u:Secret/x@h",
        "redis://u:Secret@h:x",
        "rediss://u:Secret@h#x",
        "Secret",
    ] {
        let error = ServerUrl::read(url).unwrap_err();
        let shown = format!("{error:?} {error} {:?}", error.source());
        assert!(!shown.contains("Secret"), "{shown}");
    }
    let url = ServerUrl::read("redis://u:Secret@h").unwrap();
    assert_eq!(format!("{url:?}"), "h:6379");
}
