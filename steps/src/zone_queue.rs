//! [`ZoneQueues`]: the changes of hosted zones, one batch of a zone at a time. Route 53 takes no second change of a zone while it
//! works on one, so changes that become ready in the meantime go together in the next batch.
//!
//! There is no task behind it: of those who wait for the zone, whoever's turn it is sends what all of them want. A step that is
//! cut off takes its change out of the queue again, unless it is under way; when it was the one that sent, the others send theirs
//! themselves, which an UPSERT allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_route53::types::{Change, ChangeAction, ResourceRecordSet};
use wf_engine::model::event::StepFailure;

/// What a batch may count in records; an UPSERT counts twice.
const RECORDS_MAX: usize = 1000;
/// What a batch may count in characters of values; those of an UPSERT count twice.
const CHARS_MAX: usize = 32_000;

/// The queues of all zones.
#[derive(Default)]
pub(crate) struct ZoneQueues(Mutex<BTreeMap<String, Arc<ZoneQueue>>>);

impl ZoneQueues {
    /// Returns the queue of a zone.
    pub(crate) fn of(&self, zone_id: &str) -> Arc<ZoneQueue> {
        Arc::clone(lock(&self.0).entry(zone_id.to_owned()).or_default())
    }
}

/// The changes that wait for a zone.
#[derive(Default)]
pub(crate) struct ZoneQueue {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Arc<Wish>>>,
}

/// What a step wants: changes of records, made in one batch or not at all.
pub(crate) struct Wish {
    pub(crate) changes: Vec<Change>,
    /// The record, as the operator knows it.
    pub(crate) shown: String,
    /// The role that its step acts as, if it acts in another account: a batch is sent with the rights of one.
    role: String,
    answer: Mutex<Option<Result<String, StepFailure>>>,
}

impl Wish {
    /// Answers the step that wants this.
    pub(crate) fn answer(&self, answer: Result<String, StepFailure>) {
        *lock(&self.answer) = Some(answer);
    }

