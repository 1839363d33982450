//! What the recorded processes do, and which records they write: the same ones in every run, so that the test knows them without being told.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use wf_engine::journal::Journal as _;
use wf_engine::model::event::Event;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Chain, Epoch, RECORD_LEN_MAX, Sealed};
use wf_engine::testkit::journal_suite::run_id;
use wf_journal::SledJournal;

use crate::rng::Rng;

pub const ROLE: &str = "WF_POWER_ROLE";
pub const MARKS: &str = "WF_POWER_MARKS";

const BURST_RUNS: u64 = 3;
const BURST_ROUNDS: u64 = 45;

/// Makes the next record of a run.
pub fn next_record(chain: &mut Chain, run: u64, epoch: Epoch, text_len: fn(u64, &mut Rng) -> usize) -> Sealed {
    let seq = chain.next_seq();
    let mut rng = Rng(run << 32 | seq);
    let len = text_len(seq, &mut rng);
    let mut reason = String::with_capacity(len + 8);
    while reason.len() < len {
        let number = rng.next();
        reason.extend((0..8).map(|i| char::from(b'a' + (number >> (8 * i)) as u8 % 26)));
    }
    reason.truncate(len);
    let at = Timestamp::from_second(1_700_000_000 + seq as i64).unwrap();
    chain.extend(at, epoch, Event::RunPaused { reason }).unwrap().1
}

/// A failover's records: the workflow's text first, then small ones, now and then what an API said.
pub fn failover_len(seq: u64, rng: &mut Rng) -> usize {
    match seq {
        1..=3 => 16 * 1024,
        _ if rng.chance(5) => 2_000 + rng.below(18_000),
        _ => 60 + rng.below(700),
    }
}

/// A burst's records: up to the largest that there can be.
pub fn burst_len(seq: u64, rng: &mut Rng) -> usize {
    // What is around the text is far less than a KiB.
    if seq.is_multiple_of(13) { RECORD_LEN_MAX - 1024 } else { 100 + rng.below(12_000) }
}

/// A role that is played in another process.
pub struct Player {
    journal: SledJournal,
    marks: Mutex<File>,
}

impl Player {
    pub fn new(state: &Path) -> Self {
        let marks = File::options().append(true).open(std::env::var_os(MARKS).unwrap()).unwrap();
        Self { journal: SledJournal::open(state).unwrap(), marks: Mutex::new(marks) }
    }

