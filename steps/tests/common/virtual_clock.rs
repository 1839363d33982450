//! The simulator's clock as the engine's.

use std::time::Duration;

use wf_engine::clock::{Clock, Sleep};
use wf_sim::SimClock;

/// Tells the simulator's time.
pub struct Virtual(pub SimClock);

impl Clock for Virtual {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.0.clone();
        Box::pin(async move { clock.sleep(duration).await })
    }
}
