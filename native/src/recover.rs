//! Signers of digests (secp256k1), with the rules of `openledger.primitives.keys.recover_address`.

use revm::primitives::{Address, B256, U256, keccak256, uint};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

uint! {
    const ORDER: U256 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256;
    const HALF_ORDER: U256 = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256;
}

/// The highest s of EIP-2.
pub fn half_order() -> U256 {
    HALF_ORDER
}

/// The signer, or None for r, s or parity out of range and where no key fits.
pub fn recover(digest: &B256, r: &U256, s: &U256, parity: u8) -> Option<Address> {
    if r.is_zero() || *r >= ORDER || s.is_zero() || *s > HALF_ORDER || parity > 1 {
        return None;
    }
    let mut raw = [0u8; 64];
    raw[..32].copy_from_slice(&r.to_be_bytes::<32>());
    raw[32..].copy_from_slice(&s.to_be_bytes::<32>());
    let id = RecoveryId::try_from(i32::from(parity)).ok()?;
    let signature = RecoverableSignature::from_compact(&raw, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    Some(Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]))
}
