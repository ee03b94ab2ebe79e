//! The engine: batches of transactions and single calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, OutOfGasError};
use revm::context::{CfgEnv, Context, ContextTr, Journal, JournalTr, LocalContext, TxEnv};
use revm::handler::{EvmTr, Handler as _};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, Bytes, U256};

use crate::cache::{Cache, Tag};
use crate::db::{Changes, Db, DbError, Own, read_diff};
use crate::facts::{Block, Facts, read_block, read_message, read_transaction};
use crate::machine::{Ctx, MODEXP, Machine, Native, Precompiles, Runner, describe};
use crate::pack::{Failure, Names, Outcome, Verdict};
use crate::values::{from_bytes, to_address};
use crate::watch::{Wants, Watch};

create_exception!(openledger_native, NeedsReference, PyException, "Only the reference engine can run this.");

/// An EVM over Python state readers. Nothing of a run stays here, apart from what `Cache` allows.
#[pyclass(frozen)]
pub struct Engine {
    prague: bool,
    names: Names,
    outbox: Address,
    native: Arc<Native>,
    cache: Arc<Mutex<Cache>>,
}

/// The sender as `validate_tx` reads it: a state with one account.
#[pyclass(frozen)]
struct SenderView {
    account: Py<PyAny>,
    code: Vec<u8>,
}

#[pymethods]
impl SenderView {
    fn account(&self, py: Python<'_>, _address: &Bound<'_, PyAny>) -> Py<PyAny> {
        self.account.clone_ref(py)
    }

    fn code<'py>(&self, py: Python<'py>, _code_hash: &Bound<'_, PyAny>) -> Bound<'py, PyAny> {
        from_bytes(py, &self.code).into_any()
    }
}

/// Python objects that a refusal needs.
struct Judge<'a> {
    names: &'a Names,
    env: Py<PyAny>,
    txs: Vec<Py<PyAny>>,
    fork: Py<PyAny>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, prague, names, outbox, precompiles, cache_bytes))]
    fn new(
        prague: bool,
        names: Names,
        outbox: &Bound<'_, PyAny>,
        precompiles: Vec<(Bound<'_, PyAny>, Py<PyAny>)>,
        cache_bytes: usize,
    ) -> PyResult<Self> {
        let mut table = Native::new();
        for (address, object) in precompiles {
            table.push((to_address(&address)?, object));
        }
        Ok(Self {
            prague,
            outbox: to_address(outbox)?,
            native: Arc::new(table),
            names,
            cache: Arc::new(Mutex::new(Cache::new(cache_bytes))),
        })
    }

    /// Run a batch: `(results, accounts, storage, codes, wiped)`. Raises NeedsReference when revm cannot.
    #[pyo3(signature = (env, txs, state, gas_available, fork, layers))]
    #[allow(clippy::too_many_arguments)]
    fn execute<'py>(
        &self,
        py: Python<'py>,
        env: &Bound<'py, PyAny>,
        txs: Vec<Py<PyAny>>,
        state: &Bound<'py, PyAny>,
        gas_available: u64,
        fork: Py<PyAny>,
        layers: Option<Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let block = read_block(env, self.prague)?.ok_or_else(|| beyond("the block environment"))?;
        let mut facts = Vec::with_capacity(txs.len());
        for tx in &txs {
            facts.push(read_transaction(tx.bind(py))?.ok_or_else(|| beyond("a transaction"))?);
        }
        let mut db = self.open(env, state, layers)?;
        self.prefetch(&mut db, &facts);
        let judge = Judge { names: &self.names, env: env.clone().unbind(), txs, fork };
        let beneath = state.clone().unbind();
        let (verdicts, changes) =
            py.detach(|| guarded(|| self.run_batch(&block, db, &facts, &judge, beneath, gas_available)))?;
        self.names.pack(py, verdicts, changes)
    }

    /// Run a call that was checked before: `(status, gas_used, output, logs, error)`.
    #[pyo3(signature = (env, message, state, layers))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        env: &Bound<'py, PyAny>,
        message: &Bound<'py, PyAny>,
        state: &Bound<'py, PyAny>,
        layers: Option<Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let block = read_block(env, self.prague)?.ok_or_else(|| beyond("the block environment"))?;
        let mut db = self.open(env, state, layers)?;
        let facts = self.asked(&mut db, message, &block)?.ok_or_else(|| beyond("the message"))?;
        let beneath = state.clone().unbind();
        let outcome = py.detach(|| {
            guarded(|| {
                let mut machine = self.machine(&block, db, beneath, facts.max_fee.is_zero());
                transact(&mut machine, &block, &facts)
            })
        })?;
        let error = self.names.words(py, &outcome)?;
        let logs = self.names.logs(py, &outcome.logs)?;
        (outcome.status, outcome.gas_used, from_bytes(py, &outcome.output), logs, error).into_pyobject(py)
    }

    /// Run a transaction or a call that was checked before, and tell `relay` of it: `(gas_used, accounts, storage,
    /// codes, wiped)`.
    #[pyo3(signature = (env, subject, state, layers, is_call, relay, wants))]
    #[allow(clippy::too_many_arguments)]
    fn trace<'py>(
        &self,
        py: Python<'py>,
        env: &Bound<'py, PyAny>,
        subject: &Bound<'py, PyAny>,
        state: &Bound<'py, PyAny>,
        layers: Option<Bound<'py, PyTuple>>,
        is_call: bool,
        relay: Py<PyAny>,
        wants: Wants,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let block = read_block(env, self.prague)?.ok_or_else(|| beyond("the block environment"))?;
        let mut db = self.open(env, state, layers)?;
        let facts = if is_call { self.asked(&mut db, subject, &block)? } else { read_transaction(subject)? };
        let facts = facts.ok_or_else(|| beyond("the subject of a trace"))?;
        let beneath = state.clone().unbind();
        let (gas_used, changes) = py.detach(|| {
            guarded(|| {
                let mut machine = self.machine(&block, db, beneath, is_call && facts.max_fee.is_zero());
                machine.watch = Some(Watch::new(relay, wants));
                let outcome = transact(&mut machine, &block, &facts)?;
                Ok((outcome.gas_used, machine.into_db().changes()))
            })
        })?;
        let (accounts, storage, codes, wiped) = self.names.changes(py, &changes)?;
        (gas_used, accounts, storage, codes, wiped).into_pyobject(py)
    }

    /// The generation of `store` that the cache describes.
    fn generation(&self, store: &Bound<'_, PyAny>) -> Option<u64> {
        self.cache().generation(store)
    }

    /// Describe the head of `store` at `generation` from here on, with nothing remembered of it yet.
    fn restart(&self, store: Py<PyAny>, generation: u64) {
        self.cache().restart(Tag { store, generation });
    }

    /// The head moved on by one commit, which wrote this `Diff`.
    fn advance(&self, diff: &Bound<'_, PyAny>) -> PyResult<()> {
        let changes = read_diff(diff)?;
        self.cache().advance(changes);
        Ok(())
    }

    /// Bytes that the cache holds, roughly: `(state, code)`.
    fn cache_size(&self) -> (usize, usize) {
        self.cache().size()
    }
}

