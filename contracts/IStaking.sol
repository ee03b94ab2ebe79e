// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of validators and stake
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000803. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md.
/// For now only operators stake, each with its own validator; delegation and commission are to come.
interface IStaking {
    /// @notice One validator.
    struct Validator {
        /// @dev The account that runs it and gets its priority fees.
        address operator;
        /// @dev ed25519 key that signs blocks.
        bytes32 consensusKey;
        string name;
        /// @dev Weight in the two thirds: stake / power_unit for those with a seat, 0 for the others. It signs from two blocks later on.
        uint64 power;
        /// @dev Away too long, or (for ever) caught signing two blocks of one height.
        bool jailed;
    }

    /// @notice All validators with a stake or a seat, ascending by operator.
    function getValidators() external view returns (Validator[] memory);

    /// @notice The validator of an operator. Reverts when there is none.
    function getValidator(address operator) external view returns (Validator memory);

    /// @notice Wei that `delegator` has staked with `operator`. What unbonds is not counted.
    function getDelegation(address delegator, address operator) external view returns (uint256);

    /// @notice Sum of the power of all seats.
    function totalPower() external view returns (uint64);
}

/// @dev Where the precompile stands on every chain of this kind.
IStaking constant STAKING = IStaking(0x0000000000000000000000000000000000000803);
