//! [`Tape`]: what clients have said to the server, and what it has said to them.

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taped {
    /// A command, on this connection.
    Asked(u64, Vec<Vec<u8>>),
    /// An answer or news.
    Said(u64, Vec<u8>),
    Closed(u64),
    Evicted(usize, Vec<u8>),
    Flushed,
}

#[derive(Default)]
pub(crate) struct Tape(Option<Vec<Taped>>);

impl Tape {
    pub(crate) fn start(&mut self) {
        self.0 = Some(Vec::new());
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// All there is on it. From here on nothing is added.
    pub(crate) fn take(&mut self) -> Vec<Taped> {
        self.0.take().unwrap_or_default()
    }

    fn add(&mut self, what: impl FnOnce() -> Taped) {
        if let Some(tape) = &mut self.0 {
            tape.push(what());
        }
    }

    pub(crate) fn asked(&mut self, wire: u64, words: &[Vec<u8>]) {
        self.add(|| Taped::Asked(wire, words.to_vec()));
    }

    pub(crate) fn said(&mut self, wire: u64, bytes: &[u8]) {
        self.add(|| Taped::Said(wire, bytes.to_vec()));
    }

    pub(crate) fn closed(&mut self, wire: u64) {
        self.add(|| Taped::Closed(wire));
    }

    pub(crate) fn evicted(&mut self, database: usize, key: &[u8]) {
        self.add(|| Taped::Evicted(database, key.to_vec()));
    }

    pub(crate) fn flushed(&mut self) {
        self.add(|| Taped::Flushed);
    }
}
