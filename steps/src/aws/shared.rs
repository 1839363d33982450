//! `Shared`: one describe for all the steps that look at the same service.
//!
//! Who asks while a request is under way waits, and goes with all others who wait in the next one; who asks within a second of an
//! answer gets that answer. Where an API takes several names in a call, a request also asks for what others have looked at lately,
//! so that their next looks find an answer. Where it takes one, only those who ask the same share, and the more different
//! questions there are, the longer an answer counts: all of them together are asked five times a second at most.
//!
//! An answer counts only if its request was sent after the moment ([`Since`]) that the asker names: after its own change, so that
//! no step takes the world from before its change for the one after. A failure is told to those who waited for it and to nobody
//! later. A request for several that is refused for good, for a bad name or a missing permission, is repeated for the asker alone,
//! and for some minutes each asks alone: nobody fails for the name of another.
//!
//! There is no task behind it: whoever's turn it is asks for all, and when that step is cut off, the next of those who wait does.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::{Clock, between};

/// An answer is as good as new for this long, and longer where there are many different questions.
const FRESH: Duration = Duration::from_secs(1);
/// How far apart the requests for many different questions are on average, which is half of the rate that a service without a
/// published limit may be asked at ([`super::budget::UNPUBLISHED`]): the other half is for those who change something.
const APART: Duration = Duration::from_millis(200);
/// Who has asked within this time is taken for somebody who will ask again: longer than the pauses of a poll loop.
const LATELY: Duration = Duration::from_secs(15);
/// How long each asks alone after a request for several was refused.
const ALONE: Duration = Duration::from_secs(5 * 60);
/// Questions that nobody asks any more are forgotten when there are more than this.
const KEPT_MAX: usize = 64;

/// A moment in the order of all requests of a process; see `Tickets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(u64);

/// Hands out moments. A clock would not do: a change and a request can fall on the same tick, and clocks are set back.
#[derive(Debug, Default)]
pub(super) struct Tickets(AtomicU64);

