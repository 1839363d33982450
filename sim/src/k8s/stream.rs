//! Watches that go on: a response body that tells the changes as they happen. For `wf sim serve` only.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::Instant;

use super::watch::Watch;
use super::{Place, gate};
use crate::Sim;

/// How often a watch looks for changes, in real time.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a watch lasts that does not say, and how often it says that it is alive.
const LASTS: Duration = Duration::from_secs(1800);
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);

/// The next lines of a watch, and what it needs to go on; nothing when it is over.
type Next = Pin<Box<dyn Future<Output = Option<(String, Following)>> + Send>>;

/// A watch of a client that is connected. Dropping it ends the watch.
pub(crate) struct Stream {
    next: Next,
}

/// What a watch needs to go on.
pub(super) struct Following {
    pub(super) sim: Sim,
    pub(super) place: Place,
    pub(super) watch: Watch,
    ends: Instant,
    bookmark: Instant,
}

impl Stream {
    /// Follows a watch for as long as the client asked for (real seconds).
    pub(super) fn new(sim: Sim, place: Place, watch: Watch, seconds: Option<u64>) -> Stream {
        let now = Instant::now();
        let ends = now + seconds.map_or(LASTS, Duration::from_secs).min(LASTS);
        Stream { next: Box::pin(Following { sim, place, watch, ends, bookmark: now + BOOKMARK_EVERY }.next()) }
    }
}

impl Following {
    /// Waits for the next changes; `None` when the watch is over.
    async fn next(mut self) -> Option<(String, Following)> {
        loop {
            let place = &self.place;
            let watch = &mut self.watch;
            let told = self.sim.with(|state| {
                gate::connect(state, place).ok()?;
                let kube = &state.world.region(&place.region)?.clusters.get(&place.cluster)?.kube;
                Some(watch.events(kube, state.world.now))
            })?;
            if !told.is_empty() {
                return Some((told, self));
            }
            let now = Instant::now();
            if now >= self.ends {
                return None;
            }
            if now >= self.bookmark {
                self.bookmark = now + BOOKMARK_EVERY;
                if let Some(line) = self.watch.bookmark() {
                    return Some((line, self));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(told) = self.next.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let Some((text, following)) = told else {
            return Poll::Ready(None);
        };
        self.next = Box::pin(following.next());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
    }
}
