//! [`Audit`]: how to find out what a layer would share wrongly.

/// How to find out whether a layer's settings share what may be shared, for
/// [`MemoLockLayer::audit`](crate::MemoLockLayer::audit). [`Admin`](crate::Admin) shows what it finds, for each route;
/// [the guide](crate::docs::guide::admin) says what that means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Audit {
    /// The layer shares, and compares nothing.
    #[default]
    Off,
    /// The layer only watches: nothing is shared or stored, and the inner service is called for each request as if the
    /// layer were not there.
    ///
    /// The layer counts what it would have done with its settings: the calls and the time that it would have spared,
    /// and the responses that differ from the stored response that would have stood in for them, with the request field
    /// that goes with the difference. The report says for which routes the layer can be switched on.
    ///
    /// It costs a digest of each body, and memory for digests of the last 4,096 responses and of the fields of their
    /// requests, but no bodies. Requests whose key covers their body are not followed.
    Shadow,
    /// The layer shares. It also computes the response to this fraction of hits anew, in the background and for no
    /// client, and compares it with the stored one: from 0 for none to 1 for all. A value below 0, and one that is no
    /// number, counts as 0; a value above 1 as 1.
    ///
    /// The client has the stored response, and the new one is thrown away. The report says how many were not the same:
    /// a field is missing in the key, or responses change sooner than they say. At most 16 are computed at once.
    Verify(f64),
}