    fn mark(&self, what: &str) {
        self.marks.lock().unwrap().write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    async fn claim(&self, run: u64) -> (Epoch, Chain) {
        let claim = self.journal.claim(&run_id(run), true).await.unwrap();
        self.mark(&format!("claimed {run} {} {}", claim.epoch, claim.records.len()));
        (claim.epoch, Chain::resume(&claim.records, claim.head))
    }

    async fn append(&self, run: u64, epoch: Epoch, records: Vec<Sealed>) -> bool {
        let (first, next) = (records[0].seq, records[0].seq + records.len() as u64);
        let appended = self.journal.append(&run_id(run), epoch, first, records).await;
        if appended.is_ok() {
            self.mark(&format!("acked {run} {next}"));
        }
        appended.is_ok()
    }

    /// Appends as an engine does, until so many records are there.
    async fn fail_over(&self, epoch: Epoch, chain: &mut Chain, until: u64) {
        while chain.next_seq() < until {
            let n = Rng(chain.next_seq()).below(4) + 1;
            let records = (0..n).map(|_| next_record(chain, 1, epoch, failover_len)).collect();
            assert!(self.append(1, epoch, records).await);
        }
    }

    /// A run that is started, released and resumed, and dies between a write and its sync.
    pub async fn failover(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        self.fail_over(epoch, &mut chain, 130).await;
        self.journal.release(&run_id(1)).await.unwrap();
        let (epoch, mut chain) = self.claim(1).await;
        self.fail_over(epoch, &mut chain, 220).await;
        self.mark("die 1");
        self.append(1, epoch, vec![next_record(&mut chain, 1, epoch, failover_len)]).await;
    }

    /// A run that dies in the middle of an append that is too large for one sync.
    pub async fn torn_append(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        self.fail_over(epoch, &mut chain, 20).await;
        self.mark("die 2");
        let many = (0..550).map(|_| next_record(&mut chain, 1, epoch, failover_len)).collect();
        self.append(1, epoch, many).await;
    }

    /// A run with an append that is so large that sled uses segments again in the middle of it.
    pub async fn large_append(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        while chain.next_seq() < 60 {
            let records = (0..3).map(|_| next_record(&mut chain, 1, epoch, burst_len)).collect();
            assert!(self.append(1, epoch, records).await);
        }
        let many = (0..800).map(|_| next_record(&mut chain, 1, epoch, burst_len)).collect();
        assert!(self.append(1, epoch, many).await);
    }

    /// The run once more, and on.
    pub async fn resume(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        let until = chain.next_seq() + 80;
        self.fail_over(epoch, &mut chain, until).await;
    }

    /// The run is opened, and the process dies.
    pub async fn open(&self) {
        self.claim(1).await;
        std::process::exit(9);
    }

    /// Several runs at once, each with several appends on their way.
    pub async fn burst(self: Arc<Self>) {
        let mut runs = Vec::new();
        for run in 0..BURST_RUNS {
            runs.push((run, self.claim(run).await));
        }
        for round in 0..BURST_ROUNDS {
            let mut tasks = tokio::task::JoinSet::new();
            for (run, (epoch, chain)) in &mut runs {
                // One run gets far enough for sled to use segments again, and the others run beside it.
                let appends = if *run == 0 { 3 } else { u64::from((round + *run).is_multiple_of(4)) };
                for _ in 0..appends {
                    let n = 1 + chain.next_seq() % 4;
                    let records = (0..n).map(|_| next_record(chain, *run, *epoch, burst_len)).collect();
                    let (player, run, epoch) = (Arc::clone(&self), *run, *epoch);
                    tasks.spawn(async move { assert!(player.append(run, epoch, records).await) });
                }
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
        }
    }

    /// A sync that fails. Nothing may be acknowledged from there on.
    pub async fn failing_sync(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        self.fail_over(epoch, &mut chain, 20).await;
        self.mark("fail 1");
        for _ in 0..10 {
            let mut next = chain.clone();
            assert!(!self.append(1, epoch, vec![next_record(&mut next, 1, epoch, failover_len)]).await);
        }
    }

    /// Appends until the disk is full. Nothing may be acknowledged from there on.
    pub async fn until_full(&self) {
        let (epoch, mut chain) = self.claim(1).await;
        while self.append(1, epoch, vec![next_record(&mut chain, 1, epoch, burst_len)]).await {
            assert!(chain.next_seq() < 10_000, "the disk is not full");
        }
        for _ in 0..10 {
            let mut next = chain.clone();
            assert!(!self.append(1, epoch, vec![next_record(&mut next, 1, epoch, burst_len)]).await);
        }
    }
}

/// What was promised for a run at some moment of the trace.
#[derive(Debug, Clone)]
pub struct Promise {
    pub number: u64,
    pub run: RunId,
    /// So many records are durable.
    pub acked: usize,
    /// All records that can be there.
    pub records: Arc<Vec<Sealed>>,
}

impl Promise {
    /// What is promised before anything was: nothing.
    pub fn nothing(number: u64) -> Self {
        Self { number, run: run_id(number), acked: 0, records: Arc::default() }
    }

    /// Takes note of a mark of this run's.
    pub fn note(&mut self, mark: &str, text_len: fn(u64, &mut Rng) -> usize) {
        let words: Vec<_> = mark.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        if number(1) != self.number {
            return;
        }
        match words[0] {
            "acked" => self.acked = number(2) as usize,
            "claimed" => {
                // What a claim has returned is acted on, so it must not go away again.
                self.acked = number(3) as usize;
                self.records = Arc::new(self.records_from(number(2), text_len));
            }
            what => panic!("no such mark: {what}"),
        }
    }

    fn records_from(&self, epoch: Epoch, text_len: fn(u64, &mut Rng) -> usize) -> Vec<Sealed> {
        let (mut chain, mut records) = (Chain::default(), self.records[..self.acked].to_vec());
        records.iter().for_each(|record| drop(chain.follow(record.seq, &record.bytes).unwrap()));
        let more = (0..900).map(|_| next_record(&mut chain, self.number, epoch, text_len));
        records.extend(more);
        records
    }
}
