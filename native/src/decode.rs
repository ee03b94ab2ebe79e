//! Raw Ethereum transactions, many at once on all cores: fields, hash and sender.
//!
//! What is accepted here, `openledger.primitives.transactions.decode_transaction` accepts with the same fields. What is
//! not, it judges itself, and finds the words; so this code never refuses anything on its own.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use rayon::prelude::*;
use revm::primitives::{Address, B256, U256, keccak256};

use crate::recover::recover;
use crate::rlp::{Item, items, put_bytes, put_list_header, split};
use crate::values::{from_bytes, from_word};

const MAX_BYTES: usize = 128 * 1024;
const ACCESS_LIST: u8 = 1;
const DYNAMIC_FEE: u8 = 2;
const SET_CODE: u8 = 4;

struct Decoded {
    kind: u8,
    chain_id: U256,
    nonce: u64,
    tip: U256,
    cap: U256,
    gas: u64,
    to: Option<Address>,
    value: U256,
    data: Vec<u8>,
    access_list: Vec<(Address, Vec<B256>)>,
    authorizations: Vec<Signed>,
    parity: u8,
    r: U256,
    s: U256,
    hash: B256,
    sender: Address,
}

struct Signed {
    chain_id: U256,
    address: Address,
    nonce: u64,
    parity: u8,
    r: U256,
    s: U256,
}

fn bytes<'a>(item: &Item<'a>) -> Option<&'a [u8]> {
    match item {
        Item::Bytes(raw) => Some(raw),
        Item::List(_) => None,
    }
}

fn list<'a>(item: &Item<'a>) -> Option<Vec<Item<'a>>> {
    match item {
        Item::Bytes(_) => None,
        Item::List(payload) => items(payload),
    }
}

/// An integer in its shortest form.
fn word(item: &Item<'_>) -> Option<U256> {
    let raw = bytes(item)?;
    if raw.len() > 32 || raw.first() == Some(&0) { None } else { Some(U256::from_be_slice(raw)) }
}

fn small(item: &Item<'_>) -> Option<u64> {
    u64::try_from(word(item)?).ok()
}

fn target(item: &Item<'_>) -> Option<Option<Address>> {
    let raw = bytes(item)?;
    if raw.is_empty() { Some(None) } else { Address::try_from(raw).ok().map(Some) }
}

fn access_list(item: &Item<'_>) -> Option<Vec<(Address, Vec<B256>)>> {
    let mut out = Vec::new();
    for entry in list(item)? {
        let [address, keys] = list(&entry)?.try_into().ok()?;
        let mut found = Vec::new();
        for key in list(&keys)? {
            found.push(B256::try_from(bytes(&key)?).ok()?);
        }
        out.push((Address::try_from(bytes(&address)?).ok()?, found));
    }
    Some(out)
}

fn authorizations(item: &Item<'_>) -> Option<Vec<Signed>> {
    let mut out = Vec::new();
    for entry in list(item)? {
        let [chain_id, address, nonce, parity, r, s] = list(&entry)?.try_into().ok()?;
        out.push(Signed {
            chain_id: word(&chain_id)?,
            address: Address::try_from(bytes(&address)?).ok()?,
            nonce: small(&nonce)?,
            parity: u8::try_from(small(&parity)?).ok()?,
            r: word(&r)?,
            s: word(&s)?,
        });
    }
    if out.is_empty() { None } else { Some(out) }
}

fn whole_list(raw: &[u8]) -> Option<&[u8]> {
    match split(raw)? {
        (Item::List(payload), []) => Some(payload),
        _ => None,
    }
}

/// The encoded first `count` items of a payload.
fn prefix(payload: &[u8], count: usize) -> Option<&[u8]> {
    let mut rest = payload;
    for _ in 0..count {
        rest = split(rest)?.1;
    }
    Some(&payload[..payload.len() - rest.len()])
}

fn digest(kind: Option<u8>, body: &[u8]) -> B256 {
    let mut out = Vec::with_capacity(body.len() + 10);
    out.extend(kind);
    put_list_header(&mut out, body.len());
    out.extend(body);
    keccak256(out)
}

fn decode(raw: &[u8]) -> Option<Decoded> {
    if raw.len() > MAX_BYTES {
        return None;
    }
    match *raw.first()? {
        0xc0..=0xff => decode_legacy(raw),
        kind @ (ACCESS_LIST | DYNAMIC_FEE | SET_CODE) => decode_typed(raw, kind),
        _ => None,
    }
}

