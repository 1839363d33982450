//! The durable journal of `wf`: sled behind the engine's [`Journal`](wf_engine::journal::Journal) trait.
//!
//! ```text
//!            append                queue, bounded               one entry per run, then one sync
//!  engine ──────────► store ─────────────────────────► writer ───────────────────────────────────► sled, `db` file
//!         ◄────────── acknowledged, survives power loss ◄─────                                       │
//!            claim, read: on tokio's blocking threads ─────────────────────────► codec ◄─────────────┘
//! ```
//!
//! A run is a directory, see [`Layout`]. Its records are in a sled of its own, so that a damaged run harms no other one.
//! This crate knows how records are stored, not what they say: of an event it knows nothing at all.
//!
//! # What sled 0.34.7 does, and what follows from it
//!
//! Read in its source, and checked by `tests/`:
//!
//! - It appends to a log in one file, `db`, in segments; pages are rewritten, and segments without live pages are used again.
//!   `flush` writes what is buffered and calls `sync_file_range`, which waits for the pages of the file and for nothing else: not for
//!   the file's size, not for the device's cache. So after each `flush` the writer calls `fdatasync` through a descriptor of its own,
//!   which was opened before the first write and therefore is told of every failed write-back.
//! - A segment is used again two segments after the copy of its last live page. As `flush` is no barrier, a power cut could keep the
//!   new contents of the segment and lose the copy, if both were written between two `fdatasync`: records that were acknowledged
//!   long ago would be gone. So no more than [`SYNC_WINDOW`] is written without one: larger appends sync in between.
//! - A page that is larger than a quarter of a segment goes into a file of its own under `blobs/`, which is never synced. A leaf has up to 17
//!   values, so values are cut into chunks of [`CHUNK_LEN_MAX`] and blobs cannot arise.
//! - `conf` and the directory are not synced either. A journal is made in `journal.new`, synced as a whole, and renamed.
//! - On opening, the log is replayed and cut off at the first message that is not whole, and a `snap.*` file is written. A
//!   `snap.*.generating` left by a crash at that moment is later taken for a snapshot and prevents every further opening. A snapshot is only a
//!   shortcut into the log, so all of them are removed before sled sees them.
//! - Because the log is cut off at damage, the *last* acknowledged records could go missing without a trace. The file `acked` says how far the
//!   run was acknowledged. It is written after the sync and not synced itself, so after a power cut it may be older than the journal, but
//!   never newer: when the journal ends before it, records were lost, and the run is quarantined.
//! - On opening it syncs only when it cuts off the end of a segment, not when the log ends with one. What a process wrote and was killed before
//!   it had synced is in the page cache, so the next owner finds it; it is synced before a claim or a read returns it.
//! - What it cuts off or writes over on opening may be evidence. So a journal is opened as a private copy first, see below.
//! - Its input and output happens on threads of its own, which report errors through a global state, and it panics on some kinds of damage. Both
//!   end up as errors here, and a journal that failed once takes nothing more.
//!
//! # Reading never alters
//!
//! [`SledJournal`] reads and verifies a copy of the log: made under a shared lock and after an `fdatasync` of the original, in a directory of mode
//! 0700 under `TMPDIR`, removed afterwards. Every byte of the run stays as it is, and a run can be read where nothing can be written.
//!
//! A claim verifies such a copy too, before sled opens the original: what is refused as damaged is as it was found. The records are read from the
//! copy alone, as sled opens the same bytes in the same way; that both end with the same key is checked. So a claim costs the copy and one more
//! recovery by sled. Measured (release build, two busy cores): 9 to 12 ms for 500 records (1 MiB), 15 to 18 ms for 5,000 (3 MiB), 0.14 to 0.25 s
//! for 100,000 (37 MiB), 0.6 to 0.75 s for 400,000 (137 MiB); without a copy the same within the noise. So it is always done, with no guess at how
//! likely damage is. When there is no place for a copy, a claim goes on without one: carrying a run on is worth more than the traces of a
//! damage that there hardly is. A reader says so and stops.
//!
//! A process that is killed while it reads leaves its copy in `TMPDIR`, readable by its user alone.
//!
//! # Power loss
//!
//! `tests/power/` records every call with which a journal changes its files (a shim in C that is loaded before libc), and rebuilds the disks
//! that a power cut could have left after each of them: of what was not synced any sectors, in any order, files shorter than they were, names
//! that are not there or not gone yet. `sync_file_range` counts as nothing, and so does a sync of a file for its name. Each disk is opened, compared with
//! what was acknowledged by then, and appended to. The loads are a failover with a resume and a death before a sync, a death in an append
//! that takes several syncs, a burst over several runs that goes on until sled uses segments again, and the repair of what a power cut has
//! left. On a disk that ignores `fdatasync`, or the sync of directories, or when an append is synced at its end alone, the same test finds lost
//! records. The tests of the `wf` binary do the same with what a whole failover, its interruption and its resumption write.
//!
//! An append looks whether the file still has its name before it says `Ok`: a state directory that was deleted takes everything and keeps nothing.
//!
//! Not covered: a kernel that drops what it could not write, tells the process that asked, and shows it to the next one all the same. After
//! a sync that failed, what was *refused* may so be found by the next claim, and be gone after a power cut.

mod codec;
mod copy;
mod layout;
mod lock;
mod run;
mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
mod verify;
mod writer;

pub use codec::CHUNK_LEN_MAX;
pub use copy::CopyError;
pub use layout::Layout;
pub use lock::Holder;
pub use run::{Gone, SYNC_WINDOW};
pub use store::{OpenError, SledJournal, Verified};
pub use writer::{DISK_TIME_MAX, DiskHangs};
