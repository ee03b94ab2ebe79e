//! The path-keyed Merkle-Patricia trie: the same walk, and the same bytes, as `openledger.state.trie`.
//!
//! First the structure is changed, which loads nodes through a Python callback; then everything that was touched is
//! encoded and hashed without the interpreter lock, large batches on all cores.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use revm::primitives::{B256, HashMap, keccak256};

use crate::node::{
    Branch, Child, HASH, MissingNode, Node, Path, Stored, decode, empty_branch, encode, joined, nibbles,
};
use crate::rlp::{bytes_length, put_bytes};
use crate::values::from_bytes;

const EMPTY_ROOT: B256 =
    revm::primitives::alloy_primitives::b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
const PARALLEL_ITEMS: usize = 256;

struct Change {
    path: Path,
    value: Vec<u8>,
}

/// Where nodes come from; what was loaded is remembered.
trait Source {
    fn load(&mut self, path: &[u8]) -> PyResult<Option<Vec<u8>>>;
}

struct Callback<'a, 'py> {
    function: &'a Bound<'py, PyAny>,
    loaded: HashMap<Path, Vec<u8>>,
}

impl Source for Callback<'_, '_> {
    fn load(&mut self, path: &[u8]) -> PyResult<Option<Vec<u8>>> {
        let found = self.function.call1((from_bytes(self.function.py(), path),))?;
        if found.is_none() {
            return Ok(None);
        }
        let blob = found.cast::<PyBytes>()?.as_bytes().to_vec();
        self.loaded.insert(path.to_vec(), blob.clone());
        Ok(Some(blob))
    }
}

struct Nothing;

impl Source for Nothing {
    fn load(&mut self, _path: &[u8]) -> PyResult<Option<Vec<u8>>> {
        Ok(None)
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

// --- structure -----------------------------------------------------------------------------------------------------

struct Work<'a, S: Source> {
    source: &'a mut S,
}

impl<S: Source> Work<'_, S> {
    fn resolve(&mut self, child: Child, path: &[u8]) -> PyResult<Option<Node>> {
        let raw = match child {
            Child::Empty => return Ok(None),
            Child::Node(node) => return Ok(Some(*node)),
            Child::Raw(raw) => raw,
        };
        if raw.first() != Some(&HASH) {
            return decode(&raw).map(Some);
        }
        match self.source.load(path)? {
            Some(blob) => decode(&blob).map(Some),
            None => Err(MissingNode::new_err(path.to_vec())),
        }
    }

    /// Apply sorted changes, all of which begin with `path`, to the subtree at `path`.
    fn update(&mut self, node: Option<Node>, path: &[u8], items: &[Change]) -> PyResult<Option<Node>> {
        let depth = path.len();
        match node {
            None => Ok(build(depth, &kept(items, None))),
            Some(Node::Branch(branch)) => self.update_branch(branch, path, items),
            Some(Node::Leaf(key, value)) => {
                let full = joined(path, &key);
                let stays = !items.iter().any(|item| item.path == full);
                Ok(build(depth, &kept(items, stays.then_some((&full, &value)))))
            }
            Some(Node::Extension(key, child)) => self.update_extension(key, child, path, items),
        }
    }

    fn update_extension(&mut self, key: Path, child: Child, path: &[u8], items: &[Change]) -> PyResult<Option<Node>> {
        let depth = path.len();
        let shared = items.first().into_iter().chain(items.last()).map(|item| common(&key, &item.path[depth..])).min();
        let shared = shared.unwrap_or(0);
        if shared == key.len() {
            let below = joined(path, &key);
            let node = self.resolve(child, &below)?;
            let node = self.update(node, &below, items)?;
            return Ok(join(&key, node));
        }
        let mut branch = empty_branch();
        let rest = key[shared + 1..].to_vec();
        branch.children[usize::from(key[shared])] =
            if rest.is_empty() { child } else { Child::Node(Box::new(Node::Extension(rest, child))) };
        let node = self.update_branch(branch, &joined(path, &key[..shared]), items)?;
        Ok(join(&key[..shared], node))
    }

    fn update_branch(&mut self, mut branch: Box<Branch>, path: &[u8], items: &[Change]) -> PyResult<Option<Node>> {
        let depth = path.len();
        let mut rest = items;
        if let Some((first, others)) = items.split_first()
            && first.path.len() == depth
        {
            branch.value.clone_from(&first.value);
            rest = others;
        }
        for group in rest.chunk_by(|one, other| one.path[depth] == other.path[depth]) {
            let nibble = group[0].path[depth];
            let below = joined(path, &[nibble]);
            let child = std::mem::replace(&mut branch.children[usize::from(nibble)], Child::Empty);
            let node = self.resolve(child, &below)?;
            if let Some(node) = self.update(node, &below, group)? {
                branch.children[usize::from(nibble)] = Child::Node(Box::new(node));
            }
        }
        self.collapse(branch, path)
    }

    /// The canonical form of a branch after deletions: none, a leaf, an extension, or itself.
    fn collapse(&mut self, mut branch: Box<Branch>, path: &[u8]) -> PyResult<Option<Node>> {
        let mut present = (0u8..16).filter(|nibble| !matches!(branch.children[usize::from(*nibble)], Child::Empty));
        let (first, second) = (present.next(), present.next());
        let Some(only) = first else {
            return Ok((!branch.value.is_empty()).then(|| Node::Leaf(Path::new(), branch.value)));
        };
        if second.is_some() || !branch.value.is_empty() {
            return Ok(Some(Node::Branch(branch)));
        }
        let child = std::mem::replace(&mut branch.children[usize::from(only)], Child::Empty);
        let node = self.resolve(child, &joined(path, &[only]))?;
        Ok(join(&[only], node))
    }
}