fn decode_legacy(raw: &[u8]) -> Option<Decoded> {
    let payload = whole_list(raw)?;
    let [nonce, price, gas, to, value, data, v, r, s] = items(payload)?.try_into().ok()?;
    let v = small(&v)?.checked_sub(35)?;
    let (chain_id, parity) = (v / 2, (v % 2) as u8);
    let mut body = prefix(payload, 6)?.to_vec();
    let number = U256::from(chain_id).to_be_bytes_trimmed_vec();
    put_bytes(&mut body, &number);
    body.extend([0x80, 0x80]);
    let (r, s, price) = (word(&r)?, word(&s)?, word(&price)?);
    Some(Decoded {
        kind: 0,
        chain_id: U256::from(chain_id),
        nonce: small(&nonce)?,
        tip: price,
        cap: price,
        gas: small(&gas)?,
        to: target(&to)?,
        value: word(&value)?,
        data: bytes(&data)?.to_vec(),
        access_list: Vec::new(),
        authorizations: Vec::new(),
        parity,
        r,
        s,
        hash: keccak256(raw),
        sender: recover(&digest(None, &body), &r, &s, parity)?,
    })
}

fn decode_typed(raw: &[u8], kind: u8) -> Option<Decoded> {
    let payload = whole_list(&raw[1..])?;
    let found = items(payload)?;
    let fees = if kind == ACCESS_LIST { 1 } else { 2 };
    let fields = 7 + fees + usize::from(kind == SET_CODE);
    if found.len() != fields + 3 {
        return None;
    }
    let (tip, cap) = (word(&found[2])?, word(&found[1 + fees])?);
    let [gas, to, value, data, access] = found[2 + fees..7 + fees].try_into().ok()?;
    let to = target(&to)?;
    if kind == SET_CODE && to.is_none() {
        return None;
    }
    let parity = u8::try_from(small(&found[fields])?).ok()?;
    let (r, s) = (word(&found[fields + 1])?, word(&found[fields + 2])?);
    Some(Decoded {
        kind,
        chain_id: word(&found[0])?,
        nonce: small(&found[1])?,
        tip,
        cap,
        gas: small(&gas)?,
        to,
        value: word(&value)?,
        data: bytes(&data)?.to_vec(),
        access_list: access_list(&access)?,
        authorizations: if kind == SET_CODE { authorizations(&found[7 + fees])? } else { Vec::new() },
        parity,
        r,
        s,
        hash: keccak256(raw),
        sender: recover(&digest(Some(kind), prefix(payload, fields)?), &r, &s, parity)?,
    })
}

/// The Python classes of the fields.
#[derive(FromPyObject)]
struct Classes<'py> {
    transaction: Bound<'py, PyAny>,
    access: Bound<'py, PyAny>,
    authorization: Bound<'py, PyAny>,
}

fn build<'py>(
    py: Python<'py>,
    classes: &Classes<'py>,
    tx: &Decoded,
    raw: &Bound<'py, PyBytes>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut access = Vec::with_capacity(tx.access_list.len());
    for (address, keys) in &tx.access_list {
        let keys = PyTuple::new(py, keys.iter().map(|key| from_bytes(py, key.as_slice())))?;
        access.push(classes.access.call1((from_bytes(py, address.as_slice()), keys))?);
    }
    let mut signed = Vec::with_capacity(tx.authorizations.len());
    for item in &tx.authorizations {
        signed.push(classes.authorization.call1((
            from_word(py, &item.chain_id)?,
            from_bytes(py, item.address.as_slice()),
            item.nonce,
            item.parity,
            from_word(py, &item.r)?,
            from_word(py, &item.s)?,
        ))?);
    }
    let cap = from_word(py, &tx.cap)?;
    let fields: [Bound<'py, PyAny>; 18] = [
        tx.kind.into_pyobject(py)?.into_any(),
        from_word(py, &tx.chain_id)?,
        tx.nonce.into_pyobject(py)?.into_any(),
        cap.clone(),
        from_word(py, &tx.tip)?,
        cap,
        tx.gas.into_pyobject(py)?.into_any(),
        tx.to.map(|to| from_bytes(py, to.as_slice())).into_pyobject(py)?,
        from_word(py, &tx.value)?,
        from_bytes(py, &tx.data).into_any(),
        PyTuple::new(py, access)?.into_any(),
        PyTuple::new(py, signed)?.into_any(),
        tx.parity.into_pyobject(py)?.into_any(),
        from_word(py, &tx.r)?,
        from_word(py, &tx.s)?,
        raw.clone().into_any(),
        from_bytes(py, tx.hash.as_slice()).into_any(),
        from_bytes(py, tx.sender.as_slice()).into_any(),
    ];
    classes.transaction.call1(PyTuple::new(py, fields)?)
}

/// An `EthTransaction` for each raw one that is surely good, None for the others.
#[pyfunction]
pub fn decode_transactions<'py>(
    py: Python<'py>,
    raws: Vec<Bound<'py, PyBytes>>,
    classes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let classes: Classes<'py> = classes.extract()?;
    let copies: Vec<Vec<u8>> = raws.iter().map(|raw| raw.as_bytes().to_vec()).collect();
    let decoded: Vec<Option<Decoded>> = py.detach(|| copies.par_iter().map(|raw| decode(raw)).collect());
    let out = PyList::empty(py);
    for (raw, tx) in raws.iter().zip(&decoded) {
        match tx {
            Some(tx) => out.append(build(py, &classes, tx, raw)?)?,
            None => out.append(py.None())?,
        }
    }
    Ok(out)
}
