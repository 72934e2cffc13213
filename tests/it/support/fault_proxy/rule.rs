//! What a test orders, and how often it was carried out.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::frame::Frame;
use super::proxy::Plane;
use crate::support::within;

/// What happens to a message on its way to the node.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is not sent. Of a reply this leaves the node with one too few: each takes the next one's.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the next message that this order concerns.
    Reorder,
    /// It, and all that follow on this connection, are sent so much later.
    Delay(Duration),
    /// Half of it is sent, then the connection is closed.
    Truncate,
    /// Its last string has other bytes of the same number.
    Corrupt,
    /// Neither it nor anything else is sent on this connection any more.
    Mute,
    /// These bytes are sent instead. Of a reply: the server does not even see the command.
    Answer(Bytes),
}

impl Fault {
    /// An error of the server's: `LOADING Redis is loading the dataset in memory`.
    pub(crate) fn error(text: &str) -> Self {
        Self::Answer(format!("-{text}\r\n").into())
    }

    /// A string as a reply.
    pub(crate) fn string(bytes: &[u8]) -> Self {
        let head = format!("${}\r\n", bytes.len());
        Self::Answer([head.as_bytes(), bytes, b"\r\n"].concat().into())
    }
}

/// Which messages to the node are concerned.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    what: What,
    plane: Option<Plane>,
    naming: Option<String>,
    times: usize,
}

#[derive(Debug, Clone)]
enum What {
    Messages,
    /// To commands of these names; to all where there are none.
    Replies(Vec<String>),
}

impl Target {
    /// What is published.
    pub(crate) fn messages() -> Self {
        Self::of(What::Messages)
    }

    /// The replies to commands of these names, to all commands where there are none. The confirmation of a
    /// subscription is the reply to `SUBSCRIBE`.
    pub(crate) fn replies(names: &[&str]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_uppercase());
        Self::of(What::Replies(names.collect()))
    }

    fn of(what: What) -> Self {
        Self {
            what,
            plane: None,
            naming: None,
            times: usize::MAX,
        }
    }

    /// Only on connections of this kind.
    pub(crate) fn on(mut self, plane: Plane) -> Self {
        self.plane = Some(plane);
        self
    }

    /// Only messages of channels, and replies to commands with an argument, in which this occurs.
    pub(crate) fn naming(mut self, part: &str) -> Self {
        self.naming = Some(part.to_owned());
        self
    }

    /// Only the next so many.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn concerns(&self, plane: Plane, words: &[Bytes]) -> bool {
        let named = |name: &str| {
            let contains = |w: &Bytes| w.windows(name.len()).any(|part| part == name.as_bytes());
            words.iter().any(contains)
        };
        self.plane.is_none_or(|p| p == plane) && self.naming.as_deref().is_none_or(named)
    }

    fn concerns_message(&self, plane: Plane, frame: &Frame) -> bool {
        let words = frame.words();
        // Not the payload, which may say anything.
        let channel = &words[..words.len().saturating_sub(1)];
        matches!(self.what, What::Messages) && self.concerns(plane, channel)
    }

    fn concerns_reply(&self, plane: Plane, command: &[Bytes]) -> bool {
        let (What::Replies(names), Some(name)) = (&self.what, command.first()) else {
            return false;
        };
        let named = |n: &String| n.as_bytes().eq_ignore_ascii_case(name);
        (names.is_empty() || names.iter().any(named)) && self.concerns(plane, command)
    }
}

/// An order under way.
struct Rule {
    target: Target,
    fault: Fault,
    injection: Injection,
}

/// All orders under way, the first that fits being carried out.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn add(&mut self, target: Target, fault: Fault) -> Injection {
        let injection = Injection(watch::Sender::new(0));
        self.0.push(Rule {
            target,
            fault,
            injection: injection.clone(),
        });
        injection
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn for_message(&mut self, plane: Plane, frame: &Frame) -> Option<(Fault, Injection)> {
        self.first(|target| target.concerns_message(plane, frame))
    }

    pub(super) fn for_reply(&mut self, plane: Plane, command: &[Bytes]) -> Option<(Fault, Injection)> {
        self.first(|target| target.concerns_reply(plane, command))
    }

    fn first(&mut self, concerns: impl Fn(&Target) -> bool) -> Option<(Fault, Injection)> {
        let rule = self.0.iter_mut().find(|r| r.target.times > 0 && concerns(&r.target))?;
        rule.target.times -= 1;
        Some((rule.fault.clone(), rule.injection.clone()))
    }
}

/// How often an order was carried out.
#[derive(Clone)]
pub(crate) struct Injection(watch::Sender<usize>);

impl Injection {
    pub(super) fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it was carried out so often.
    pub(crate) async fn happened(&self, times: usize) {
        let mut counts = self.0.subscribe();
        let enough = counts.wait_for(|count| *count >= times);
        let _ = within("an injected fault", enough).await;
    }
}
