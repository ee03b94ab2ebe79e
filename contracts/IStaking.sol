// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of validators and stake
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000803. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md. Delegation, slashing and commission come with the staking module: until
/// then the validators are those of genesis.
interface IStaking {
    /// @notice One validator.
    struct Validator {
        /// @dev The account that runs it and gets its priority fees.
        address operator;
        /// @dev ed25519 key that signs blocks.
        bytes32 consensusKey;
        string name;
        /// @dev Weight in the two thirds.
        uint64 power;
        bool jailed;
    }

    /// @notice All validators, ascending by operator.
    function getValidators() external view returns (Validator[] memory);

    /// @notice The validator of an operator. Reverts when there is none.
    function getValidator(address operator) external view returns (Validator memory);

    /// @notice Wei that `delegator` has staked with `operator`.
    function getDelegation(address delegator, address operator) external view returns (uint256);

    /// @notice Sum of all power.
    function totalPower() external view returns (uint64);
}

/// @dev Where the precompile stands on every chain of this kind.
IStaking constant STAKING = IStaking(0x0000000000000000000000000000000000000803);
