//! A disk as the calls made it, and the disks that a power cut could leave of it.
//!
//! What was synced is there. Of what was written to a file since its last `fsync` or `fdatasync`, any sectors may be there, in any order, and
//! the file may be as long as before. Of what was made, renamed or removed in a directory since its last `fsync`, anything may have
//! happened. `sync_file_range` promises nothing, and syncing a file does not sync its name.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::image::{Image, SECTOR, mixed};
use crate::rng::Rng;
use crate::trace::Op;

/// Which barriers the disk is taken to ignore, to see whether they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignoring {
    Nothing,
    Fdatasync,
    DirectorySync,
}

type Id = usize;

#[derive(Debug)]
enum Node {
    File { durable: Arc<Image>, live: Image, since: Vec<Change> },
    Dir { durable: BTreeMap<OsString, Id>, live: BTreeMap<OsString, Id>, since: Vec<Renaming> },
}

/// What happened to a file.
#[derive(Debug)]
enum Change {
    Write { at: usize, data: Arc<[u8]> },
    Truncate { len: usize },
}

/// What happened to a directory: a name that goes, a name that comes, or both at once.
#[derive(Debug)]
struct Renaming {
    gone: Option<OsString>,
    come: Option<(OsString, Id)>,
}

/// The files of a disk by their paths; a directory has no image.
pub type Files = BTreeMap<PathBuf, Option<Arc<Image>>>;

/// Tells files apart.
pub fn sum(files: &Files) -> u64 {
    files.iter().fold(0, |sum, (path, image)| {
        let path = path.as_os_str().as_encoded_bytes().iter().fold(0, |sum, byte| mixed(sum, u64::from(*byte)));
        mixed(mixed(sum, path), image.as_ref().map_or(0, |image| image.sum()))
    })
}

/// The disk.
#[derive(Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    open: HashMap<i32, Id>,
    ignoring: Ignoring,
}

const ROOT: Id = 0;

impl Disk {
    /// One with files on it, all of them durable.
    pub fn new(files: &Files, ignoring: Ignoring) -> Self {
        let mut disk = Self { nodes: vec![empty_dir()], open: HashMap::new(), ignoring };
        for (path, image) in files.iter().filter(|(path, _)| !path.as_os_str().is_empty()) {
            let file = |image: &Arc<Image>| Node::File { durable: Arc::clone(image), live: Image::clone(image), since: Vec::new() };
            disk.add(path, image.as_ref().map_or_else(empty_dir, file));
        }
        for node in &mut disk.nodes {
            if let Node::Dir { durable, live, since } = node {
                durable.clone_from(live);
                since.clear();
            }
        }
        disk
    }

