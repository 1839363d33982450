//! A real failover that was killed near its end, and what can happen to its journal: whatever it is, the operator is told which run and
//! why, nothing is acted on, no byte of the evidence changes, and the run beside it is unharmed.
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use wf_engine::journal::{Journal as _, JournalError};
use wf_engine::model::record::Record;
use wf_journal::SledJournal;

use crate::sandbox::{Outcome, Sandbox};
use crate::{ASK, asking};

/// A failover that was killed after so many lines of about fifty.
const LINES: usize = 44;

/// A sandbox with a killed failover and, beside it, a run that waits for an answer and was killed too.
struct Scene {
    sandbox: Sandbox,
    run: String,
    beside: String,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (live, beside) = asking(&sandbox, ASK);
        live.kill();
        let mut command = sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "600"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().take(LINES).count();
        assert_eq!(said, LINES, "it ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        let run = sandbox.latest();
        assert_ne!(run, beside);
        Self { sandbox, run, beside }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.sandbox.path(&format!(".wf/runs/{}/{name}", self.run))
    }

    fn db(&self) -> PathBuf {
        self.file("journal/db")
    }

    /// Every call that the simulated AWS has seen, and the world as it is.
    fn world(&self) -> (Value, Vec<u8>) {
        (self.sandbox.json(&["sim", "log"]), fs::read(self.sandbox.path(".wf/sim/world.json")).unwrap())
    }

    /// Everything of the run but its summary, which is a cache, and its lock, whose words count for nothing.
    fn evidence(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = files(&self.file("journal"));
        files.extend(fs::read(self.file("acked")).map(|acked| (self.file("acked"), acked)));
        files
    }

    /// Demands that each verb refuses the run with exit 13, its id and `words`, and that nothing comes of it.
    #[track_caller]
    fn refuses(&self, words: &[&str]) {
        let Self { sandbox, run, beside } = self;
        let (world, evidence) = (self.world(), self.evidence());
        for args in
            [&["journal", "verify", run][..], &["status", run], &["log", run], &["resume", run, "--yes"], &["rollback", run, "--yes"]]
        {
            let refused = sandbox.wf(args);
            refused.exits(13).says(run);
            for words in words {
                refused.says(words);
            }
            assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
        }
        assert!(self.world() == world, "something was done");
        assert!(self.evidence() == evidence, "the evidence was altered");
        let all = sandbox.wf(&["journal", "verify", "--all"]);
        all.exits(13).tells(&format!("{run} UNUSABLE")).tells(&format!("{beside} ok, "));
        sandbox.wf(&["list"]).exits(0).tells(run).tells(beside);
        sandbox.wf(&["status", beside]).exits(0);
    }

    /// Demands that the run beside it can be carried on.
    fn spares_the_run_beside(&self) {
        self.sandbox.wf(&["resume", &self.beside, "--yes"]).exits(0);
    }

    /// Carries the run on, undamaged.
    fn resumes(&self) {
        Outcome::of(&mut self.sandbox.at_root(&["resume", &self.run, "--yes", "--sim-speed", "600"])).exits(0);
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeMap::from([(path.clone(), fs::read(path).unwrap())]) }).collect()
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

/// Reads a run through the library: all of it, or what is wrong with it.
async fn read(scene: &Scene) -> Result<Vec<Record>, String> {
    let journal = SledJournal::open(&scene.sandbox.path(".wf")).unwrap();
    let run = scene.run.parse().unwrap();
    journal.read(&run).await.map_err(|error| match &error {
        JournalError::Damaged { source, .. } => source.to_string(),
        other => panic!("no place is named: {other}: {:?}", other.source()),
    })
}

