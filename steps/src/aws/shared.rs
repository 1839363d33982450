//! [`Shared`]: one answer for all the steps that ask the same at the same time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::{Clock, between};

/// An answer is as good as new for this long.
const FRESH: Duration = Duration::from_secs(1);
/// Questions that nobody asks any more are forgotten when there are more than this.
const KEPT_MAX: usize = 64;

type Slot<V> = Arc<tokio::sync::Mutex<Option<(Timestamp, V)>>>;

/// Answers by what was asked. Who asks while somebody else waits for the answer gets that answer, so one step polls for all that wait
/// for the same; when it is cut off, the next of them goes on. Only for what a slightly older answer does no harm: a state that is
/// reached and stays.
pub(crate) struct Shared<V>(Mutex<BTreeMap<String, Slot<V>>>);

impl<V> Default for Shared<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Shared<V> {
    /// Returns the answer to `question`, asking with `ask` if nobody has just done so. `waits` is called when somebody else is asking.
    pub(crate) async fn get(&self, question: &str, clock: &dyn Clock, waits: impl FnOnce(), ask: impl Future<Output = V>) -> V {
        let slot = self.slot(question);
        let came = clock.now();
        if slot.try_lock().is_err() {
            waits();
        }
        let mut known = slot.lock().await;
        if let Some((at, answer)) = known.as_ref()
            && (*at >= came || between(*at, came) < FRESH)
        {
            return answer.clone();
        }
        let answer = ask.await;
        *known = Some((clock.now(), answer.clone()));
        answer
    }

    fn slot(&self, question: &str) -> Slot<V> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > KEPT_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(question.to_owned()).or_default())
    }
}
