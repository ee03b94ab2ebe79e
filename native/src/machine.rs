//! revm with what this chain adds: native precompiles, EIP-7610, and the opcode at which a transaction failed.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm::context::result::EVMError;
use revm::context::{BlockEnv, CfgEnv, Context, ContextTr, Evm, FrameStack, Journal, JournalTr, TxEnv};
use revm::context_interface::context::ContextError;
use revm::handler::evm::{ContextDbError, FrameInitResult};
use revm::handler::instructions::EthInstructions;
use revm::handler::{
    EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult, FrameTr, ItemOrResult, MainnetHandler,
    PrecompileProvider,
};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{Jumps, LegacyBytecode};
use revm::interpreter::{CallInputs, FrameInput, Gas, InstructionResult, InterpreterResult};
use revm::primitives::hardfork::SpecId;
use revm::primitives::map::AddressSet;
use revm::primitives::{Address, Bytes, U256};

use crate::db::{Db, DbError};
use crate::values::{from_bytes, to_word};

/// Block, transaction, settings, state.
pub type Ctx = Context<BlockEnv, TxEnv, CfgEnv, Db, Journal<Db>, ()>;
/// Runs one transaction.
pub type Handler = MainnetHandler<Machine, EVMError<DbError>, EthFrame<EthInterpreter>>;

type Inner = Evm<Ctx, (), EthInstructions<EthInterpreter, Ctx>, Precompiles, EthFrame<EthInterpreter>>;

/// Read-only precompiles written in Python: address and object (`NativePrecompile`).
pub type Native = Vec<(Address, Py<PyAny>)>;

/// Ethereum's precompiles and ours.
pub struct Precompiles {
    ethereum: EthPrecompiles,
    native: Arc<Native>,
    warm: AddressSet,
    state: Py<PyAny>,
}

impl Precompiles {
    /// `state` is what native precompiles read.
    pub fn new(spec: SpecId, native: Arc<Native>, state: Py<PyAny>) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let mut warm = ethereum.warm_addresses().clone();
        warm.extend(native.iter().map(|entry| entry.0));
        Self { ethereum, native, warm, state }
    }

    fn run_native(&self, precompile: &Py<PyAny>, data: &[u8], limit: u64) -> PyResult<InterpreterResult> {
        Python::attach(|py| {
            let arguments = (self.state.bind(py), from_bytes(py, data), limit);
            let answer = precompile.bind(py).call_method1(intern!(py, "answer"), arguments)?;
            let (ok, used, output): (bool, Bound<'_, PyAny>, Bound<'_, PyBytes>) = answer.extract()?;
            let mut gas = Gas::new(limit);
            if !gas.record_regular_cost(u64::try_from(to_word(&used)?).unwrap_or(u64::MAX)) {
                gas.spend_all();
                return Ok(InterpreterResult::new(InstructionResult::PrecompileOOG, Bytes::new(), gas));
            }
            let result = if ok { InstructionResult::Return } else { InstructionResult::Revert };
            Ok(InterpreterResult::new(result, Bytes::copy_from_slice(output.as_bytes()), gas))
        })
    }
}

impl PrecompileProvider<Ctx> for Precompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _spec: SpecId) -> bool {
        false
    }

    fn run(&mut self, context: &mut Ctx, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let Some((_, precompile)) = self.native.iter().find(|entry| entry.0 == inputs.bytecode_address) else {
            return self.ethereum.run(context, inputs);
        };
        if inputs.value.get() != U256::ZERO || inputs.bytecode_address != inputs.target_address {
            let gas = Gas::new(inputs.gas_limit);
            return Ok(Some(InterpreterResult::new(InstructionResult::Revert, Bytes::new(), gas)));
        }
        let data = inputs.input.as_bytes(context).to_vec();
        match self.run_native(precompile, &data, inputs.gas_limit) {
            Ok(result) => Ok(Some(result)),
            Err(err) => {
                context.db_mut().failure = Some(err);
                Err("a native precompile raised".into())
            }
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }
}

/// See the module.
pub struct Machine {
    inner: Inner,
    /// The opcode at which the outermost frame halted, and how many words were on its stack.
    pub halted_at: Option<(u8, usize)>,
}

impl Machine {
    /// A machine for one block over one state.
    pub fn new(ctx: Ctx, precompiles: Precompiles) -> Self {
        let spec = ctx.cfg.spec;
        let instruction = EthInstructions::new_mainnet_with_spec(spec);
        let inner = Evm { ctx, inspector: (), instruction, precompiles, frame_stack: FrameStack::new_prealloc(8) };
        Self { inner, halted_at: None }
    }

    /// The state, when all is done.
    pub fn into_db(self) -> Db {
        self.inner.ctx.journaled_state.database
    }
}

impl EvmTr for Machine {
    type Context = Ctx;
    type Instructions = EthInstructions<EthInterpreter, Ctx>;
    type Precompiles = Precompiles;
    type Frame = EthFrame<EthInterpreter>;

    fn all(&self) -> (&Ctx, &Self::Instructions, &Precompiles, &FrameStack<Self::Frame>) {
        self.inner.all()
    }

    fn all_mut(&mut self) -> (&mut Ctx, &mut Self::Instructions, &mut Precompiles, &mut FrameStack<Self::Frame>) {
        self.inner.all_mut()
    }

    fn frame_init(&mut self, init: FrameInit) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Ctx>> {
        if let FrameInput::Create(inputs) = &init.frame_input {
            let journal = self.inner.ctx.journal_mut();
            let nonce = journal.load_account(inputs.caller()).map_err(ContextError::Db)?.data.info.nonce;
            let address = inputs.created_address(nonce);
            self.inner.ctx.db_mut().refuse_old_storage(address).map_err(ContextError::Db)?;
        }
        self.inner.frame_init(init)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Ctx>> {
        let outcome = self.inner.frame_run()?;
        if let ItemOrResult::Result(result) = &outcome
            && result.instruction_result().is_halt()
        {
            let frame = self.inner.frame_stack.get();
            if frame.depth == 0 {
                let code = &frame.interpreter.bytecode;
                let opcode = code.bytecode_slice().get(code.pc().wrapping_sub(1)).copied();
                self.halted_at = opcode.map(|opcode| (opcode, frame.interpreter.stack.len()));
            }
        }
        Ok(outcome)
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Ctx>> {
        self.inner.frame_return_result(result)
    }
}
