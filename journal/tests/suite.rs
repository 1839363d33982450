//! The engine's journal suite over sled.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use wf_engine::journal::Journal;
use wf_journal::SledJournal;

wf_engine::journal_suite!({
    let dir = tempfile::tempdir().unwrap();
    move || Arc::new(SledJournal::open(&dir.path().join("state")).unwrap()) as Arc<dyn Journal>
});
