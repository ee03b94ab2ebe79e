//! Values on their way between Python and Rust.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};
use revm::primitives::{Address, B256, U256};

/// 20 bytes.
pub fn to_address(value: &Bound<'_, PyAny>) -> PyResult<Address> {
    let bytes = value.cast::<PyBytes>()?.as_bytes();
    Address::try_from(bytes).map_err(|_| PyValueError::new_err("an address has 20 bytes"))
}

/// 32 bytes.
pub fn to_hash(value: &Bound<'_, PyAny>) -> PyResult<B256> {
    let bytes = value.cast::<PyBytes>()?.as_bytes();
    B256::try_from(bytes).map_err(|_| PyValueError::new_err("a hash has 32 bytes"))
}

/// An integer of at most 256 bits; OverflowError for others.
pub fn to_word(value: &Bound<'_, PyAny>) -> PyResult<U256> {
    let py = value.py();
    let raw = value.call_method1(intern!(py, "to_bytes"), (32, intern!(py, "big")))?;
    Ok(U256::from_be_slice(raw.cast::<PyBytes>()?.as_bytes()))
}

/// Like `to_word`, quicker where 64 bits are usually enough.
pub fn to_small_word(value: &Bound<'_, PyAny>) -> PyResult<U256> {
    match value.extract::<u64>() {
        Ok(small) => Ok(U256::from(small)),
        Err(_) => to_word(value),
    }
}

/// A Python integer.
pub fn from_word<'py>(py: Python<'py>, value: &U256) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(small) = u64::try_from(*value) {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    let raw = PyBytes::new(py, &value.to_be_bytes::<32>());
    py.get_type::<PyInt>().call_method1(intern!(py, "from_bytes"), (raw, intern!(py, "big")))
}

/// A Python bytes object.
pub fn from_bytes<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value)
}