fn beyond(what: &str) -> PyErr {
    NeedsReference::new_err(format!("{what} holds a number beyond 64 bits"))
}

fn raise(db: &mut Db, error: DbError) -> PyErr {
    match error {
        DbError::NeedsReference(why) => NeedsReference::new_err(why),
        DbError::Python => db.failure.take().unwrap_or_else(|| PyRuntimeError::new_err("a callback failed")),
    }
}

/// A panic is a fault of this crate: it becomes an exception, and the run leaves nothing.
fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("the native engine met a fault of its own")))
}

impl Engine {
    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Facts of a call, whose nonce is its sender's.
    fn asked(&self, db: &mut Db, message: &Bound<'_, PyAny>, block: &Block) -> PyResult<Option<Facts>> {
        let sender = to_address(&message.getattr(intern!(message.py(), "sender"))?)?;
        let account = db.account(sender).map_err(|err| raise(db, err))?;
        let nonce = account.map_or(0, |found| found.nonce);
        if nonce == u64::MAX {
            return Err(beyond("the next nonce"));
        }
        read_message(message, nonce, block.env.basefee)
    }

    /// `layers` is (overlay's accounts, storage, wiped, head reader, generation), where the cache knows the head.
    fn open(
        &self,
        env: &Bound<'_, PyAny>,
        state: &Bound<'_, PyAny>,
        layers: Option<Bound<'_, PyTuple>>,
    ) -> PyResult<Db> {
        let own = match layers {
            None => None,
            Some(parts) => Some(Own {
                accounts: parts.get_item(0)?.cast_into::<PyDict>()?.unbind(),
                storage: parts.get_item(1)?.cast_into::<PyDict>()?.unbind(),
                wiped: parts.get_item(2)?.cast_into::<PyDict>()?.unbind(),
                head: parts.get_item(3)?.unbind(),
                generation: parts.get_item(4)?.extract()?,
            }),
        };
        let block_hash = env.getattr(intern!(env.py(), "block_hash"))?.unbind();
        Ok(Db::new(state.clone().unbind(), block_hash, own, Arc::clone(&self.cache)))
    }

    /// Read what the batch surely needs while the interpreter lock is held. A read that fails here fails again, and is
    /// reported, where it is needed.
    fn prefetch(&self, db: &mut Db, facts: &[Facts]) {
        for tx in facts {
            for address in [Some(tx.sender), tx.to].into_iter().flatten() {
                if let Ok(Some(found)) = db.account(address) {
                    let _ = db.code(found.code_hash);
                }
            }
        }
        db.failure = None;
    }

