//! Tracing: what a run tells to a tracer in Python (`openledger.evm.tracing.relay`) while it goes on in revm.
//!
//! The interpreter lock is held only while something is told: frames and logs always, opcodes as the tracer asks.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use revm::bytecode::opcode;
use revm::context::result::HaltReason;
use revm::context::{ContextTr, JournalTr};
use revm::context_interface::context::ContextError;
use revm::handler::evm::ContextDbError;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, FrameResult};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::{Jumps, LoopControl, ReturnData};
use revm::interpreter::{CallScheme, FrameInput, InstructionResult, Interpreter, InterpreterAction, SuccessOrHalt};
use revm::primitives::{Address, Bytes, Log, U256};

use crate::db::DbError;
use crate::machine::{Ctx, MODEXP, describe};
use crate::values::{from_bytes, from_word};

const LOOK_MASK: i64 = 1023;
const TOP_WORDS: usize = 7;
const REVERTED: &str = "execution reverted";

type Told = Result<(), ContextDbError<Ctx>>;

/// What a tracer wants to hear of opcodes.
#[derive(FromPyObject)]
pub struct Wants {
    /// Opcodes that name an account or a slot.
    looks: bool,
    /// All opcodes, with the whole stack.
    steps: bool,
    /// Memory at every opcode.
    memory: bool,
    /// Opcodes until the bound.
    left: i64,
}

/// See the module.
pub struct Watch {
    relay: Py<PyAny>,
    wants: Wants,
    /// Gas refund that authorizations earned.
    pub earned: i64,
    refunds: Vec<i64>,
}

/// One opcode before it runs.
struct Before {
    pc: usize,
    op: u8,
    gas: u64,
    logs: usize,
    told: bool,
    dying: Option<(Address, U256)>,
}

fn is_look(op: u8) -> bool {
    use opcode::{BALANCE, EXTCODECOPY, EXTCODEHASH, EXTCODESIZE, SLOAD, SSTORE};
    matches!(op, SLOAD | SSTORE | BALANCE | EXTCODESIZE | EXTCODECOPY | EXTCODEHASH) || op >= opcode::CREATE
}

fn word_address(word: U256) -> Address {
    Address::from_word(word.into())
}

fn ran_dry(why: InstructionResult) -> bool {
    use InstructionResult::{
        CreateInitCodeSizeLimit, InvalidOperandOOG, MemoryLimitOOG, MemoryOOG, OutOfGas, ReentrancySentryOOG,
        StackOverflow, StackUnderflow,
    };
    matches!(
        why,
        OutOfGas
            | MemoryOOG
            | MemoryLimitOOG
            | InvalidOperandOOG
            | ReentrancySentryOOG
            | CreateInitCodeSizeLimit
            | StackUnderflow
            | StackOverflow
    )
}

/// A Python exception ends the run.
fn told(ctx: &mut Ctx, outcome: PyResult<()>) -> Told {
    outcome.map_err(|err| {
        ctx.db_mut().failure = Some(err);
        ContextError::Db(DbError::Python)
    })
}

/// An account's balance and nonce now, and its code where it can be had without a read that may fail.
fn present(ctx: &Ctx, address: &Address) -> Option<(U256, u64)> {
    ctx.journal_ref().state.get(address).map(|found| (found.info.balance, found.info.nonce))
}

impl Watch {
    /// `relay` hears; `wants` tells of what.
    pub fn new(relay: Py<PyAny>, wants: Wants) -> Self {
        Self { relay, wants, earned: 0, refunds: Vec::new() }
    }

    /// A frame is about to begin; `created` is where, for a creation.
    pub fn enter(&self, ctx: &mut Ctx, init: &FrameInit, created: Option<Address>) -> Told {
        let outcome = Python::attach(|py| {
            let (op, sender, to, data, gas, value) = match &init.frame_input {
                FrameInput::Call(inputs) => {
                    let op = match inputs.scheme {
                        CallScheme::Call => opcode::CALL,
                        CallScheme::CallCode => opcode::CALLCODE,
                        CallScheme::DelegateCall => opcode::DELEGATECALL,
                        CallScheme::StaticCall => opcode::STATICCALL,
                    };
                    let borrows = matches!(inputs.scheme, CallScheme::CallCode | CallScheme::DelegateCall);
                    let sender = if borrows { inputs.target_address } else { inputs.caller };
                    let to = if borrows { inputs.bytecode_address } else { inputs.target_address };
                    let value = (op != opcode::STATICCALL).then(|| inputs.value.get());
                    (op, sender, to, inputs.input.bytes(ctx), inputs.gas_limit, value)
                }
                FrameInput::Create(inputs) => {
                    let two = matches!(inputs.scheme(), revm::context_interface::CreateScheme::Create2 { .. });
                    let op = if two { opcode::CREATE2 } else { opcode::CREATE };
                    let to = created.unwrap_or_default();
                    (op, inputs.caller(), to, inputs.init_code().clone(), inputs.gas_limit(), Some(inputs.value()))
                }
                FrameInput::Empty => return Ok(()),
            };
            let value = value.map(|wei| from_word(py, &wei)).transpose()?;
            let (sender, to) = (from_bytes(py, sender.as_slice()), from_bytes(py, to.as_slice()));
            let arguments = (op, sender, to, from_bytes(py, &data), gas, value, init.depth);
            self.relay.bind(py).call_method1(intern!(py, "enter"), arguments).map(drop)
        });
        told(ctx, outcome)
    }

