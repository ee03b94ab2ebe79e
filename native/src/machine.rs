//! revm with what this chain adds: native precompiles, EIP-7610, and the opcode at which a transaction failed.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm::context::result::{EVMError, HaltReason};
use revm::context::{BlockEnv, CfgEnv, Context, ContextTr, Evm, FrameStack, Journal, JournalTr, TxEnv};
use revm::context_interface::context::ContextError;
use revm::handler::evm::{ContextDbError, FrameInitResult};
use revm::handler::instructions::EthInstructions;
use revm::handler::pre_execution::PreExecutionOutput;
use revm::handler::{
    EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult, FrameTr, Handler, ItemOrResult, MainnetHandler,
    PrecompileProvider,
};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{Jumps, LegacyBytecode};
use revm::interpreter::{
    CallInputs, FrameInput, Gas, GasTracker, InstructionResult, InterpreterAction, InterpreterResult,
};
use revm::primitives::hardfork::SpecId;
use revm::primitives::map::AddressSet;
use revm::primitives::{Address, Bytes, U256};

use crate::db::{Db, DbError};
use crate::values::{from_bytes, to_word};
use crate::watch::Watch;

const STACK_LIMIT: usize = 1024;
/// Where MODEXP is.
pub const MODEXP: Address = Address::with_last_byte(5);

/// Block, transaction, settings, state.
pub type Ctx = Context<BlockEnv, TxEnv, CfgEnv, Db, Journal<Db>, ()>;
type Mainnet = MainnetHandler<Machine, EVMError<DbError>, EthFrame<EthInterpreter>>;

/// Runs one transaction; a watch is told what its authorizations earn.
pub struct Runner;

impl Handler for Runner {
    type Evm = Machine;
    type Error = EVMError<DbError>;
    type HaltReason = HaltReason;

    fn pre_execution(
        &self,
        evm: &mut Machine,
        gas: &mut GasTracker,
    ) -> Result<Option<PreExecutionOutput>, EVMError<DbError>> {
        let done = Mainnet::default().pre_execution(evm, gas)?;
        if let (Some(watch), Some(done)) = (&mut evm.watch, &done) {
            watch.earned = i64::try_from(done.eip7702_refund).unwrap_or(i64::MAX);
        }
        Ok(done)
    }
}

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
    /// Who hears of frames, logs and opcodes, where a transaction is traced.
    pub watch: Option<Watch>,
}

impl Machine {
    /// A machine for one block over one state.
    pub fn new(ctx: Ctx, precompiles: Precompiles) -> Self {
        let spec = ctx.cfg.spec;
        let instruction = EthInstructions::new_mainnet_with_spec(spec);
        let inner = Evm { ctx, inspector: (), instruction, precompiles, frame_stack: FrameStack::new_prealloc(8) };
        Self { inner, halted_at: None, watch: None }
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
        let mut created = None;
        if let FrameInput::Create(inputs) = &init.frame_input {
            let journal = self.inner.ctx.journal_mut();
            let nonce = journal.load_account(inputs.caller()).map_err(ContextError::Db)?.data.info.nonce;
            let address = inputs.created_address(nonce);
            self.inner.ctx.db_mut().refuse_old_storage(address).map_err(ContextError::Db)?;
            created = Some(address);
        }
        let Some(watch) = &self.watch else { return self.inner.frame_init(init) };
        watch.enter(&mut self.inner.ctx, &init, created)?;
        let (input, depth) = (init.frame_input.clone(), init.depth);
        if let ItemOrResult::Result(result) = self.inner.frame_init(init)? {
            watch.leave(&mut self.inner.ctx, &input, &result, depth, None, false)?;
            return Ok(ItemOrResult::Result(result));
        }
        Ok(ItemOrResult::Item(self.inner.frame_stack.get()))
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Ctx>> {
        let Evm { ctx, instruction, frame_stack, .. } = &mut self.inner;
        let (mut outcome, mut stored) = (None, false);
        if let Some(watch) = &mut self.watch {
            let frame = frame_stack.get();
            let action = watch.run(ctx, frame, instruction)?;
            stored = matches!(&action, InterpreterAction::Return(result) if result.is_ok());
            let done: FrameInitOrResult<Self::Frame> =
                frame.process_next_action::<_, ContextDbError<Ctx>>(ctx, action)?;
            frame.set_finished(done.is_result());
            outcome = Some(done);
        }
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.inner.frame_run()?,
        };
        let ItemOrResult::Result(result) = &outcome else { return Ok(outcome) };
        let Evm { ctx, frame_stack, .. } = &mut self.inner;
        let frame = frame_stack.get();
        if frame.depth > 0 && self.watch.is_none() {
            return Ok(outcome);
        }
        let mut halted_at = None;
        if result.instruction_result().is_halt() {
            let code = &frame.interpreter.bytecode;
            let opcode = code.bytecode_slice().get(code.pc().wrapping_sub(1)).copied();
            halted_at = opcode.map(|opcode| (opcode, frame.interpreter.stack.len()));
        }
        if let Some(watch) = &self.watch {
            watch.leave(ctx, &frame.input, result, frame.depth, halted_at, stored)?;
        }
        if frame.depth == 0 && halted_at.is_some() {
            self.halted_at = halted_at;
        }
        Ok(outcome)
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Ctx>> {
        if let Some(watch) = &mut self.watch {
            watch.returned();
        }
        self.inner.frame_return_result(result)
    }
}

/// The words of `openledger.evm.reasons`.
pub fn describe(reason: &HaltReason, halted_at: Option<(u8, usize)>) -> String {
    match reason {
        HaltReason::OutOfGas(_) | HaltReason::CreateInitCodeSizeLimit => "out of gas",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => match halted_at {
            Some((0x80..=0x9f, height)) if height < STACK_LIMIT => "stack underflow", // DUP and SWAP beyond the bottom
            _ => "stack limit reached 1024 (1023)",
        },
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID",
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => {
            return halted_at.map_or_else(
                || "invalid opcode".to_owned(),
                |(code, _)| format!("invalid opcode: opcode {code:#x} not defined"),
            );
        }
        _ => "execution failed",
    }
    .to_owned()
}