    /// Does what the process did. Tells whether a power cut right after it could leave something new.
    pub fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::Began => self.open.clear(),
            Op::Open { fd, create, truncate, path } => return self.open_file(*fd, *create, *truncate, path),
            Op::Close { fd } => drop(self.open.remove(fd)),
            Op::Write { fd, at, data } => self.change(*fd, Change::Write { at: *at, data: Arc::clone(data) }),
            Op::Truncate { fd, len } => self.change(*fd, Change::Truncate { len: *len }),
            Op::Fdatasync { .. } if self.ignoring == Ignoring::Fdatasync => {}
            Op::Fsync { fd } | Op::Fdatasync { fd } => self.sync(self.open[fd]),
            Op::Rename { from, to } => self.rename(from, to),
            Op::Unlink { path } => self.rename_in(path.parent().unwrap(), Renaming { gone: path.file_name().map(Into::into), come: None }),
            Op::Mkdir { path } => self.add(path, empty_dir()),
            Op::Mark(_) => return false,
        }
        !matches!(op, Op::Began | Op::Close { .. })
    }

    /// The files as the processes see them, while there is power.
    pub fn live(&self) -> Files {
        let mut files = Files::new();
        self.walk(ROOT, Path::new(""), &mut files, &mut |node| match node {
            Node::File { live, .. } => Seen::File(Arc::new(live.clone())),
            Node::Dir { live, .. } => Seen::Dir(live.clone()),
        });
        files
    }

    /// The files as a power cut could leave them now.
    pub fn cut(&self, rng: &mut Rng) -> Files {
        let mut files = Files::new();
        let same = rng.chance(25).then(|| Fate::of(rng));
        self.walk(ROOT, Path::new(""), &mut files, &mut |node| {
            let fate = same.unwrap_or_else(|| Fate::of(rng));
            match node {
                Node::File { durable, since, .. } if since.is_empty() => Seen::File(Arc::clone(durable)),
                Node::File { durable, live, since } => Seen::File(Arc::new(left_of_file(durable, live, since, fate, rng))),
                Node::Dir { durable, since, .. } => Seen::Dir(left_of_dir(durable, since, fate, rng)),
            }
        });
        files
    }

    fn walk(&self, id: Id, path: &Path, files: &mut Files, see: &mut dyn FnMut(&Node) -> Seen) {
        match see(&self.nodes[id]) {
            Seen::File(image) => drop(files.insert(path.to_owned(), Some(image))),
            Seen::Dir(names) => {
                files.insert(path.to_owned(), None);
                names.iter().for_each(|(name, id)| self.walk(*id, &path.join(name), files, see));
            }
        }
    }

    fn find(&self, path: &Path) -> Option<Id> {
        path.iter().try_fold(ROOT, |id, name| match &self.nodes[id] {
            Node::Dir { live, .. } => live.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn open_file(&mut self, fd: i32, create: bool, truncate: bool, path: &Path) -> bool {
        let there = self.find(path);
        if there.is_none() && create {
            self.add(path, Node::File { durable: Arc::default(), live: Image::default(), since: Vec::new() });
        }
        // What is opened for reading alone and is not ours to know, such as a socket, has no calls that matter.
        let Some(id) = self.find(path) else { return false };
        self.open.insert(fd, id);
        if truncate && there.is_some() {
            self.change(fd, Change::Truncate { len: 0 });
        }
        truncate || there.is_none()
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        let come = (path.file_name().unwrap().to_owned(), self.nodes.len() - 1);
        self.rename_in(path.parent().unwrap(), Renaming { gone: None, come: Some(come) });
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        assert_eq!(from.parent(), to.parent(), "renames between directories are not modelled");
        let come = (to.file_name().unwrap().to_owned(), self.find(from).unwrap());
        self.rename_in(to.parent().unwrap(), Renaming { gone: from.file_name().map(Into::into), come: Some(come) });
    }

    fn rename_in(&mut self, dir: &Path, renaming: Renaming) {
        let id = self.find(dir).unwrap();
        let Node::Dir { live, since, .. } = &mut self.nodes[id] else { panic!("{} is no directory", dir.display()) };
        renaming.apply(live);
        since.push(renaming);
    }

    fn change(&mut self, fd: i32, change: Change) {
        let Node::File { live, since, .. } = &mut self.nodes[self.open[&fd]] else { panic!("a directory is written to") };
        match &change {
            Change::Write { at, data } => live.write(*at, data),
            Change::Truncate { len } => live.set_len(*len),
        }
        since.push(change);
    }

    fn sync(&mut self, id: Id) {
        match &mut self.nodes[id] {
            Node::File { durable, live, since } => {
                if !since.is_empty() {
                    *durable = Arc::new(live.clone());
                    since.clear();
                }
            }
            Node::Dir { durable, live, since } if self.ignoring != Ignoring::DirectorySync => {
                durable.clone_from(live);
                since.clear();
            }
            Node::Dir { .. } => {}
        }
    }
}

enum Seen {
    File(Arc<Image>),
    Dir(BTreeMap<OsString, Id>),
}

fn empty_dir() -> Node {
    Node::Dir { durable: BTreeMap::new(), live: BTreeMap::new(), since: Vec::new() }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<OsString, Id>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, id)) = &self.come {
            names.insert(name.clone(), *id);
        }
    }
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Nothing,
    Everything,
    /// Some of the writes, each whole.
    Some,
    /// The earlier writes, and the last of them torn.
    Earlier,
    /// The later writes only.
    Later,
    /// Sectors here and there: so many of a hundred.
    Sectors(usize),
    /// Everything but a page, or but a sector.
    AllBut(usize),
}

