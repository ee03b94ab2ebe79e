//! Transactions and block environments as Rust sees them, and the quick check that a transaction is surely valid.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm::context::either::Either;
use revm::context::transaction::{
    AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization,
};
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::{Address, B256, Bytes, TxKind, U256};

use crate::cache::Account;
use crate::recover;
use crate::values::{to_address, to_hash, to_small_word, to_word};

const GAS_TRANSACTION: u64 = 21_000;
const GAS_CREATE: u64 = 32_000;
const GAS_ACCESS_ADDRESS: u64 = 2_400;
const GAS_ACCESS_KEY: u64 = 1_900;
const GAS_AUTHORIZATION: u64 = 25_000;
const MAX_INITCODE_BYTES: usize = 49_152;
const CANCUN_BLOB_FRACTION: u64 = 3_338_477;
const PRAGUE_BLOB_FRACTION: u64 = 5_007_716;

/// What all transactions of a batch share.
pub struct Block {
    /// revm's form.
    pub env: BlockEnv,
    /// EIP-155.
    pub chain_id: u64,
    /// Prague rules; else Cancun's.
    pub prague: bool,
}

/// None when a value does not fit revm's types.
pub fn read_block(env: &Bound<'_, PyAny>, prague: bool) -> PyResult<Option<Block>> {
    let py = env.py();
    let small = |name: &str| -> PyResult<Option<u64>> { Ok(u64::try_from(to_word(&env.getattr(name)?)?).ok()) };
    let (Some(chain_id), Some(gas_limit), Some(basefee), Some(excess)) =
        (small("chain_id")?, small("gas_limit")?, small("base_fee")?, small("excess_blob_gas")?)
    else {
        return Ok(None);
    };
    let fraction = if prague { PRAGUE_BLOB_FRACTION } else { CANCUN_BLOB_FRACTION };
    let env = BlockEnv {
        number: to_word(&env.getattr(intern!(py, "number"))?)?,
        beneficiary: to_address(&env.getattr(intern!(py, "coinbase"))?)?,
        timestamp: to_word(&env.getattr(intern!(py, "timestamp"))?)?,
        gas_limit,
        basefee,
        difficulty: U256::ZERO,
        prevrandao: Some(to_hash(&env.getattr(intern!(py, "prevrandao"))?)?),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(excess, fraction)),
        slot_num: 0,
    };
    Ok(Some(Block { env, chain_id, prague }))
}

/// One EIP-7702 authorization with its signature.
pub struct SignedAuthorization {
    chain_id: U256,
    address: Address,
    nonce: u64,
    parity: U256,
    r: U256,
    s: U256,
}

/// A transaction or a call.
pub struct Facts {
    /// EIP-2718.
    pub kind: u8,
    /// EIP-155.
    pub chain_id: U256,
    /// Of the sender, before it.
    pub nonce: u64,
    /// Wei per gas.
    pub max_fee: U256,
    /// Wei per gas.
    pub tip: U256,
    /// Limit.
    pub gas: u64,
    /// None creates a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Call data or initcode.
    pub data: Bytes,
    /// EIP-2930.
    pub access_list: Vec<AccessListItem>,
    /// EIP-7702.
    pub authorizations: Vec<SignedAuthorization>,
    /// Of the signature.
    pub s: U256,
    /// Recovered.
    pub sender: Address,
}

fn read_bytes(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    Ok(Bytes::copy_from_slice(value.cast::<PyBytes>()?.as_bytes()))
}