    fn keys(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        let records = self.changes.iter().filter_map(Change::resource_record_set);
        records.map(|record| (record.name(), record.r#type().as_str(), record.set_identifier()))
    }

    /// Tells whether both change the same record.
    fn meets(&self, other: &Self) -> bool {
        self.keys().any(|key| other.keys().any(|of_other| of_other == key))
    }

    /// What it counts against the limits on records and on characters.
    fn size(&self) -> (usize, usize) {
        self.changes.iter().map(size).fold((0, 0), |(records, chars), (more, others)| (records + more, chars + others))
    }
}

fn size(change: &Change) -> (usize, usize) {
    let times = if *change.action() == ChangeAction::Upsert { 2 } else { 1 };
    let Some(record) = change.resource_record_set() else { return (times, 0) };
    (times * record.resource_records().len().max(1), times * chars(record))
}

fn chars(record: &ResourceRecordSet) -> usize {
    record.resource_records().iter().map(|value| value.value().len()).sum()
}

impl ZoneQueue {
    /// Has changes made: alone or with others, by this caller or by another. `send` makes a batch of changes and answers each.
    pub(crate) async fn make(
        &self,
        changes: Vec<Change>,
        shown: &str,
        role: &str,
        send: impl AsyncFnOnce(&[Arc<Wish>]),
    ) -> Option<Result<String, StepFailure>> {
        let wish = Arc::new(Wish { changes, shown: shown.to_owned(), role: role.to_owned(), answer: Mutex::default() });
        lock(&self.waiting).push(Arc::clone(&wish));
        let _leaves = Leaves { queue: self, wish: &wish };
        let _turn = self.turn.lock().await;
        let answered = lock(&wish.answer).take();
        if answered.is_some() {
            return answered;
        }
        send(&self.batch(&wish)).await;
        lock(&wish.answer).take()
    }

    /// Takes a wish and what fits beside it from those that wait for the same role. No record is changed twice in a batch.
    fn batch(&self, first: &Arc<Wish>) -> Vec<Arc<Wish>> {
        let mut waiting = lock(&self.waiting);
        let mut batch = vec![Arc::clone(first)];
        let (mut records, mut chars) = first.size();
        waiting.retain(|wish| {
            if Arc::ptr_eq(wish, first) {
                return false;
            }
            let (more_records, more_chars) = wish.size();
            let fits = records + more_records <= RECORDS_MAX && chars + more_chars <= CHARS_MAX;
            if !fits || wish.role != first.role || batch.iter().any(|other| other.meets(wish)) {
                return true;
            }
            (records, chars) = (records + more_records, chars + more_chars);
            batch.push(Arc::clone(wish));
            false
        });
        batch
    }
}

/// Takes a wish from the queue when its step has an answer, or is cut off.
struct Leaves<'a> {
    queue: &'a ZoneQueue,
    wish: &'a Arc<Wish>,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        lock(&self.queue.waiting).retain(|wish| !Arc::ptr_eq(wish, self.wish));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::{ResourceRecord, RrType};

    use super::*;

    fn upsert(name: &str, value: &str) -> Change {
        let value = ResourceRecord::builder().value(value).build().expect("a value");
        let record = ResourceRecordSet::builder().name(name).r#type(RrType::A).ttl(60).resource_records(value).build().expect("a record");
        Change::builder().action(ChangeAction::Upsert).resource_record_set(record).build().expect("a change")
    }

    /// The sizes of the batches that `changes` make when they come at once.
    async fn batches(changes: Vec<Change>) -> Vec<usize> {
        batches_of(changes.into_iter().map(|change| (change, "")).collect()).await
    }

    /// As [`batches`], with the role of each.
    async fn batches_of(changes: Vec<(Change, &'static str)>) -> Vec<usize> {
        let queue = Arc::new(ZoneQueue::default());
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let steps: Vec<_> = changes
            .into_iter()
            .map(|(change, role)| {
                let (queue, sizes) = (Arc::clone(&queue), Arc::clone(&sizes));
                tokio::spawn(async move {
                    let answer = queue.make(vec![change], "record", role, async |batch| {
                        lock(&sizes).push(batch.len());
                        tokio::task::yield_now().await;
                        batch.iter().for_each(|wish| wish.answer(Ok("C1".to_owned())));
                    });
                    answer.await.expect("an answer").expect("a change")
                })
            })
            .collect();
        for step in steps {
            assert_eq!(step.await.expect("a step"), "C1");
        }
        assert!(lock(&queue.waiting).is_empty());
        std::mem::take(&mut *lock(&sizes))
    }

    #[tokio::test]
    async fn what_waits_for_a_zone_goes_together_within_the_limits() {
        let many = (0..1101).map(|ix| upsert(&format!("r{ix}."), "192.0.2.1")).collect();
        assert_eq!(batches(many).await, [1, 500, 500, 100]);
        let long = (0..5).map(|ix| upsert(&format!("r{ix}."), &"x".repeat(8000))).collect();
        assert_eq!(batches(long).await, [1, 2, 2]);
        let same = (0..3).map(|_| upsert("r.", "192.0.2.1")).collect();
        assert_eq!(batches(same).await, [1, 1, 1]);
        let roles = ["", "", "dr", "dr", ""].into_iter().enumerate();
        let roles = roles.map(|(ix, role)| (upsert(&format!("r{ix}."), "192.0.2.1"), role)).collect();
        assert_eq!(batches_of(roles).await, [1, 2, 2], "nobody's change is sent with the rights of another");
    }

    #[tokio::test]
    async fn a_step_that_is_cut_off_is_not_served_and_the_others_send_their_own() {
        let queue = ZoneQueue::default();
        {
            let never = queue.make(vec![upsert("a.", "192.0.2.1")], "a", "", async |_| std::future::pending().await);
            let late = queue.make(vec![upsert("b.", "192.0.2.1")], "b", "", async |_| {});
            tokio::select! {
                biased;
                _ = never => {}
                _ = late => {}
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(lock(&queue.waiting).is_empty());
        let answer =
            queue.make(vec![upsert("c.", "192.0.2.1")], "c", "", async |batch| batch.iter().for_each(|wish| wish.answer(Ok("C2".into()))));
        assert!(matches!(answer.await, Some(Ok(id)) if id == "C2"));
    }
}
