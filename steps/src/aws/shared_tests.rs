//! What [`Shared`] promises, on a paused clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicBool, AtomicUsize};

use wf_engine::clock::Sleep;

use super::*;

/// Tokio's clock as the engine's.
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Refused {
    ForGood,
    ForNow,
}

impl Shareable for Refused {
    fn is_refusal(&self) -> bool {
        *self == Self::ForGood
    }
}

/// A service that takes 100 ms for an answer, with a state that changes.
struct Service {
    shared: Shared<usize, Refused>,
    tickets: Arc<Tickets>,
    state: AtomicUsize,
    is_down: AtomicBool,
    requests: Mutex<Vec<usize>>,
}

impl Service {
    fn new(together: usize) -> Arc<Self> {
        let tickets = Arc::new(Tickets::default());
        let shared = Shared::new(Arc::new(Paused(tokio::time::Instant::now())), Arc::clone(&tickets), together);
        Arc::new(Self { shared, tickets, state: AtomicUsize::new(0), is_down: AtomicBool::new(false), requests: Mutex::default() })
    }

    /// Reads `key` as it was after `since`, or from now on. What is called "gone" is not there, what is called "bad" is refused.
    async fn read(&self, key: &str, since: Option<Since>) -> Result<Option<usize>, Refused> {
        let since = since.unwrap_or_else(|| self.tickets.next());
        let ask = async |keys: Vec<String>| {
            self.requests.lock().unwrap().push(keys.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
            let state = self.state.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if keys.iter().any(|key| key == "bad") {
                return Err(Refused::ForGood);
            }
            if self.is_down.load(Ordering::SeqCst) {
                return Err(Refused::ForNow);
            }
            Ok(keys.into_iter().filter(|key| key != "gone").map(|key| (key, state)).collect())
        };
        self.shared.get(key, since, ask).await
    }

    /// Has many read at once, and returns what they were told.
    async fn all(self: &Arc<Self>, keys: Vec<String>) -> Vec<Result<Option<usize>, Refused>> {
        let reads: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let service = Arc::clone(self);
                tokio::spawn(async move { service.read(&key, None).await })
            })
            .collect();
        let mut told = Vec::new();
        for read in reads {
            told.push(read.await.unwrap());
        }
        told
    }

    fn take_requests(&self) -> Vec<usize> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number:03}")).collect()
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_go_together_in_the_next_request() {
    let service = Service::new(50);
    assert!(service.all(names(120)).await.iter().all(|told| *told == Ok(Some(0))));
    assert_eq!(service.take_requests(), [1, 50, 50, 50], "the last one takes along those whose answers are the oldest");
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_the_same_share_where_a_request_takes_one_name() {
    let service = Service::new(1);
    let keys = names(3).into_iter().cycle().take(300).collect();
    assert!(service.all(keys).await.iter().all(|told| *told == Ok(Some(0))));
    // The second request of each is for those who came after the first was sent.
    assert_eq!(service.take_requests(), [1; 6]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_change_is_no_answer_to_who_made_it() {
    let service = Service::new(50);
    // A request is under way when the change is made, and has seen the state from before it.
    let early = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.read("a", None).await }
    });
    tokio::time::sleep(Duration::from_millis(60)).await;
    service.state.store(1, Ordering::SeqCst);
    let since = service.tickets.next();
    assert_eq!(service.read("a", Some(since)).await, Ok(Some(1)));
    assert_eq!(early.await.unwrap(), Ok(Some(0)));
    // The young answer from before the next change is none either, though the clock has not moved.
    service.state.store(2, Ordering::SeqCst);
    assert_eq!(service.read("a", None).await, Ok(Some(2)));
    assert_eq!(service.take_requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn looks_within_a_second_share_and_take_each_other_along() {
    let service = Service::new(50);
    let since = service.tickets.next();
    for _ in 0..20 {
        for key in ["a", "b", "c", "d"] {
            service.read(key, Some(since)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    // 80 looks in 44 s.
    let requests = service.take_requests();
    assert!((35..=45).contains(&requests.len()), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn many_different_questions_are_asked_five_times_a_second_at_most() {
    let service = Service::new(1);
    let since = service.tickets.next();
    let polls: Vec<_> = names(50)
        .into_iter()
        .map(|key| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                for _ in 0..40 {
                    service.read(&key, Some(since)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(2500)).await;
                }
            })
        })
        .collect();
    for poll in polls {
        poll.await.unwrap();
    }
    let requests = service.take_requests().len();
    assert!((400..=550).contains(&requests), "{requests} in 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_bad_name_fails_alone() {
    let service = Service::new(50);
    let told = service.all(vec!["a".into(), "b".into(), "bad".into(), "c".into(), "gone".into()]).await;
    assert_eq!(told, [Ok(Some(0)), Ok(Some(0)), Err(Refused::ForGood), Ok(Some(0)), Ok(None)]);
    service.take_requests();
    service.all(names(10)).await;
    assert_eq!(service.take_requests(), [1; 10], "each asks alone for a while");
    tokio::time::sleep(ALONE).await;
    service.all(names(10)).await;
    assert_eq!(service.take_requests(), [1, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_those_who_waited_and_to_nobody_later() {
    let service = Service::new(50);
    service.is_down.store(true, Ordering::SeqCst);
    assert!(service.all(names(20)).await.iter().all(|told| *told == Err(Refused::ForNow)));
    assert_eq!(service.take_requests(), [1, 19]);
    service.is_down.store(false, Ordering::SeqCst);
    assert_eq!(service.read("n001", None).await, Ok(Some(0)));
}

#[tokio::test(start_paused = true)]
async fn one_who_is_cut_off_loses_nobody_an_answer() {
    let service = Service::new(50);
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.read("a", None).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let others = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.all(names(10)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.abort();
    assert!(others.await.unwrap().iter().all(|told| *told == Ok(Some(0))));
    assert!(first.await.unwrap_err().is_cancelled());
    let requests = service.take_requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn questions_that_nobody_asks_any_more_are_forgotten() {
    let service = Service::new(1);
    service.all(names(500)).await;
    tokio::time::sleep(LATELY * 2).await;
    service.all(names(3)).await;
    assert!(service.shared.state().questions.len() <= 3);
}
