//! Native execution engine, transaction decoding and state trie of OpenLedger node.
//!
//! Each part gives the same bytes as its Python counterpart: `openledger.evm.pyevm`, `openledger.primitives.transactions`
//! and `openledger.state.trie`, which stay the reference.

mod cache;
mod db;
mod decode;
mod engine;
mod facts;
mod machine;
mod node;
mod pack;
mod recover;
mod rlp;
mod trie;
mod values;
mod watch;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The interpreter allocates much and briefly; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// keccak256 of bytes.
#[pyfunction]
fn keccak256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, revm::primitives::keccak256(data).as_slice())
}

/// The extension module.
#[pymodule]
fn openledger_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("NeedsReference", module.py().get_type::<engine::NeedsReference>())?;
    module.add("MissingNode", module.py().get_type::<node::MissingNode>())?;
    module.add_class::<engine::Engine>()?;
    module.add_function(wrap_pyfunction!(decode::decode_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(trie::trie_update, module)?)?;
    module.add_function(wrap_pyfunction!(trie::ordered_trie_root, module)?)?;
    module.add_function(wrap_pyfunction!(keccak256, module)?)
}
