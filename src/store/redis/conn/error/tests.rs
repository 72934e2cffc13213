use super::*;

fn server_error(line: &str) -> ServerError {
    ServerError::new(line)
}

#[test]
fn errors_of_the_command_keep_the_connection() {
    for line in [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOPERM this user has no permissions to access the channel",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOSCRIPT No matching script.",
        "MISCONF Redis is configured to save RDB snapshots",
        "MOVED 3999 127.0.0.1:6381",
        "BUSY Redis is busy running a script.",
        "ERR whatever",
    ] {
        assert_eq!(verdict(&server_error(line)), DialVerdict::Keep, "{line}");
    }
}

#[test]
fn errors_of_the_server_replace_the_connection() {
    for (line, expected) in [
        ("LOADING Redis is loading the dataset in memory", DialVerdict::Replace),
        ("NOAUTH Authentication required.", DialVerdict::Replace),
        ("DENIED Redis is running in protected mode", DialVerdict::Replace),
        ("ERR Protocol error: invalid bulk length", DialVerdict::Replace),
        (
            "READONLY You can't write against a read only replica.",
            DialVerdict::Elsewhere,
        ),
        ("MASTERDOWN Link with MASTER is down", DialVerdict::Elsewhere),
        ("CLUSTERDOWN The cluster is down", DialVerdict::Astray),
    ] {
        assert_eq!(verdict(&server_error(line)), expected, "{line}");
    }
}

#[test]
fn what_the_server_says_is_of_a_kind() {
    use StoreErrorKind::{Rejected, Timeout, Unavailable};
    for (line, kind, is_of_cluster) in [
        ("MOVED 3999 127.0.0.1:6381", Rejected, true),
        ("ASK 3999 127.0.0.1:6381", Rejected, true),
        ("CROSSSLOT Keys in request don't hash to the same slot", Rejected, true),
        ("CLUSTERDOWN The cluster is down", Unavailable, false),
        // Whether it was executed is unknown.
        ("ERR Protocol error: invalid bulk length", Timeout, false),
        ("ERR this is no Protocol error", Rejected, false),
        ("NOAUTH", Rejected, false),
    ] {
        let error = rejected(&server_error(line));
        assert_eq!(error.kind(), kind, "{line}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause.contains("use `RedisStore::cluster`"), is_of_cluster, "{line}");
        assert_eq!(cause.contains(line), !is_of_cluster, "{line}");
    }
}

#[test]
fn a_command_that_no_node_executed_is_refused_with_the_last_word() {
    for (reply, cause) in [
        (Reply::ServerError(server_error("TRYAGAIN later")), "TRYAGAIN later"),
        (Reply::Okay, "unknown form"),
    ] {
        let error = unsettled(reply);
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(cause), "{source}");
    }
}

#[test]
fn a_server_without_room_says_so_itself_or_in_the_text_of_a_script() {
    for (line, expected) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", true),
        (
            "ERR Error running script: -OOM command not allowed when used memory",
            true,
        ),
        ("ERR Error running script: -NOPERM", false),
        ("ERR", false),
    ] {
        assert_eq!(is_full(&rejected(&server_error(line))), expected, "{line}");
    }
    assert!(!is_full(&unavailable()) && !is_full(&unexpected()));
    assert!(!is_full(&unanswered(std::io::Error::other("OOM").into())));
}

#[test]
fn what_looks_like_an_outage_may_be_the_wrong_port() {
    use std::io::ErrorKind;
    let tcp = |secure| ServerAddress::Tcp {
        host: "h".to_owned(),
        port: 1,
        secure,
    };
    let unix = || ServerAddress::Unix("/s".into());
    let hint = |kind: ErrorKind, address| DialError::Unreachable(std::io::Error::from(kind).into()).with_hint(&address);
    for kind in [ErrorKind::TimedOut, ErrorKind::WouldBlock] {
        assert!(matches!(hint(kind, tcp(true)), DialError::Silent(_)));
        assert!(matches!(hint(kind, tcp(false)), DialError::Unreachable(_)));
    }
    for kind in [
        ErrorKind::BrokenPipe,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::UnexpectedEof,
        ErrorKind::NotConnected,
    ] {
        assert!(matches!(hint(kind, tcp(false)), DialError::HungUp(_)), "{kind}");
        assert!(matches!(hint(kind, tcp(true)), DialError::HungUp(_)), "{kind}");
        assert!(matches!(hint(kind, unix()), DialError::Unreachable(_)), "{kind}");
    }
    let refused = hint(ErrorKind::ConnectionRefused, tcp(true));
    assert!(matches!(refused, DialError::Unreachable(_)));
}

#[test]
fn an_operator_has_to_act_or_time_alone_helps() {
    use StoreErrorKind::{Config, Rejected, Unavailable};
    let cause = || RedisError::from(server_error("ERR what"));
    let sentinels = |cause: DialError| DialError::Sentinels(Some(Box::new(cause)));
    for (error, is_permanent, kind) in [
        (DialError::Unreachable(cause()), false, Unavailable),
        (DialError::Silent(cause()), false, Unavailable),
        (DialError::HungUp(cause()), false, Unavailable),
        (DialError::NotMaster, false, Unavailable),
        (DialError::Garbled, false, Unavailable),
        (DialError::NoView, false, Unavailable),
        (DialError::Sentinels(None), false, Unavailable),
        (sentinels(DialError::NotMaster), false, Unavailable),
        (sentinels(DialError::Credentials(cause())), true, Rejected),
        (sentinels(DialError::NotCluster), true, Config),
        (DialError::Credentials(cause()), true, Rejected),
        (DialError::PasswordMissing(cause()), true, Rejected),
        (DialError::Database(1, cause()), true, Rejected),
        (DialError::UnknownMaster("m".to_owned()), true, Rejected),
        (DialError::NotCluster, true, Config),
        (DialError::TooOld("6".to_owned()), true, Config),
    ] {
        assert_eq!((error.is_permanent(), error.kind()), (is_permanent, kind), "{error}");
    }
}