impl Fate {
    fn of(rng: &mut Rng) -> Self {
        match rng.below(9) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Some,
            3 | 4 => Self::Earlier,
            5 => Self::Later,
            6 => Self::Sectors([5, 50, 95][rng.below(3)]),
            7 => Self::AllBut(1),
            _ => Self::AllBut(8),
        }
    }

    /// Chooses among `n` changes: whether each happened, not at all, or torn.
    fn choose(self, n: usize, rng: &mut Rng) -> Vec<Choice> {
        let middle = rng.below(n + 1);
        let of = |happened| if happened { Choice::Whole } else { Choice::Not };
        (0..n)
            .map(|i| match self {
                Self::Nothing => Choice::Not,
                Self::Everything => Choice::Whole,
                Self::Some => of(rng.chance(50)),
                Self::Earlier if i == middle => Choice::Torn(50),
                Self::Earlier => of(i < middle),
                Self::Later => of(i >= middle),
                Self::Sectors(percent) => Choice::Torn(percent),
                Self::AllBut(sectors) if i == middle.min(n - 1) => Choice::Hole(sectors),
                Self::AllBut(_) => Choice::Whole,
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Not,
    Whole,
    /// So many sectors of a hundred.
    Torn(usize),
    /// All but so many sectors.
    Hole(usize),
}

fn left_of_file(durable: &Image, live: &Image, since: &[Change], fate: Fate, rng: &mut Rng) -> Image {
    let mut left = durable.clone();
    for (change, choice) in since.iter().zip(fate.choose(since.len(), rng)) {
        match (change, choice) {
            (_, Choice::Not) => {}
            (Change::Truncate { len }, Choice::Whole) => left.set_len(*len),
            (Change::Truncate { len }, Choice::Torn(_) | Choice::Hole(_)) => {
                if rng.chance(50) {
                    left.set_len(*len);
                }
            }
            (Change::Write { at, data }, Choice::Whole) => left.write(*at, data),
            (Change::Write { at, data }, Choice::Torn(percent)) => {
                sectors(*at, data).filter(|_| rng.chance(percent)).for_each(|(at, data)| left.write(at, data))
            }
            (Change::Write { at, data }, Choice::Hole(len)) => {
                let hole = rng.below(data.len().div_ceil(SECTOR));
                sectors(*at, data)
                    .enumerate()
                    .filter(|(i, _)| !(hole..hole + len).contains(i))
                    .for_each(|(_, (at, data))| left.write(at, data));
            }
        }
    }
    match rng.below(5) {
        0 if left.len() > durable.len() => left.set_len(durable.len()),
        1 | 2 if left.len() < live.len() => left.set_len(live.len()),
        _ => {}
    }
    left
}

/// Cuts a write where the disk could cut it.
fn sectors(at: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (first, rest) = data.split_at(data.len().min(SECTOR - at % SECTOR));
    std::iter::once((at, first)).chain(rest.chunks(SECTOR).enumerate().map(move |(i, sector)| (at + first.len() + i * SECTOR, sector)))
}

fn left_of_dir(durable: &BTreeMap<OsString, Id>, since: &[Renaming], fate: Fate, rng: &mut Rng) -> BTreeMap<OsString, Id> {
    let mut left = durable.clone();
    for (renaming, choice) in since.iter().zip(fate.choose(since.len(), rng)) {
        let happened = match choice {
            Choice::Not => false,
            Choice::Whole => true,
            Choice::Torn(_) | Choice::Hole(_) => rng.chance(50),
        };
        if happened {
            renaming.apply(&mut left);
        }
    }
    left
}
