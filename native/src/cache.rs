//! What is remembered between blocks: accounts and slots of one head state, and code, which never changes.
//!
//! Entries come from reads of the head itself and from diffs that the store has committed, never from what an engine
//! wrote while running. So a proposal that is dropped, or a call, leaves nothing here.

use pyo3::prelude::*;
use revm::bytecode::Bytecode;
use revm::primitives::map::{AddressMap, B256Map, U256Map};
use revm::primitives::{Address, B256, Bytes, KECCAK_EMPTY, U256};

const ACCOUNT_BYTES: usize = 160;
const SLOT_BYTES: usize = 120;
const CODE_BYTES: usize = 200;

/// One account of the flat state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// keccak256 of the code.
    pub code_hash: B256,
}

impl Account {
    /// EIP-161 without the balance: could a contract be created here?
    pub fn is_vacant(&self) -> bool {
        self.nonce == 0 && self.code_hash == KECCAK_EMPTY
    }
}

/// A committed block's changes, in the form that the cache takes them.
#[derive(Default)]
pub struct Committed {
    /// Accounts as they are now; None for deleted ones.
    pub accounts: Vec<(Address, Option<Account>)>,
    /// Slots as they are now.
    pub slots: Vec<(Address, U256, U256)>,
    /// Accounts whose older storage is gone.
    pub wiped: Vec<Address>,
}

/// The head that the cache describes: its store (kept alive, so that its identity is never reused) and generation.
pub struct Tag {
    /// The store.
    pub store: Py<PyAny>,
    /// Its generation.
    pub generation: u64,
}

/// See the module.
pub struct Cache {
    tag: Option<Tag>,
    accounts: AddressMap<Option<Account>>,
    slots: AddressMap<U256Map<U256>>,
    codes: B256Map<Bytecode>,
    state_bytes: usize,
    code_bytes: usize,
    limit: usize,
}

impl Cache {
    /// An empty cache that holds about `limit` bytes at most, half of it code.
    pub fn new(limit: usize) -> Self {
        Self {
            tag: None,
            accounts: AddressMap::default(),
            slots: AddressMap::default(),
            codes: B256Map::default(),
            state_bytes: 0,
            code_bytes: 0,
            limit,
        }
    }

    /// The generation that is remembered of this store.
    pub fn generation(&self, store: &Bound<'_, PyAny>) -> Option<u64> {
        self.tag.as_ref().filter(|tag| tag.store.bind(store.py()).is(store)).map(|tag| tag.generation)
    }

    /// Forget the state and describe another head from here on.
    pub fn restart(&mut self, tag: Tag) {
        self.tag = Some(tag);
        self.forget();
    }

    fn forget(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.state_bytes = 0;
    }

    /// The head moved on by one commit.
    pub fn advance(&mut self, changes: Committed) {
        let Some(tag) = self.tag.as_mut() else { return };
        tag.generation += 1;
        for address in &changes.wiped {
            self.drop_slots(address);
        }
        for (address, account) in changes.accounts {
            if account.is_none() {
                self.drop_slots(&address);
            }
            self.put_account(address, account);
        }
        for (address, slot, value) in changes.slots {
            self.put_slot(address, slot, value);
        }
    }

    fn drop_slots(&mut self, address: &Address) {
        if let Some(gone) = self.slots.remove(address) {
            self.state_bytes -= gone.len() * SLOT_BYTES;
        }
    }

    fn is_at(&self, generation: u64) -> bool {
        self.tag.as_ref().is_some_and(|tag| tag.generation == generation)
    }

    /// A remembered account of that generation.
    pub fn account(&self, generation: u64, address: &Address) -> Option<Option<Account>> {
        if self.is_at(generation) { self.accounts.get(address).cloned() } else { None }
    }

    /// A remembered slot of that generation.
    pub fn slot(&self, generation: u64, address: &Address, slot: &U256) -> Option<U256> {
        if self.is_at(generation) { self.slots.get(address)?.get(slot).copied() } else { None }
    }

    /// Remember what the head of that generation answered.
    pub fn learn_account(&mut self, generation: u64, address: Address, account: Option<Account>) {
        if self.is_at(generation) {
            self.put_account(address, account);
        }
    }

    /// Remember what the head of that generation answered.
    pub fn learn_slot(&mut self, generation: u64, address: Address, slot: U256, value: U256) {
        if self.is_at(generation) {
            self.put_slot(address, slot, value);
        }
    }

    fn put_account(&mut self, address: Address, account: Option<Account>) {
        if self.accounts.insert(address, account).is_none() {
            self.grow(ACCOUNT_BYTES);
        }
    }

    fn put_slot(&mut self, address: Address, slot: U256, value: U256) {
        if self.slots.entry(address).or_default().insert(slot, value).is_none() {
            self.grow(SLOT_BYTES);
        }
    }

    /// Count what was added. A full cache is emptied: it fills again from the state.
    fn grow(&mut self, bytes: usize) {
        self.state_bytes += bytes;
        if self.state_bytes > self.limit / 2 {
            self.forget();
        }
    }

    /// Remembered code.
    pub fn code(&self, hash: &B256) -> Option<Bytecode> {
        self.codes.get(hash).cloned()
    }

    /// Analyse code and remember it.
    pub fn learn_code(&mut self, hash: B256, raw: Vec<u8>) -> Bytecode {
        let bytes = raw.len() * 2 + CODE_BYTES;
        if self.code_bytes + bytes > self.limit / 2 {
            self.codes.clear();
            self.code_bytes = 0;
        }
        let code = analyse(raw);
        if bytes <= self.limit / 2 {
            self.code_bytes += bytes;
            self.codes.insert(hash, code.clone());
        }
        code
    }

    /// Bytes in use, roughly: state and code.
    pub fn size(&self) -> (usize, usize) {
        (self.state_bytes, self.code_bytes)
    }
}

/// Code in revm's form. What looks like a delegation but is none (EIP-7702) is ordinary code.
pub fn analyse(raw: Vec<u8>) -> Bytecode {
    let bytes = Bytes::from(raw);
    Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes))
}
