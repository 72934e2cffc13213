//! [`Search`]: what a keeper has learnt so far.

use tokio::time::Instant;

use super::watch::LiveWatch;
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::clock::Tick;
use crate::memo::outcome::Past;

/// How many attempts do not count because their leaders did not know of the attempts before. The number bounds how
/// often a follower waits in vain, however many processes take the lock one after another.
const MOST_EXCUSED: u32 = 3;

pub(super) struct Search<'a, C: Codec> {
    pub(super) watch: Option<LiveWatch<'a, C>>,
    pub(super) waited_for_immortal: bool,
    pub(super) holder_died: bool,
    /// Whether the lock was held when it was last asked for, and no notice has said that it was given back.
    pub(super) held: bool,
    /// The attempts in a row that are known to have come to nothing.
    pub(super) past: Past,
    /// A waiter that arrived before this moment has waited for the last of these attempts, whichever process made it.
    pub(super) witnesses: Tick,
    excused: u32,
    pub(super) starts: Starts,
}

impl<C: Codec> Search<'_, C> {
    pub(super) fn new(past: Past) -> Self {
        Self {
            watch: None,
            waited_for_immortal: false,
            holder_died: false,
            held: false,
            past,
            witnesses: Tick::START,
            excused: 0,
            starts: Starts::new(),
        }
    }

    /// As far as a leader in another process knew, this many attempts in a row have come to nothing.
    pub(super) fn hear_of(&mut self, attempts: u32, failed: bool, now: Tick) {
        let known = self.past.attempts;
        self.past = self.past.after(failed).or(Past { attempts, failures: 0 });
        self.witnesses = now;
        // A leader that had not heard of the attempt before it could not know that its own is the last. The next leader
        // can.
        if (1..=known).contains(&attempts) && self.excused < MOST_EXCUSED {
            self.excused += 1;
            self.past.attempts = known;
        }
    }

    /// The lock is free. Returns whether no work is to be started any more, because a process held the lock until its
    /// lease ended.
    pub(super) fn lapsed(&mut self, config: &Config) -> bool {
        if std::mem::take(&mut self.held) {
            self.starts.lapse();
        }
        self.starts.exhausted(config).is_some()
    }
}

/// How many times in a row, here or elsewhere, work was started that another program is to finish.
pub(super) struct Starts {
    count: u32,
    last: Instant,
    /// Whether the present holder of the lock is among them.
    announced: bool,
}

impl Starts {
    fn new() -> Self {
        Self {
            count: 0,
            last: Instant::now(),
            announced: false,
        }
    }

    pub(super) fn any(&self) -> bool {
        self.count > 0
    }

    /// This process starts the work once more. Returns how many starts that makes.
    pub(super) fn begin(&mut self) -> u32 {
        self.hear(self.count.saturating_add(1));
        self.count
    }

    /// Another process has told of so many starts.
    pub(super) fn hear(&mut self, count: u32) {
        self.count = self.count.max(count);
        self.last = Instant::now();
        self.announced = true;
    }

    /// What was started here was not finished in time.
    pub(super) fn end(&mut self) {
        self.announced = false;
    }

    /// A lease has run out. So there was a start, which this process came too late to hear of, unless it heard of one.
    fn lapse(&mut self) {
        if !std::mem::take(&mut self.announced) {
            self.count = self.count.saturating_add(1);
            self.last = Instant::now();
        }
    }

    /// Until when nothing is to be started any more. After that, all callers that waited while the lease of the last start ran have
    /// been answered, and waiters that came later have attempts of their own.
    pub(super) fn exhausted(&mut self, config: &Config) -> Option<Instant> {
        if self.count < config.max_attempts {
            return None;
        }
        let until = self.last + config.lease.min(Config::LONG) + config.wait_timeout.min(Config::LONG);
        if until <= Instant::now() {
            self.count = 0;
            return None;
        }
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::codec::Raw;

    const SECOND: Duration = Duration::from_secs(1);

    const CONFIG: Config = Config {
        lease: SECOND,
        wait_timeout: Duration::from_secs(2),
        max_attempts: 2,
        ..Config::DEFAULT
    };

    #[tokio::test(start_paused = true)]
    async fn work_that_was_started_often_enough_is_not_started_while_callers_wait_for_it() {
        let mut starts = Starts::new();
        assert!(!starts.any() && starts.exhausted(&CONFIG).is_none());
        assert_eq!(starts.begin(), 1);
        assert!(starts.any() && starts.exhausted(&CONFIG).is_none());
        sleep(SECOND).await;
        starts.hear(2);
        starts.hear(1);
        assert_eq!(starts.exhausted(&CONFIG), Some(Instant::now() + 3 * SECOND));
        sleep(3 * SECOND - Duration::from_millis(1)).await;
        assert!(starts.exhausted(&CONFIG).is_some());
        sleep(Duration::from_millis(1)).await;
        assert!(starts.exhausted(&CONFIG).is_none());
        assert!(!starts.any(), "what comes from here on has attempts of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_is_a_start_unless_it_was_told_of() {
        let mut starts = Starts::new();
        starts.hear(1);
        sleep(SECOND).await;
        starts.lapse();
        assert!(starts.exhausted(&CONFIG).is_none());
        starts.lapse();
        assert_eq!(starts.exhausted(&CONFIG), Some(Instant::now() + 3 * SECOND));

        let mut starts = Starts::new();
        starts.begin();
        starts.end();
        sleep(SECOND).await;
        starts.lapse();
        assert_eq!(starts.exhausted(&CONFIG), Some(Instant::now() + 3 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_was_never_held_by_others_has_not_lapsed() {
        let config = Config {
            max_attempts: 1,
            ..CONFIG
        };
        let mut search = Search::<Raw>::new(Past::default());
        assert!(!search.lapsed(&config));
        assert!(!search.waited_for_immortal && !search.holder_died);
        search.held = true;
        assert!(search.lapsed(&config));
        assert!(!search.held);
    }

    #[test]
    fn few_leaders_are_excused_for_not_knowing_of_the_attempts_before() {
        let clock = crate::memo::flights::clock::Clock::new();
        let mut search = Search::<Raw>::new(Past::default());
        let mut attempts = Vec::new();
        search.hear_of(2, true, clock.tick());
        for _ in 0..MOST_EXCUSED + 1 {
            search.hear_of(2, true, clock.tick());
            attempts.push(search.past.attempts);
        }
        assert_eq!(attempts[..MOST_EXCUSED as usize], [2; MOST_EXCUSED as usize]);
        assert!(attempts.last() > Some(&2));
    }
}
