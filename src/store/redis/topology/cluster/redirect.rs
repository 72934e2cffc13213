//! Answers that send a command to another node.

use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::resp::Reply;

/// Where a command has to go instead. It was not executed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot is there now. A node that does not know its own name leaves the host empty.
    Moved(Endpoint),
    /// The slot is on its way there, and the key has arrived already, or does not exist.
    Ask(Endpoint),
    /// The slot is on its way, and some of the keys have arrived.
    Again,
}

impl Redirect {
    pub(crate) fn read(reply: &Reply) -> Option<Self> {
        let Reply::ServerError(error) = reply else {
            return None;
        };
        let code = error.code();
        if code == "TRYAGAIN" {
            return Some(Self::Again);
        }
        if code != "MOVED" && code != "ASK" {
            return None;
        }
        let moved = code == "MOVED";
        // In front of the node stands the slot.
        let (_, node) = error.details()?.split_once(' ')?;
        let (host, port) = node.split_ascii_whitespace().next()?.rsplit_once(':')?;
        let endpoint = (host.to_owned(), port.parse().ok()?);
        Some(if moved {
            Self::Moved(endpoint)
        } else {
            Self::Ask(endpoint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Redirect> {
        Redirect::read(&Reply::read(format!("{line}\r\n").as_bytes()).unwrap())
    }

    #[test]
    fn redirections_are_told_from_other_answers() {
        let at = |host: &str| (host.to_owned(), 6381);
        assert_eq!(
            read("-MOVED 3999 127.0.0.1:6381"),
            Some(Redirect::Moved(at("127.0.0.1")))
        );
        assert_eq!(read("-MOVED 3999 ::1:6381"), Some(Redirect::Moved(at("::1"))));
        assert_eq!(read("-MOVED 3999 :6381"), Some(Redirect::Moved(at(""))));
        assert_eq!(read("-ASK 3999 h:6381"), Some(Redirect::Ask(at("h"))));
        assert_eq!(read("-TRYAGAIN Multiple keys request"), Some(Redirect::Again));
        for other in ["+OK", "-ERR x", "-CLUSTERDOWN Hash slot not served", "-MOVED", "$-1"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
