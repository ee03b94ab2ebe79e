//! Nodes of the trie and their bytes.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use rayon::prelude::*;
use revm::primitives::keccak256;

use crate::rlp::{Item, put_bytes, put_list_header, split};

create_exception!(openledger_native, MissingNode, PyException, "A trie node is missing; its path is the argument.");

const EMPTY: u8 = 0x80;
/// First byte of a reference by hash.
pub const HASH: u8 = 0xa0;

/// Nibbles, one a byte.
pub type Path = Vec<u8>;

/// A node in memory; leaf and extension begin with their own nibbles.
pub enum Node {
    /// Nibbles and value.
    Leaf(Path, Vec<u8>),
    /// Nibbles and child.
    Extension(Path, Child),
    /// At least two of children and value are there.
    Branch(Box<Branch>),
}

/// Sixteen children and a value, empty for none.
pub struct Branch {
    /// By nibble.
    pub children: [Child; 16],
    /// Of the key that ends here.
    pub value: Vec<u8>,
}

/// What a branch or extension refers to.
pub enum Child {
    /// None.
    Empty,
    /// The RLP with which a parent refers to it.
    Raw(Vec<u8>),
    /// Loaded or new.
    Node(Box<Node>),
}

/// Path of a key.
pub fn nibbles(key: &[u8]) -> Path {
    key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

/// One path after the other.
pub fn joined(one: &[u8], other: &[u8]) -> Path {
    [one, other].concat()
}

/// A branch without children.
pub fn empty_branch() -> Box<Branch> {
    Box::new(Branch { children: [const { Child::Empty }; 16], value: Vec::new() })
}

/// Hex-prefix encoding; `flag` 0x20 for a leaf.
fn compact(key: &[u8], flag: u8) -> Vec<u8> {
    let odd = key.len() % 2;
    let mut out = Vec::with_capacity(key.len() / 2 + 1);
    out.push(if odd == 1 { flag | 0x10 | key[0] } else { flag });
    out.extend(key[odd..].chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    out
}

/// Paths and bytes of encoded nodes.
pub type Stored = Vec<(Path, Vec<u8>)>;

/// RLP of a node; every node below it that is 32 bytes or longer goes to `stored`.
pub fn encode(node: &Node, path: &[u8], parallel: bool, stored: &mut Stored) -> Vec<u8> {
    let mut payload = Vec::with_capacity(544);
    match node {
        Node::Branch(branch) if parallel => {
            let parts: Vec<(Vec<u8>, Stored)> = branch
                .children
                .par_iter()
                .enumerate()
                .map(|(nibble, child)| {
                    let mut own = Stored::new();
                    let mut reference = Vec::new();
                    refer(child, &joined(path, &[nibble as u8]), &mut own, &mut reference);
                    (reference, own)
                })
                .collect();
            for (reference, own) in parts {
                payload.extend(reference);
                stored.extend(own);
            }
            put_bytes(&mut payload, &branch.value);
        }
        Node::Branch(branch) => {
            for (nibble, child) in branch.children.iter().enumerate() {
                refer(child, &joined(path, &[nibble as u8]), stored, &mut payload);
            }
            put_bytes(&mut payload, &branch.value);
        }
        Node::Leaf(key, value) => {
            put_bytes(&mut payload, &compact(key, 0x20));
            put_bytes(&mut payload, value);
        }
        Node::Extension(key, child) => {
            put_bytes(&mut payload, &compact(key, 0));
            refer(child, &joined(path, key), stored, &mut payload);
        }
    }
    let mut out = Vec::with_capacity(payload.len() + 3);
    put_list_header(&mut out, payload.len());
    out.extend(payload);
    out
}

/// What a parent holds for a child: itself when short, else its hash.
fn refer(child: &Child, path: &[u8], stored: &mut Stored, out: &mut Vec<u8>) {
    match child {
        Child::Empty => out.push(EMPTY),
        Child::Raw(raw) => out.extend(raw),
        Child::Node(node) => {
            let blob = encode(node, path, false, stored);
            if blob.len() < 32 {
                out.extend(blob);
                return;
            }
            out.push(HASH);
            out.extend(keccak256(&blob));
            stored.push((path.to_vec(), blob));
        }
    }
}

fn malformed() -> PyErr {
    MissingNode::new_err("a trie node is malformed")
}

/// Node of its RLP.
pub fn decode(blob: &[u8]) -> PyResult<Node> {
    let Some((Item::List(mut rest), _)) = split(blob) else { return Err(malformed()) };
    let mut items: Vec<(&[u8], Item<'_>)> = Vec::with_capacity(17);
    while !rest.is_empty() {
        let (item, after) = split(rest).ok_or_else(malformed)?;
        items.push((&rest[..rest.len() - after.len()], item));
        rest = after;
    }
    let child = |raw: &[u8]| if raw == [EMPTY] { Child::Empty } else { Child::Raw(raw.to_vec()) };
    if items.len() == 17 {
        let mut branch = empty_branch();
        for (nibble, (raw, _)) in items[..16].iter().enumerate() {
            branch.children[nibble] = child(raw);
        }
        let Item::Bytes(value) = items[16].1 else { return Err(malformed()) };
        branch.value = value.to_vec();
        return Ok(Node::Branch(branch));
    }
    let [(_, Item::Bytes(compact)), (raw, item)] = &items[..] else { return Err(malformed()) };
    let path = nibbles(compact);
    let flag = *path.first().ok_or_else(malformed)?;
    let key = path[if flag & 1 == 1 { 1 } else { 2 }..].to_vec();
    if flag & 2 == 0 {
        return Ok(Node::Extension(key, child(raw)));
    }
    let Item::Bytes(value) = item else { return Err(malformed()) };
    Ok(Node::Leaf(key, value.to_vec()))
}