    /// A frame has ended, or did not begin. `halted_at` and `stored` are of a frame that ran: its last opcode with the
    /// height of the stack, and whether the code had ended well when the frame failed.
    pub fn leave(
        &self,
        ctx: &mut Ctx,
        input: &FrameInput,
        result: &FrameResult,
        depth: usize,
        halted_at: Option<(u8, usize)>,
        stored: bool,
    ) -> Told {
        let done = result.interpreter_result();
        let why = done.result;
        let nothing_made = matches!(result, FrameResult::Create(made) if made.address.is_none());
        let error = match SuccessOrHalt::<HaltReason>::from(why) {
            SuccessOrHalt::Success(_) if nothing_made => "nonce uint64 overflow".to_owned(),
            SuccessOrHalt::Success(_) => String::new(),
            SuccessOrHalt::Halt(reason) => match input {
                FrameInput::Call(inputs)
                    if inputs.bytecode_address == MODEXP && why.is_halt() && halted_at.is_none() =>
                {
                    "out of gas".to_owned()
                }
                _ if stored && why == InstructionResult::OutOfGas => {
                    "contract creation code storage out of gas".to_owned()
                }
                _ => describe(&reason, halted_at),
            },
            _ => REVERTED.to_owned(),
        };
        let used = if why.is_halt() { done.gas.limit() } else { done.gas.total_gas_spent() };
        let output = if why.is_halt() { Bytes::new() } else { done.output.clone() };
        self.left(ctx, &output, used, &error, depth)
    }

    fn left(&self, ctx: &mut Ctx, output: &[u8], used: u64, error: &str, depth: usize) -> Told {
        let outcome = Python::attach(|py| {
            let arguments = (from_bytes(py, output), used, error, depth);
            self.relay.bind(py).call_method1(intern!(py, "leave"), arguments).map(drop)
        });
        told(ctx, outcome)
    }

    fn log(&self, ctx: &mut Ctx, log: &Log) -> Told {
        let outcome = Python::attach(|py| {
            let topics: Vec<_> = log.data.topics().iter().map(|topic| from_bytes(py, topic.as_slice())).collect();
            let arguments = (from_bytes(py, log.address.as_slice()), topics, from_bytes(py, &log.data.data));
            self.relay.bind(py).call_method1(intern!(py, "log"), arguments).map(drop)
        });
        told(ctx, outcome)
    }

    /// A callee's frame is back in its caller.
    pub fn returned(&mut self) {
        self.refunds.pop();
    }

    /// Take one from the budget; it looks up now and then.
    fn count(&mut self, ctx: &mut Ctx) -> Told {
        self.wants.left -= 1;
        if self.wants.left >= 0 && self.wants.left & LOOK_MASK != 0 {
            return Ok(());
        }
        let outcome =
            Python::attach(|py| self.relay.bind(py).call_method1(intern!(py, "look"), (self.wants.left,)).map(drop));
        told(ctx, outcome)
    }

    /// All opcodes of a frame, to the action at its end.
    pub fn run(
        &mut self,
        ctx: &mut Ctx,
        frame: &mut EthFrame<EthInterpreter>,
        instructions: &EthInstructions<EthInterpreter, Ctx>,
    ) -> Result<InterpreterAction, ContextDbError<Ctx>> {
        let silent = matches!(&frame.input, FrameInput::Create(inputs) if inputs.init_code().is_empty());
        let (depth, interpreter) = (frame.depth, &mut frame.interpreter);
        let (table, costs) = (instructions.instruction_table(), instructions.gas_table());
        loop {
            self.count(ctx)?;
            let before = self.before(ctx, interpreter, depth, silent)?;
            let ended = interpreter.step(table, costs, ctx).err();
            let gas = interpreter.gas.remaining();
            if let Some(why) = ended
                && interpreter.bytecode.action().is_none()
            {
                interpreter.halt(why);
            }
            self.after(ctx, interpreter, &before, ended, gas, depth)?;
            if ended.is_some() {
                if ended == Some(InstructionResult::Suspend) {
                    self.refunds.push(interpreter.gas.refunded());
                }
                return Ok(interpreter.take_next_action());
            }
        }
    }

