//! What is said, and what it waits in.

use std::fmt;

use super::state::Era;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The subscription is confirmed. The one message that no keeper sees.
    Subscribed,
    Reread,
    Released,
    /// With the era of the computation.
    Stored(Era),
    /// With the era that it began.
    Invalidated(Era),
}

/// A short queue, four bits an item, the first one lowest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Queue(u32);

impl Queue {
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn len(self) -> u32 {
        (u32::BITS - self.0.leading_zeros()).div_ceil(4)
    }

    /// The same notice twice in a row says nothing new.
    pub(crate) fn push(&mut self, notice: Notice) {
        if self.last() == Some(notice) {
            return;
        }
        let item = match notice {
            Notice::Subscribed => 1,
            Notice::Reread => 2,
            Notice::Released => 3,
            Notice::Stored(era) => 4 + u32::from(era),
            Notice::Invalidated(era) => 10 + u32::from(era),
        };
        assert!(item < 16 && self.len() < 8, "the bounds keep queues short");
        self.0 |= item << (4 * self.len());
    }

    fn at(self, position: u32) -> Option<Notice> {
        let era = |first: u32, item: u32| Era::try_from(item - first).expect("few eras");
        match self.0.checked_shr(4 * position)? & 15 {
            0 => None,
            1 => Some(Notice::Subscribed),
            2 => Some(Notice::Reread),
            3 => Some(Notice::Released),
            item @ 4..10 => Some(Notice::Stored(era(4, item))),
            item => Some(Notice::Invalidated(era(10, item))),
        }
    }

    pub(crate) fn first(self) -> Option<Notice> {
        self.at(0)
    }

    pub(crate) fn last(self) -> Option<Notice> {
        self.at(self.len().checked_sub(1)?)
    }

    pub(crate) fn pop(&mut self) -> Option<Notice> {
        let notice = self.first();
        self.0 >>= 4;
        notice
    }

    /// The last first: what no connection does.
    pub(crate) fn pop_last(&mut self) -> Option<Notice> {
        let notice = self.last()?;
        self.0 &= !(15 << (4 * (self.len() - 1)));
        Some(notice)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries((0..self.len()).filter_map(|n| self.at(n)))
            .finish()
    }
}
