//! [`Log`]: what the crate has to tell the operator; [`causes`]: what an error has to tell.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest, set_default, set_global_default};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;

/// Records warnings and errors of this thread, in which a test's runtime has all its tasks.
pub(crate) struct Log {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> Self {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(LevelFilter::WARN)
            .with_ansi(false)
            .finish();
        Self {
            text,
            _guard: listen_with(subscriber),
        }
    }

    /// The lines so far that contain `part`.
    pub(crate) fn lines_with(&self, part: &str) -> Vec<String> {
        let text = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }
}

/// Has `subscriber` hear what this thread has to tell, from here on.
///
/// Places that no subscriber wants to hear of are asked once, and then never again. Where another thread comes to one
/// for the first time while `subscriber` is being set, it would be such a place for good. With a subscriber that may want all
/// of them, each is asked every time.
pub(crate) fn listen_with(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = set_global_default(Undecided);
    });
    set_default(subscriber)
}

/// Wants to be asked of everything, and hears nothing.
struct Undecided;

impl Subscriber for Undecided {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The texts of an error and of all its causes.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
