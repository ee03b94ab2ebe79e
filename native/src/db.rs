//! The state of one run: what was read, what was written, and where reads go that find neither.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::primitives::map::{AddressMap, AddressSet, B256Map, U256Map};
use revm::primitives::{Address, B256, KECCAK_EMPTY, U256};
use revm::state::{AccountInfo, EvmState};

use crate::cache::{Account, Cache};
use crate::values::{from_bytes, from_word, to_address, to_hash, to_word};

/// Why a read failed; the Python exception waits in `Db::failure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DbError {
    /// A callback raised.
    Python,
    /// Something that only the reference engine does.
    NeedsReference(&'static str),
}

impl fmt::Display for DbError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python => out.write_str("a read of the state raised"),
            Self::NeedsReference(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for DbError {}
impl DBErrorMarker for DbError {}

/// An overlay directly on a head state: its own tables, and the head with its generation.
pub struct Own {
    /// Address -> account or None.
    pub accounts: Py<PyDict>,
    /// Address -> slot -> value.
    pub storage: Py<PyDict>,
    /// Addresses whose older storage is gone.
    pub wiped: Py<PyDict>,
    /// The head's reader.
    pub head: Py<PyAny>,
    /// The head's generation, of the cache's store.
    pub generation: u64,
}

/// See the module.
pub struct Db {
    state: Py<PyAny>,
    block_hash: Py<PyAny>,
    own: Option<Own>,
    cache: Arc<Mutex<Cache>>,
    base: AddressMap<Option<Account>>,
    base_slots: AddressMap<U256Map<U256>>,
    accounts: AddressMap<Option<Account>>,
    slots: AddressMap<U256Map<U256>>,
    wiped: AddressSet,
    codes: B256Map<Bytecode>,
    /// The exception that a callback raised.
    pub failure: Option<PyErr>,
}

/// What a run changed, sorted; see `openledger.state.ports.Diff`.
#[derive(Default)]
pub struct Changes {
    /// Accounts; None for deleted ones.
    pub accounts: Vec<(Address, Option<Account>)>,
    /// Slots.
    pub slots: Vec<(Address, U256, U256)>,
    /// Code by its hash.
    pub codes: Vec<(B256, Bytecode)>,
    /// Accounts whose older storage is gone and that exist.
    pub wiped: Vec<Address>,
}

/// Account of a Python `Account` or None.
pub fn read_account(found: &Bound<'_, PyAny>) -> PyResult<Option<Account>> {
    if found.is_none() {
        return Ok(None);
    }
    let py = found.py();
    Ok(Some(Account {
        nonce: found.getattr(intern!(py, "nonce"))?.extract()?,
        balance: to_word(&found.getattr(intern!(py, "balance"))?)?,
        code_hash: to_hash(&found.getattr(intern!(py, "code_hash"))?)?,
    }))
}

impl Db {
    /// A run over `state`, a Python `StateReader`.
    pub fn new(state: Py<PyAny>, block_hash: Py<PyAny>, own: Option<Own>, cache: Arc<Mutex<Cache>>) -> Self {
        Self {
            state,
            block_hash,
            own,
            cache,
            base: AddressMap::default(),
            base_slots: AddressMap::default(),
            accounts: AddressMap::default(),
            slots: AddressMap::default(),
            wiped: AddressSet::default(),
            codes: B256Map::default(),
            failure: None,
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn note<T>(&mut self, outcome: PyResult<T>) -> Result<T, DbError> {
        outcome.map_err(|err| {
            self.failure = Some(err);
            DbError::Python
        })
    }

    /// The account as it is now.
    pub fn account(&mut self, address: Address) -> Result<Option<Account>, DbError> {
        if let Some(found) = self.accounts.get(&address).or_else(|| self.base.get(&address)) {
            return Ok(found.clone());
        }
        let read = self.read_account(&address);
        let found = self.note(read)?;
        self.base.insert(address, found.clone());
        Ok(found)
    }

    fn read_account(&self, address: &Address) -> PyResult<Option<Account>> {
        Python::attach(|py| {
            let Some(own) = &self.own else {
                let key = from_bytes(py, address.as_slice());
                return read_account(&self.state.bind(py).call_method1(intern!(py, "account"), (key,))?);
            };
            let written = own.accounts.bind(py);
            if !written.is_empty()
                && let Some(found) = written.get_item(from_bytes(py, address.as_slice()))?
            {
                return read_account(&found);
            }
            let known = self.cache().account(own.generation, address);
            if let Some(found) = known {
                return Ok(found);
            }
            let key = from_bytes(py, address.as_slice());
            let found = read_account(&own.head.bind(py).call_method1(intern!(py, "account"), (key,))?)?;
            self.cache().learn_account(own.generation, *address, found.clone());
            Ok(found)
        })
    }

    fn read_slot(&self, address: &Address, slot: &U256) -> PyResult<U256> {
        Python::attach(|py| {
            let key = from_bytes(py, address.as_slice());
            let Some(own) = &self.own else {
                let number = from_word(py, slot)?;
                return to_word(&self.state.bind(py).call_method1(intern!(py, "storage"), (key, number))?);
            };
            if let Some(slots) = own.storage.bind(py).get_item(&key)?
                && let Some(value) = slots.cast::<PyDict>()?.get_item(from_word(py, slot)?)?
            {
                return to_word(&value);
            }
            if own.wiped.bind(py).contains(&key)? {
                return Ok(U256::ZERO);
            }
            let known = self.cache().slot(own.generation, address, slot);
            if let Some(value) = known {
                return Ok(value);
            }
            let number = from_word(py, slot)?;
            let value = to_word(&own.head.bind(py).call_method1(intern!(py, "storage"), (key, number))?)?;
            self.cache().learn_slot(own.generation, *address, *slot, value);
            Ok(value)
        })
    }

    fn has_storage_beneath(&mut self, address: &Address) -> Result<bool, DbError> {
        let asked = Python::attach(|py| {
            let key = from_bytes(py, address.as_slice());
            self.state.bind(py).call_method1(intern!(py, "has_storage"), (key,))?.extract()
        });
        self.note(asked)
    }

    /// An error when a contract cannot be created here because of old storage alone (EIP-7610), which revm does not know.
    pub fn refuse_old_storage(&mut self, address: Address) -> Result<(), DbError> {
        let vacant = self.account(address)?.is_some_and(|account| account.is_vacant());
        if vacant && !self.wiped.contains(&address) && self.has_storage_beneath(&address)? {
            return Err(DbError::NeedsReference("a creation at an address with storage (EIP-7610)"));
        }
        Ok(())
    }

    /// Code by its hash.
    pub fn code(&mut self, hash: B256) -> Result<Bytecode, DbError> {
        if hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(found) = self.codes.get(&hash) {
            return Ok(found.clone());
        }
        let known = self.cache().code(&hash);
        if let Some(found) = known {
            return Ok(found);
        }
        let read = Python::attach(|py| -> PyResult<Vec<u8>> {
            let key = from_bytes(py, hash.as_slice());
            let code = self.state.bind(py).call_method1(intern!(py, "code"), (key,))?;
            Ok(code.cast::<PyBytes>()?.as_bytes().to_vec())
        });
        let raw = self.note(read)?;
        Ok(self.cache().learn_code(hash, raw))
    }

    /// Take over what a transaction changed. Returns the sum of balances before it, less the sum after it (modulo
    /// 2^256).
    pub fn commit(&mut self, state: EvmState) -> Result<U256, DbError> {
        let mut lost = U256::ZERO;
        for (address, found) in state {
            if !found.is_touched() {
                continue;
            }
            let before = self.account(address)?;
            lost = lost.wrapping_add(before.as_ref().map_or(U256::ZERO, |account| account.balance));
            if found.is_selfdestructed() || found.is_empty() {
                self.delete(address, before.is_some())?;
                continue;
            }
            lost = lost.wrapping_sub(found.info.balance);
            let code_hash = found.info.code_hash;
            if code_hash != KECCAK_EMPTY
                && before.is_none_or(|account| account.code_hash != code_hash)
                && let Some(code) = found.info.code
            {
                self.codes.insert(code_hash, code);
            }
            let now = Account { nonce: found.info.nonce, balance: found.info.balance, code_hash };
            self.accounts.insert(address, Some(now));
            for (slot, value) in found.storage {
                if value.present_value != value.original_value {
                    self.slots.entry(address).or_default().insert(slot, value.present_value);
                }
            }
        }
        Ok(lost)
    }

    fn delete(&mut self, address: Address, existed: bool) -> Result<(), DbError> {
        self.slots.remove(&address);
        if existed && !self.wiped.contains(&address) && self.has_storage_beneath(&address)? {
            self.wiped.insert(address);
        }
        self.accounts.insert(address, None);
        Ok(())
    }

    /// Net difference against the state beneath. A written slot was read before, except in an account that was created
    /// here, which has none beneath.
    pub fn changes(mut self) -> Changes {
        let mut out = Changes::default();
        for (address, account) in &self.accounts {
            if self.base.get(address) == Some(account) && !self.wiped.contains(address) {
                continue;
            }
            if let Some(code) = account.as_ref().and_then(|found| self.codes.get_key_value(&found.code_hash)) {
                out.codes.push((*code.0, code.1.clone()));
            }
            out.accounts.push((*address, account.clone()));
        }
        for (address, slots) in &self.slots {
            let none = U256Map::default();
            let wiped = self.wiped.contains(address);
            let base = self.base_slots.get(address).filter(|_| !wiped).unwrap_or(&none);
            for (slot, value) in slots {
                if base.get(slot).copied().unwrap_or_default() != *value {
                    out.slots.push((*address, *slot, *value));
                }
            }
        }
        out.wiped.extend(self.wiped.drain().filter(|address| matches!(self.accounts.get(address), Some(Some(_)))));
        out.accounts.sort_unstable_by_key(|entry| entry.0);
        out.slots.sort_unstable();
        out.codes.sort_unstable_by_key(|entry| entry.0);
        out.codes.dedup_by_key(|entry| entry.0);
        out.wiped.sort_unstable();
        out
    }
}

impl Database for Db {
    type Error = DbError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DbError> {
        Ok(self.account(address)?.map(|found| AccountInfo {
            balance: found.balance,
            nonce: found.nonce,
            code: (found.code_hash == KECCAK_EMPTY).then(Bytecode::default),
            code_hash: found.code_hash,
            account_id: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, DbError> {
        self.code(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, DbError> {
        if let Some(value) = self.slots.get(&address).and_then(|slots| slots.get(&slot)) {
            return Ok(*value);
        }
        if self.wiped.contains(&address) {
            return Ok(U256::ZERO);
        }
        if let Some(value) = self.base_slots.get(&address).and_then(|slots| slots.get(&slot)) {
            return Ok(*value);
        }
        let read = self.read_slot(&address, &slot);
        let value = self.note(read)?;
        self.base_slots.entry(address).or_default().insert(slot, value);
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DbError> {
        let read = Python::attach(|py| -> PyResult<B256> {
            let found = self.block_hash.bind(py).call1((number,))?;
            if found.is_none() { Ok(B256::ZERO) } else { to_hash(&found) }
        });
        self.note(read)
    }
}

/// Committed changes of a Python `Diff`.
pub fn read_diff(diff: &Bound<'_, PyAny>) -> PyResult<crate::cache::Committed> {
    let py = diff.py();
    let mut out = crate::cache::Committed::default();
    for (address, account) in diff.getattr(intern!(py, "accounts"))?.cast::<PyDict>()? {
        out.accounts.push((to_address(&address)?, read_account(&account)?));
    }
    for (key, value) in diff.getattr(intern!(py, "storage"))?.cast::<PyDict>()? {
        out.slots.push((to_address(&key.get_item(0)?)?, to_word(&key.get_item(1)?)?, to_word(&value)?));
    }
    for address in diff.getattr(intern!(py, "wiped"))?.try_iter()? {
        out.wiped.push(to_address(&address?)?);
    }
    Ok(out)
}
