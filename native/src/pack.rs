//! Outcomes as Python objects.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple};
use revm::primitives::{Address, Bytes, Log, U256};

use crate::cache::Account;
use crate::db::Changes;
use crate::values::{from_bytes, from_word};

/// What one transaction or call did.
pub struct Outcome {
    /// 1 or 0.
    pub status: u8,
    /// After refunds.
    pub gas_used: u64,
    /// In order.
    pub logs: Vec<Log>,
    /// Return or revert data.
    pub output: Bytes,
    /// Where a contract was to be created.
    pub created: Option<Address>,
    /// Why it failed.
    pub error: Failure,
    /// Wei.
    pub burned: U256,
}

/// Why a transaction failed; the words of a revert are found in Python.
pub enum Failure {
    /// It did not.
    None,
    /// REVERT.
    Reverted,
    /// Anything else.
    Text(String),
}

/// The outcome of one transaction, or the exception with which it is refused.
pub enum Verdict {
    /// It ran.
    Done(Outcome),
    /// It cannot be in a block.
    Refused(Py<PyAny>),
}

/// Python classes and functions that the engine uses.
#[derive(FromPyObject)]
pub struct Names {
    /// `Account`.
    pub account: Py<PyAny>,
    /// `Log`.
    pub log: Py<PyAny>,
    /// `TxResult`.
    pub result: Py<PyAny>,
    /// `validate_tx`.
    pub validate: Py<PyAny>,
    /// `InvalidTransaction`.
    pub refusal: Py<PyAny>,
    /// Words for revert data.
    pub revert_text: Py<PyAny>,
}

type Parts<'py> = (Bound<'py, PyDict>, Bound<'py, PyDict>, Bound<'py, PyDict>, Bound<'py, PySet>);

impl Names {
    /// The error text of an outcome.
    pub fn words<'py>(&self, py: Python<'py>, outcome: &Outcome) -> PyResult<Bound<'py, PyAny>> {
        match &outcome.error {
            Failure::None => Ok(intern!(py, "").clone().into_any()),
            Failure::Text(text) => Ok(text.as_str().into_pyobject(py)?.into_any()),
            Failure::Reverted => self.revert_text.bind(py).call1((from_bytes(py, &outcome.output),)),
        }
    }

    /// A tuple of `Log`.
    pub fn logs<'py>(&self, py: Python<'py>, logs: &[Log]) -> PyResult<Bound<'py, PyTuple>> {
        let class = self.log.bind(py);
        let mut made = Vec::with_capacity(logs.len());
        for log in logs {
            let topics = PyTuple::new(py, log.data.topics().iter().map(|topic| from_bytes(py, topic.as_slice())))?;
            made.push(class.call1((from_bytes(py, log.address.as_slice()), topics, from_bytes(py, &log.data.data)))?);
        }
        PyTuple::new(py, made)
    }

    /// Results and the parts of a `Diff`.
    pub fn pack<'py>(
        &self,
        py: Python<'py>,
        verdicts: Vec<Verdict>,
        changes: Changes,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let class = self.result.bind(py);
        let results = PyList::empty(py);
        for verdict in &verdicts {
            results.append(match verdict {
                Verdict::Refused(refusal) => {
                    let named = PyDict::new(py);
                    named.set_item(intern!(py, "refused"), refusal)?;
                    class.call((), Some(&named))?
                }
                Verdict::Done(done) => class.call1((
                    done.status,
                    done.gas_used,
                    self.logs(py, &done.logs)?,
                    from_bytes(py, &done.output),
                    done.created.map(|address| from_bytes(py, address.as_slice())),
                    self.words(py, done)?,
                    py.None(),
                    from_word(py, &done.burned)?,
                ))?,
            })?;
        }
        let (accounts, storage, codes, wiped) = self.changes(py, &changes)?;
        (results, accounts, storage, codes, wiped).into_pyobject(py)
    }

    /// The parts of a `Diff`: accounts, storage, codes, wiped.
    pub fn changes<'py>(&self, py: Python<'py>, changes: &Changes) -> PyResult<Parts<'py>> {
        let (accounts, storage, codes) = (PyDict::new(py), PyDict::new(py), PyDict::new(py));
        for (address, account) in &changes.accounts {
            accounts.set_item(from_bytes(py, address.as_slice()), self.account(py, account.as_ref())?)?;
        }
        for (address, slot, value) in &changes.slots {
            let key = (from_bytes(py, address.as_slice()), from_word(py, slot)?);
            storage.set_item(key, from_word(py, value)?)?;
        }
        for (hash, code) in &changes.codes {
            codes.set_item(from_bytes(py, hash.as_slice()), from_bytes(py, code.original_byte_slice()))?;
        }
        let wiped = PySet::empty(py)?;
        for address in &changes.wiped {
            wiped.add(from_bytes(py, address.as_slice()))?;
        }
        Ok((accounts, storage, codes, wiped))
    }

    /// An `Account` or None.
    pub fn account<'py>(&self, py: Python<'py>, account: Option<&Account>) -> PyResult<Bound<'py, PyAny>> {
        let Some(found) = account else { return Ok(py.None().into_bound(py)) };
        let balance = from_word(py, &found.balance)?;
        self.account.bind(py).call1((found.nonce, balance, from_bytes(py, found.code_hash.as_slice())))
    }
}