/// Every 4 KiB of the file, more densely where something is written, and every byte of the mark of what is acknowledged: through the library, as a
/// process for each would take minutes. A sample of it goes through the binary, below.
#[tokio::test]
async fn a_journal_is_read_as_it_was_written_or_its_first_bad_record_is_named() {
    let scene = Scene::new();
    let written = read(&scene).await.unwrap();
    let (db, acked) = (fs::read(scene.db()).unwrap(), fs::read(scene.file("acked")).unwrap());
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    let places = (0..used).step_by(509).chain((0..db.len()).step_by(4096));
    let damages = places.flat_map(|at| [(scene.db(), flipped(&db, at)), (scene.db(), db[..at].to_vec())]);
    let marks = (0..acked.len()).flat_map(|at| [(scene.file("acked"), flipped(&acked, at)), (scene.file("acked"), acked[..at].to_vec())]);
    let (mut whole, mut refused) = (0, 0);
    for (path, bytes) in damages.chain(marks) {
        let original = fs::read(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        match read(&scene).await {
            // Dead space, or a mark that is torn and promises nothing.
            Ok(records) => {
                assert!(records == written, "a journal was read that nobody wrote");
                whole += 1;
            }
            Err(error) => {
                assert!(error.starts_with("record "), "{error}");
                refused += 1;
            }
        }
        assert!(fs::read(&path).unwrap() == bytes, "reading altered it");
        fs::write(&path, original).unwrap();
    }
    assert!(refused > used / 512 && whole > acked.len(), "{refused} refused, {whole} whole");
    assert!(read(&scene).await.unwrap() == written);
}

#[test]
fn a_damaged_run_is_told_by_every_verb_and_nothing_is_done() {
    let scene = Scene::new();
    let db = fs::read(scene.db()).unwrap();
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    let words = ["cannot be read: the journal ends before it", "were acknowledged", "the files are as they were", "wf journal verify"];
    for bytes in [flipped(&db, 100), flipped(&db, used / 2), flipped(&db, used - 100), db[..used / 4].to_vec(), db[..used / 2].to_vec()] {
        fs::write(scene.db(), bytes).unwrap();
        scene.refuses(&words);
    }
    fs::write(scene.db(), b"this is no journal").unwrap();
    scene.refuses(&["record 0 cannot be read"]);
    fs::remove_file(scene.db()).unwrap();
    scene.refuses(&["No such file"]);
    let journal = scene.file("journal");
    fs::rename(&journal, scene.file("elsewhere")).unwrap();
    scene.refuses(&["record 0 cannot be read: the journal ends before it"]);
    fs::rename(scene.file("elsewhere"), &journal).unwrap();
    fs::write(scene.db(), &db).unwrap();
    scene.spares_the_run_beside();
    scene.resumes();
}

#[test]
fn a_journal_of_a_newer_wf_is_refused_and_not_called_damaged() {
    let scene = Scene::new();
    let db = fs::read(scene.db()).unwrap();
    let format = |value: &mut Vec<u8>| {
        let at = value.windows(7).position(|here| here == br#"{"v":1,"#).unwrap();
        value[at + 5] = b'9';
    };
    let layout = |value: &mut Vec<u8>| value[0] = 9;
    for tamper in [&format as &dyn Fn(&mut Vec<u8>), &layout] {
        alter_an_entry(&scene.file("journal"), tamper);
        scene.refuses(&["was written by a newer wf", "has format 9", "this wf reads up to 3", "Install the wf that wrote it"]);
        fs::write(scene.db(), &db).unwrap();
    }
    scene.resumes();
}

/// Alters an entry in the middle behind the journal's back.
fn alter_an_entry(journal: &Path, alter: &dyn Fn(&mut Vec<u8>)) {
    let db = sled::Config::new().path(journal).segment_size(2 * 1024 * 1024).flush_every_ms(None).open().unwrap();
    let (key, value) = db.iter().map(Result::unwrap).filter(|(key, _)| key.ends_with(&[0; 4])).nth(9).unwrap();
    let mut value = value.to_vec();
    alter(&mut value);
    db.insert(key, value).unwrap();
    db.flush().unwrap();
}

#[test]
fn a_state_directory_that_is_gone_is_told() {
    let scene = Scene::new();
    let Scene { sandbox, run, beside } = &scene;
    fs::rename(sandbox.path(&format!(".wf/runs/{run}")), sandbox.path("kept")).unwrap();
    sandbox.wf(&["resume", run]).exits(2).says(&format!("there is no run `{run}`")).says("wf list");
    scene.spares_the_run_beside();
    fs::rename(sandbox.path("kept"), sandbox.path(&format!(".wf/runs/{run}"))).unwrap();
    fs::rename(sandbox.path(".wf"), sandbox.path("away")).unwrap();
    for verb in ["resume", "status", "log"] {
        sandbox.wf(&[verb, run]).exits(2).says("there are no runs here yet: .wf/runs does not exist").says("--state-dir");
    }
    assert!(!sandbox.path(".wf").exists(), "nothing is made by looking");
    fs::rename(sandbox.path("away"), sandbox.path(".wf")).unwrap();
    sandbox.wf(&["status", beside]).exits(0);
    scene.resumes();
}

#[test]
fn a_journal_is_read_from_a_copy_or_it_is_told_why_not() {
    let scene = Scene::new();
    let nowhere = |args: &[&str]| {
        let mut command = scene.sandbox.command(args);
        Outcome::of(command.env("TMPDIR", "/none"))
    };
    let evidence = scene.evidence();
    for verb in ["status", "log"] {
        nowhere(&[verb, &scene.run]).exits(13).says(&scene.run).says("no private copy of it could be made in /none").says("TMPDIR=");
    }
    assert!(scene.evidence() == evidence);
    // Carrying a run on is worth more than a copy of it.
    nowhere(&["resume", &scene.beside, "--yes"]).exits(0);
    let copies = scene.sandbox.path("copies");
    fs::create_dir(&copies).unwrap();
    fs::write(scene.db(), b"this is no journal").unwrap();
    let mut command = scene.sandbox.command(["journal", "verify", &scene.run]);
    Outcome::of(command.env("TMPDIR", &copies)).exits(13);
    assert_eq!(fs::read_dir(copies).unwrap().count(), 0, "no copy is left");
}
