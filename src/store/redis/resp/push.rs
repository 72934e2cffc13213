//! What a server sends without being asked: its kinds.

/// What a [`Push`](super::Push) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushKind {
    /// Nothing more is heard.
    Disconnection,
    Invalidate,
    Message,
    SMessage,
    Subscribe,
    SSubscribe,
    Unsubscribe,
    SUnsubscribe,
    Other,
}

impl PushKind {
    /// The kind that a server calls by this name, which is that of the command where there is one.
    pub(crate) fn read(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"invalidate" => Self::Invalidate,
            b"message" => Self::Message,
            b"smessage" => Self::SMessage,
            b"subscribe" => Self::Subscribe,
            b"ssubscribe" => Self::SSubscribe,
            b"unsubscribe" => Self::Unsubscribe,
            b"sunsubscribe" => Self::SUnsubscribe,
            _ => Self::Other,
        }
    }

    /// Whether the server confirms a command by it.
    pub(crate) fn is_confirmation(self) -> bool {
        matches!(
            self,
            Self::Subscribe | Self::SSubscribe | Self::Unsubscribe | Self::SUnsubscribe
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_called_as_its_command_is() {
        for (name, kind, is_confirmation) in [
            ("invalidate", PushKind::Invalidate, false),
            ("message", PushKind::Message, false),
            ("smessage", PushKind::SMessage, false),
            ("subscribe", PushKind::Subscribe, true),
            ("SSUBSCRIBE", PushKind::SSubscribe, true),
            ("unsubscribe", PushKind::Unsubscribe, true),
            ("sunsubscribe", PushKind::SUnsubscribe, true),
            ("pmessage", PushKind::Other, false),
            ("", PushKind::Other, false),
        ] {
            assert_eq!(PushKind::read(name.as_bytes()), kind, "{name}");
            assert_eq!(kind.is_confirmation(), is_confirmation, "{name}");
        }
    }
}