    fn machine(&self, block: &Block, db: Db, state: Py<PyAny>, free: bool) -> Machine {
        let spec = if self.prague { SpecId::PRAGUE } else { SpecId::CANCUN };
        let mut cfg = CfgEnv::new().with_chain_id(block.chain_id).with_spec_and_mainnet_gas_params(spec);
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        cfg.disable_block_gas_limit = true; // `validate_tx` has judged; a call may have more
        cfg.disable_eip3607 = true;
        cfg.disable_base_fee = free;
        let mut journaled_state = Journal::new(db);
        journaled_state.set_spec_id(spec);
        let ctx: Ctx = Context {
            block: block.env.clone(),
            tx: TxEnv::default(),
            cfg,
            journaled_state,
            chain: (),
            local: LocalContext::default(),
            error: Ok(()),
        };
        Machine::new(ctx, Precompiles::new(spec, Arc::clone(&self.native), state))
    }

    fn run_batch(
        &self,
        block: &Block,
        db: Db,
        facts: &[Facts],
        judge: &Judge<'_>,
        state: Py<PyAny>,
        mut gas_available: u64,
    ) -> PyResult<(Vec<Verdict>, Changes)> {
        let mut machine = self.machine(block, db, state, false);
        let mut verdicts = Vec::with_capacity(facts.len());
        for (index, tx) in facts.iter().enumerate() {
            if let Some(refusal) = judge.refuse(&mut machine, block, tx, index, gas_available)? {
                verdicts.push(Verdict::Refused(refusal));
                continue;
            }
            let outcome = transact(&mut machine, block, tx)?;
            gas_available -= outcome.gas_used;
            let stops = outcome.logs.iter().any(|log| log.address == self.outbox);
            verdicts.push(Verdict::Done(outcome));
            if stops {
                break;
            }
        }
        Ok((verdicts, machine.into_db().changes()))
    }
}

impl Judge<'_> {
    /// The exception with which `validate_tx` refuses the transaction, if it does.
    fn refuse(
        &self,
        machine: &mut Machine,
        block: &Block,
        tx: &Facts,
        index: usize,
        gas_available: u64,
    ) -> PyResult<Option<Py<PyAny>>> {
        let db = machine.ctx().db_mut();
        let account = db.account(tx.sender).map_err(|err| raise(db, err))?;
        let hash = account.as_ref().map_or(revm::primitives::KECCAK_EMPTY, |found| found.code_hash);
        let code = db.code(hash).map_err(|err| raise(db, err))?;
        let sends = code.is_empty() || code.is_eip7702();
        if sends && tx.is_surely_valid(block, gas_available, account.as_ref()) {
            return Ok(None);
        }
        Python::attach(|py| {
            let view = SenderView {
                account: self.names.account(py, account.as_ref())?.unbind(),
                code: code.original_byte_slice().to_vec(),
            };
            let named = PyDict::new(py);
            named.set_item(intern!(py, "fork"), &self.fork)?;
            let arguments = (&self.env, &self.txs[index], view, gas_available);
            match self.names.validate.bind(py).call(arguments, Some(&named)) {
                Ok(_) => Ok(None),
                Err(err) if err.matches(py, self.names.refusal.bind(py))? => {
                    let value = err.value(py);
                    value.setattr(intern!(py, "__traceback__"), py.None())?;
                    Ok(Some(value.clone().into_any().unbind()))
                }
                Err(err) => Err(err),
            }
        })
    }
}

/// Run one valid transaction and take over its changes.
fn transact(machine: &mut Machine, block: &Block, tx: &Facts) -> PyResult<Outcome> {
    let env = tx.to_env(block).ok_or_else(|| NeedsReference::new_err("a fee beyond 128 bits"))?;
    machine.ctx().tx = env;
    machine.halted_at = None;
    let ran = Runner.run(machine);
    let state = machine.ctx().journal_mut().finalize();
    let result = match ran {
        Ok(result) => result,
        Err(EVMError::Database(err)) => return Err(raise(machine.ctx().db_mut(), err)),
        Err(other) => {
            let failure = machine.ctx().db_mut().failure.take();
            return Err(failure.unwrap_or_else(|| PyRuntimeError::new_err(format!("the native engine: {other}"))));
        }
    };
    let db = machine.ctx().db_mut();
    let lost = db.commit(state).map_err(|err| raise(db, err))?;
    Ok(outcome(machine, block, tx, result, lost))
}

fn outcome(machine: &Machine, block: &Block, tx: &Facts, result: ExecutionResult, lost: U256) -> Outcome {
    let gas_used = result.tx_gas_used();
    let base = U256::from(gas_used).wrapping_mul(U256::from(block.env.basefee));
    let created = tx.to.is_none().then(|| tx.sender.create(tx.nonce));
    let (status, error, output, logs) = match result {
        ExecutionResult::Success { output, logs, .. } => (1, Failure::None, output.into_data(), logs),
        ExecutionResult::Revert { output, .. } => (0, Failure::Reverted, output, Vec::new()),
        ExecutionResult::Halt { reason, .. } => {
            // MODEXP itself fails only for lengths whose gas is beyond any limit
            let reason = if tx.to == Some(MODEXP) { HaltReason::OutOfGas(OutOfGasError::Precompile) } else { reason };
            (0, Failure::Text(describe(&reason, machine.halted_at)), Bytes::new(), Vec::new())
        }
    };
    Outcome { status, gas_used, logs, output, created, error, burned: lost.wrapping_sub(base) }
}