/// `node` with `prefix` before its own nibbles.
fn join(prefix: &[u8], node: Option<Node>) -> Option<Node> {
    let node = node?;
    if prefix.is_empty() {
        return Some(node);
    }
    Some(match node {
        Node::Branch(_) => Node::Extension(prefix.to_vec(), Child::Node(Box::new(node))),
        Node::Leaf(key, value) => Node::Leaf(joined(prefix, &key), value),
        Node::Extension(key, child) => Node::Extension(joined(prefix, &key), child),
    })
}

type Entry<'a> = (&'a [u8], &'a [u8]);

/// Changes that are no deletions, with the leaf that stays, sorted.
fn kept<'a>(items: &'a [Change], leaf: Option<(&'a Path, &'a Vec<u8>)>) -> Vec<Entry<'a>> {
    let mut found: Vec<Entry<'a>> = Vec::with_capacity(items.len() + 1);
    found.extend(items.iter().filter(|item| !item.value.is_empty()).map(|item| (&item.path[..], &item.value[..])));
    if let Some((path, value)) = leaf {
        let at = found.partition_point(|entry| entry.0 < &path[..]);
        found.insert(at, (path, value));
    }
    found
}

/// A fresh subtree of sorted entries that share their first `depth` nibbles.
fn build(depth: usize, entries: &[Entry<'_>]) -> Option<Node> {
    let (first, last) = (entries.first()?, entries.last()?);
    if entries.len() == 1 {
        return Some(Node::Leaf(first.0[depth..].to_vec(), first.1.to_vec()));
    }
    let shared = common(&first.0[depth..], &last.0[depth..]);
    if shared > 0 {
        let below = build(depth + shared, entries)?;
        return Some(Node::Extension(first.0[depth..depth + shared].to_vec(), Child::Node(Box::new(below))));
    }
    let mut branch = empty_branch();
    let mut rest = entries;
    if first.0.len() == depth {
        branch.value = first.1.to_vec();
        rest = &entries[1..];
    }
    for group in rest.chunk_by(|one, other| one.0[depth] == other.0[depth]) {
        if let Some(node) = build(depth + 1, group) {
            branch.children[usize::from(group[0].0[depth])] = Child::Node(Box::new(node));
        }
    }
    Some(Node::Branch(branch))
}

// --- the functions -------------------------------------------------------------------------------------------------

/// Sorted changes; the last of equal keys wins.
fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes.dedup_by(|later, kept| {
        let same = later.path == kept.path;
        if same {
            std::mem::swap(&mut later.value, &mut kept.value);
        }
        same
    });
    changes
}

fn read_changes(changes: &Bound<'_, PyAny>) -> PyResult<Vec<Change>> {
    let mut out = Vec::new();
    for pair in changes.try_iter()? {
        let (key, value): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = pair?.extract()?;
        out.push(Change { path: nibbles(key.as_bytes()), value: value.as_bytes().to_vec() });
    }
    Ok(sorted(out))
}

fn finish(root: Option<&Node>, parallel: bool) -> (B256, Stored) {
    let mut stored = Stored::new();
    let Some(root) = root else { return (EMPTY_ROOT, stored) };
    let blob = encode(root, &[], parallel, &mut stored);
    let hash = keccak256(&blob);
    stored.push((Path::new(), blob));
    (hash, stored)
}

/// Apply `(key, value)` changes to the trie behind `load`: `(root, nodes, before)`. See `openledger.state.trie.update`.
#[pyfunction]
pub fn trie_update<'py>(
    py: Python<'py>,
    load: &Bound<'py, PyAny>,
    changes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let items = read_changes(changes)?;
    let mut source = Callback { function: load, loaded: HashMap::default() };
    let mut root = match source.load(&[])? {
        Some(blob) => Some(decode(&blob)?),
        None => None,
    };
    if !items.is_empty() {
        root = Work { source: &mut source }.update(root, &[], &items)?;
    }
    let loaded = source.loaded;
    let (hash, stored) = py.detach(|| finish(root.as_ref(), items.len() >= PARALLEL_ITEMS));
    let (nodes, before) = (PyDict::new(py), PyDict::new(py));
    let mut gone = loaded;
    for (path, blob) in &stored {
        let old = gone.remove(path);
        if old.as_ref() != Some(blob) {
            let key = from_bytes(py, path);
            nodes.set_item(&key, from_bytes(py, blob))?;
            before.set_item(&key, old.map(|old| from_bytes(py, &old)))?;
        }
    }
    for (path, old) in &gone {
        let key = from_bytes(py, path);
        nodes.set_item(&key, py.None())?;
        before.set_item(&key, from_bytes(py, old))?;
    }
    (from_bytes(py, hash.as_slice()), nodes, before).into_pyobject(py)
}

/// Root over a list, keyed by rlp(index): Ethereum's transactions and receipts roots.
#[pyfunction]
pub fn ordered_trie_root<'py>(py: Python<'py>, values: Vec<Vec<u8>>) -> PyResult<Bound<'py, PyBytes>> {
    let hash = py.detach(|| {
        let count = values.len();
        let changes = values.into_iter().enumerate().map(|(index, value)| {
            let number = (index as u64).to_be_bytes();
            let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
            let mut key = Vec::with_capacity(bytes_length(&number[start..]));
            put_bytes(&mut key, &number[start..]);
            Change { path: nibbles(&key), value }
        });
        let items = sorted(changes.collect());
        let root = Work { source: &mut Nothing }.update(None, &[], &items)?;
        PyResult::Ok(finish(root.as_ref(), count >= PARALLEL_ITEMS).0)
    })?;
    Ok(from_bytes(py, hash.as_slice()))
}