impl Tickets {
    /// Returns a moment that is later than all before.
    pub(super) fn next(&self) -> Since {
        Since(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A failure that can be told to several.
pub(crate) trait Shareable: Clone {
    /// Tells whether the request itself was refused, so that another one may do better.
    fn is_refusal(&self) -> bool;
}

/// Answers by what was asked: a name, or several joined.
pub(crate) struct Shared<T, E> {
    clock: Arc<dyn Clock>,
    tickets: Arc<Tickets>,
    /// How many questions fit in a request.
    together: usize,
    /// The turn of those who ask together.
    turn: Turn,
    state: Mutex<State<T, E>>,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

struct State<T, E> {
    questions: BTreeMap<String, Question<T, E>>,
    alone_until: Option<Timestamp>,
}

struct Question<T, E> {
    asked: Timestamp,
    /// The turn of those who ask for this alone.
    turn: Turn,
    seen: Option<Seen<T, E>>,
}

#[derive(Clone)]
struct Seen<T, E> {
    sent: Since,
    at: Timestamp,
    /// `None` when the answer did not speak of it.
    answer: Result<Option<T>, E>,
}

impl<T: Clone, E: Shareable> Shared<T, E> {
    /// Makes one for an API that takes at most `together` names in a request.
    pub(super) fn new(clock: Arc<dyn Clock>, tickets: Arc<Tickets>, together: usize) -> Self {
        let state = State { questions: BTreeMap::new(), alone_until: None };
        Self { clock, tickets, together, turn: Turn::default(), state: Mutex::new(state) }
    }

    /// Returns what the service says of `key`, `None` if its answer does not speak of it. `ask` makes a request for some keys.
    pub(crate) async fn get<F>(&self, key: &str, since: Since, ask: impl Fn(Vec<String>) -> F) -> Result<Option<T>, E>
    where
        F: Future<Output = Result<BTreeMap<String, T>, E>>,
    {
        let came = self.tickets.next();
        if let Some(answer) = self.known(key, since, came) {
            return answer;
        }
        let turn = self.turn_of(key);
        let _turn = turn.lock().await;
        if let Some(answer) = self.known(key, since, came) {
            return answer;
        }
        let asked = self.batch(key);
        match self.request(&asked, &ask).await {
            Err(error) if asked.len() > 1 && error.is_refusal() => {
                self.state().alone_until = self.clock.now().checked_add(ALONE).ok();
                self.request(&[key.to_owned()], &ask).await.map(|mut found| found.remove(key))
            }
            answer => answer.map(|mut found| found.remove(key)),
        }
    }

    /// Makes a request and keeps what it says, unless it was refused for the company that the questions were in.
    async fn request<F>(&self, asked: &[String], ask: &impl Fn(Vec<String>) -> F) -> Result<BTreeMap<String, T>, E>
    where
        F: Future<Output = Result<BTreeMap<String, T>, E>>,
    {
        let (sent, at) = (self.tickets.next(), self.clock.now());
        let answer = ask(asked.to_vec()).await;
        if asked.len() > 1 && answer.as_ref().is_err_and(Shareable::is_refusal) {
            return answer;
        }
        let mut state = self.state();
        for key in asked {
            if let Some(question) = state.questions.get_mut(key) {
                let answer = answer.as_ref().map(|found| found.get(key).cloned()).map_err(E::clone);
                question.seen = Some(Seen { sent, at, answer });
            }
        }
        answer
    }

    /// Returns the answer that is there, if it is good for somebody who came at `came`.
    fn known(&self, key: &str, since: Since, came: Since) -> Option<Result<Option<T>, E>> {
        let now = self.clock.now();
        let mut state = self.state();
        state.ask(key, now);
        let fresh = FRESH.max(APART.mul_f64(state.lately(now).div_ceil(self.together_at(&state, now)) as f64));
        let seen = state.questions.get(key)?.seen.as_ref()?;
        let is_young = seen.answer.is_ok() && seen.at <= now && between(seen.at, now) < fresh;
        (seen.sent > came || (seen.sent > since && is_young)).then(|| seen.answer.clone())
    }

    fn together_at(&self, state: &State<T, E>, now: Timestamp) -> usize {
        if state.alone_until.is_some_and(|until| now < until) { 1 } else { self.together }
    }

    /// Returns the turn that a question has to wait for.
    fn turn_of(&self, key: &str) -> Turn {
        let now = self.clock.now();
        let mut state = self.state();
        if self.together_at(&state, now) > 1 {
            return Arc::clone(&self.turn);
        }
        Arc::clone(&state.ask(key, now).turn)
    }

    /// Returns `first`, and what else is to be asked with it. What was answered with a failure asks for itself.
    fn batch(&self, first: &str) -> Vec<String> {
        let now = self.clock.now();
        let state = self.state();
        let others = state.questions.iter().filter(|(key, question)| {
            key.as_str() != first && is_lately(question.asked, now) && question.seen.as_ref().is_none_or(|seen| seen.answer.is_ok())
        });
        // Those without an answer first, and then those whose answer is the oldest.
        let mut others: Vec<_> = others.map(|(key, question)| (question.seen.as_ref().map(|seen| seen.sent), key.clone())).collect();
        others.sort();
        others.truncate(self.together_at(&state, now) - 1);
        std::iter::once(first.to_owned()).chain(others.into_iter().map(|(_, key)| key)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> State<T, E> {
    /// Remembers that somebody asks.
    fn ask(&mut self, key: &str, now: Timestamp) -> &Question<T, E> {
        if self.questions.len() > KEPT_MAX {
            self.questions.retain(|_, question| is_lately(question.asked, now) || Arc::strong_count(&question.turn) > 1);
        }
        let question = self.questions.entry(key.to_owned());
        let question = question.or_insert_with(|| Question { asked: now, turn: Turn::default(), seen: None });
        question.asked = now;
        question
    }

    /// Counts the different questions of late.
    fn lately(&self, now: Timestamp) -> usize {
        self.questions.values().filter(|question| is_lately(question.asked, now)).count()
    }
}

fn is_lately(asked: Timestamp, now: Timestamp) -> bool {
    between(asked, now) <= LATELY
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