    fn before(
        &self,
        ctx: &mut Ctx,
        interpreter: &Interpreter<EthInterpreter>,
        depth: usize,
        silent: bool,
    ) -> Result<Before, ContextDbError<Ctx>> {
        let op = interpreter.bytecode.opcode();
        let here = interpreter.input.target_address;
        let told_of = !silent && (self.wants.steps || (self.wants.looks && is_look(op)));
        let dying = match interpreter.stack.data().last() {
            Some(word) if op == opcode::SELFDESTRUCT => {
                Some((word_address(*word), present(ctx, &here).map_or(U256::ZERO, |found| found.0)))
            }
            _ => None,
        };
        let before = Before {
            pc: interpreter.bytecode.pc(),
            op,
            gas: interpreter.gas.remaining(),
            logs: ctx.journal().logs().len(),
            told: told_of,
            dying,
        };
        if told_of {
            self.step(ctx, interpreter, &before, depth)?;
        }
        Ok(before)
    }

    fn step(&self, ctx: &mut Ctx, interpreter: &Interpreter<EthInterpreter>, before: &Before, depth: usize) -> Told {
        let here = interpreter.input.target_address;
        let stack = interpreter.stack.data();
        let mut slot = None;
        let mut code = None;
        match (before.op, stack.len()) {
            (opcode::SLOAD | opcode::SSTORE, 1..) => {
                let key = stack[stack.len() - 1];
                let known = ctx.journal_ref().state.get(&here);
                slot = match known.and_then(|account| account.storage.get(&key)) {
                    Some(found) => Some(found.present_value),
                    None if known.is_some_and(|account| account.is_created()) => Some(U256::ZERO),
                    None => Some(revm::Database::storage(ctx.db_mut(), here, key).map_err(ContextError::Db)?),
                };
            }
            (opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL, 2..) => {
                let target = word_address(stack[stack.len() - 2]);
                let changed = ctx.journal_ref().state.get(&target).and_then(|account| account.info.code.clone());
                code = changed.filter(|found| found.is_eip7702() || found.is_empty());
            }
            _ => {}
        }
        let nonce = present(ctx, &here).map_or(0, |found| found.1);
        let first = if self.wants.steps { 0 } else { stack.len().saturating_sub(TOP_WORDS) };
        let refund = self.earned + self.refunds.iter().sum::<i64>() + interpreter.gas.refunded();
        let with_memory = self.wants.memory || before.op == opcode::CREATE2;
        let outcome = Python::attach(|py| {
            let words = PyList::empty(py);
            for word in &stack[first..] {
                words.append(from_word(py, word)?)?;
            }
            let memory: Option<Bound<'_, PyBytes>> =
                with_memory.then(|| from_bytes(py, &interpreter.memory.context_memory()));
            let now = (
                nonce,
                slot.map(|value| from_word(py, &value)).transpose()?,
                code.map(|found| from_bytes(py, found.original_byte_slice())),
            );
            let scope = (
                from_bytes(py, here.as_slice()),
                words,
                stack.len(),
                memory,
                from_bytes(py, interpreter.return_data.buffer()),
            );
            let arguments = (before.pc, before.op, before.gas, depth + 1, refund, scope, now);
            self.relay.bind(py).call_method1(intern!(py, "step"), arguments).map(drop)
        });
        told(ctx, outcome)
    }

    fn after(
        &self,
        ctx: &mut Ctx,
        interpreter: &mut Interpreter<EthInterpreter>,
        before: &Before,
        ended: Option<InstructionResult>,
        gas: u64,
        depth: usize,
    ) -> Told {
        let made = ctx.journal().logs().get(before.logs..).map(<[Log]>::to_vec).unwrap_or_default();
        for log in &made {
            self.log(ctx, log)?;
        }
        if let (Some((heir, wei)), Some(InstructionResult::SelfDestruct)) = (before.dying, ended) {
            let here = interpreter.input.target_address;
            let outcome = Python::attach(|py| {
                let (sender, to) = (from_bytes(py, here.as_slice()), from_bytes(py, heir.as_slice()));
                let value = from_word(py, &wei)?;
                let arguments = (before.op, sender, to, from_bytes(py, &[]), 0, value, depth + 1);
                self.relay.bind(py).call_method1(intern!(py, "enter"), arguments).map(drop)
            });
            told(ctx, outcome)?;
            self.left(ctx, &[], 0, "", depth + 1)?;
        }
        if !before.told {
            return Ok(());
        }
        let dry = ended.is_some_and(ran_dry);
        let undefined = matches!(
            ended,
            Some(
                InstructionResult::OpcodeNotFound
                    | InstructionResult::InvalidFEOpcode
                    | InstructionResult::NotActivated
            )
        );
        if self.wants.steps && !undefined && ended.is_some_and(|why| why.is_halt()) {
            // what such an opcode asked for before it failed is known to the reference engine alone
            return Err(ContextError::Db(DbError::NeedsReference("the cost of an opcode that failed")));
        }
        let handed = match interpreter.bytecode.action() {
            Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => inputs.gas_limit(),
            _ => 0,
        };
        let cost = if undefined { 0 } else { before.gas.saturating_sub(gas).saturating_sub(handed) };
        let error = if dry { "out of gas" } else { "" };
        let outcome =
            Python::attach(|py| self.relay.bind(py).call_method1(intern!(py, "stepped"), (cost, error)).map(drop));
        told(ctx, outcome)
    }
}