fn read_access_list(list: &Bound<'_, PyAny>) -> PyResult<Vec<AccessListItem>> {
    let py = list.py();
    if list.len()? == 0 {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for entry in list.try_iter()? {
        let entry = entry?;
        let mut storage_keys = Vec::new();
        for key in entry.getattr(intern!(py, "storage_keys"))?.try_iter()? {
            storage_keys.push(to_hash(&key?)?);
        }
        out.push(AccessListItem { address: to_address(&entry.getattr(intern!(py, "address"))?)?, storage_keys });
    }
    Ok(out)
}

/// An authorization whose nonce has more than 64 bits is as invalid as one with the highest nonce.
fn read_authorizations(list: &Bound<'_, PyAny>) -> PyResult<Vec<SignedAuthorization>> {
    let mut out = Vec::new();
    if list.len()? == 0 {
        return Ok(out);
    }
    for item in list.try_iter()? {
        let item = item?;
        out.push(SignedAuthorization {
            chain_id: to_word(&item.getattr("chain_id")?)?,
            address: to_address(&item.getattr("address")?)?,
            nonce: u64::try_from(to_word(&item.getattr("nonce")?)?).unwrap_or(u64::MAX),
            parity: to_word(&item.getattr("y_parity")?)?,
            r: to_word(&item.getattr("r")?)?,
            s: to_word(&item.getattr("s")?)?,
        });
    }
    Ok(out)
}

fn read_target(value: &Bound<'_, PyAny>) -> PyResult<Option<Address>> {
    if value.is_none() { Ok(None) } else { to_address(value).map(Some) }
}

/// Facts of an `EthTransaction`; None when a value does not fit.
pub fn read_transaction(tx: &Bound<'_, PyAny>) -> PyResult<Option<Facts>> {
    let py = tx.py();
    let nonce = u64::try_from(to_small_word(&tx.getattr(intern!(py, "nonce"))?)?);
    let gas = u64::try_from(to_small_word(&tx.getattr(intern!(py, "gas"))?)?);
    let (Ok(nonce), Ok(gas)) = (nonce, gas) else { return Ok(None) };
    Ok(Some(Facts {
        kind: tx.getattr(intern!(py, "type"))?.extract()?,
        chain_id: to_small_word(&tx.getattr(intern!(py, "chain_id"))?)?,
        nonce,
        max_fee: to_small_word(&tx.getattr(intern!(py, "max_fee"))?)?,
        tip: to_small_word(&tx.getattr(intern!(py, "max_priority_fee"))?)?,
        gas,
        to: read_target(&tx.getattr(intern!(py, "to"))?)?,
        value: to_small_word(&tx.getattr(intern!(py, "value"))?)?,
        data: read_bytes(&tx.getattr(intern!(py, "data"))?)?,
        access_list: read_access_list(&tx.getattr(intern!(py, "access_list"))?)?,
        authorizations: read_authorizations(&tx.getattr(intern!(py, "authorizations"))?)?,
        s: to_word(&tx.getattr(intern!(py, "s"))?)?,
        sender: to_address(&tx.getattr(intern!(py, "sender"))?)?,
    }))
}

/// Facts of a `CallMessage`, whose nonce is the sender's.
pub fn read_message(message: &Bound<'_, PyAny>, nonce: u64, base_fee: u64) -> PyResult<Option<Facts>> {
    let price = to_word(&message.getattr("gas_price")?)?;
    let Ok(gas) = u64::try_from(to_word(&message.getattr("gas")?)?) else { return Ok(None) };
    let authorizations = read_authorizations(&message.getattr("authorizations")?)?;
    Ok(Some(Facts {
        kind: if authorizations.is_empty() { 2 } else { 4 },
        chain_id: U256::ZERO,
        nonce,
        max_fee: price,
        tip: price.saturating_sub(U256::from(base_fee)),
        gas,
        to: read_target(&message.getattr("to")?)?,
        value: to_word(&message.getattr("value")?)?,
        data: read_bytes(&message.getattr("data")?)?,
        access_list: read_access_list(&message.getattr("access_list")?)?,
        authorizations,
        s: U256::ZERO,
        sender: to_address(&message.getattr("sender")?)?,
    }))
}

impl Facts {
    /// Gas before the first opcode, and the floor of EIP-7623.
    fn least_gas(&self) -> (u64, u64) {
        let zeros = self.data.iter().filter(|byte| **byte == 0).count() as u64;
        let others = self.data.len() as u64 - zeros;
        let mut gas = GAS_TRANSACTION + zeros * 4 + others * 16;
        if self.to.is_none() {
            gas += GAS_CREATE + 2 * (self.data.len() as u64).div_ceil(32);
        }
        for entry in &self.access_list {
            gas += GAS_ACCESS_ADDRESS + GAS_ACCESS_KEY * entry.storage_keys.len() as u64;
        }
        gas += GAS_AUTHORIZATION * self.authorizations.len() as u64;
        (gas, GAS_TRANSACTION + 10 * (zeros + others * 4))
    }

    /// True when `validate_tx` surely passes, apart from code at the sender. False sends the transaction to
    /// `validate_tx` itself, whose word is final; it also finds the words for a refusal.
    pub fn is_surely_valid(&self, block: &Block, gas_available: u64, sender: Option<&Account>) -> bool {
        let highest = if block.prague { 4 } else { 2 };
        let (needed, floor) = self.least_gas();
        let Ok(max_fee) = u128::try_from(self.max_fee) else { return false };
        let (Some(cost), Some(account)) =
            (U256::from(self.gas).wrapping_mul(U256::from(max_fee)).checked_add(self.value), sender)
        else {
            return false;
        };
        self.kind <= highest
            && self.kind != 3
            && self.chain_id == U256::from(block.chain_id)
            && self.s <= recover::half_order()
            && (self.kind != 4 || (self.to.is_some() && !self.authorizations.is_empty()))
            && self.nonce < u64::MAX
            && self.tip <= self.max_fee
            && (self.to.is_some() || self.data.len() <= MAX_INITCODE_BYTES)
            && self.gas <= block.env.gas_limit.min(gas_available)
            && self.gas >= needed
            && (!block.prague || self.gas >= floor)
            && account.nonce == self.nonce
            && account.balance >= cost
            && max_fee >= u128::from(block.env.basefee)
    }

    /// revm's form; None when the fee is beyond 128 bits. Its price is the effective one, so nothing else of the fee
    /// matters.
    pub fn to_env(&self, block: &Block) -> Option<TxEnv> {
        let base_fee = U256::from(block.env.basefee);
        let price = self.max_fee.min(base_fee.saturating_add(self.tip));
        let gas_price = u128::try_from(price).ok().filter(|price| price.checked_mul(u128::from(self.gas)).is_some())?;
        let authorization_list = self.authorizations.iter().map(|item| Either::Right(item.recover())).collect();
        Some(TxEnv {
            tx_type: self.kind,
            caller: self.sender,
            gas_limit: self.gas,
            gas_price,
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.data.clone(),
            nonce: self.nonce,
            chain_id: Some(block.chain_id),
            access_list: AccessList(self.access_list.clone()),
            gas_priority_fee: (self.kind > 1).then(|| gas_price.saturating_sub(u128::from(block.env.basefee))),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list,
        })
    }
}

impl SignedAuthorization {
    fn recover(&self) -> RecoveredAuthorization {
        let inner = Authorization { chain_id: self.chain_id, address: self.address, nonce: self.nonce };
        let digest: B256 = inner.signature_hash();
        let parity = u8::try_from(self.parity).unwrap_or(u8::MAX);
        let authority = recover::recover(&digest, &self.r, &self.s, parity)
            .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
        RecoveredAuthorization::new_unchecked(inner, authority)
    }
}
