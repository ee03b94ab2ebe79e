// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of validators and stake
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000803. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md.
/// Stake that is on its way follows a slash when it is next touched; these functions say what it will be then.
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
        /// @dev Wei that all have staked with it, and the shares that they have of it: one share is worth stake / shares.
        uint256 stake;
        uint256 shares;
        /// @dev What the operator takes of the stakers' earnings before they are divided, in parts per million.
        uint32 commission;
    }

    /// @notice Wei with one validator.
    struct Stake {
        address operator;
        uint256 amount;
    }

    /// @notice What one account has staked with one validator.
    struct Staker {
        address delegator;
        uint256 amount;
        uint256 shares;
    }

    /// @notice Wei on their way back, paid when block time (Unix seconds) reaches `ready`.
    struct Unbonding {
        uint256 amount;
        uint64 ready;
    }

    /// @notice Wei that have come from another validator, and answer for what it did until `ready`.
    struct Redelegation {
        address source;
        uint256 amount;
        uint64 ready;
    }

    /// @notice All validators with a stake or a seat, ascending by operator.
    function getValidators() external view returns (Validator[] memory);

    /// @notice The validator of an operator. Reverts when there is none.
    function getValidator(address operator) external view returns (Validator memory);

    /// @notice A page of all validators that ever were, also of those without a stake, ascending by operator, from `start` on (the zero
    /// address: from the first). At most `limit`, 100 whatever it says, and one at least. `next` is the `start` of the next page, the
    /// zero address after the last.
    function listValidators(address start, uint64 limit) external view returns (Validator[] memory page, address next);

    /// @notice A page of those who have stake with the validator of `operator`, ascending by account; `start`, `limit` and `next` as above.
    /// Reverts when there is no such validator.
    function listDelegators(address operator, address start, uint64 limit) external view returns (Staker[] memory page, address next);

    /// @notice Wei that `delegator` has staked with `operator`. What unbonds is not counted.
    function getDelegation(address delegator, address operator) external view returns (uint256);

    /// @notice All that `delegator` has staked, ascending by operator: with at most `maxDelegations` validators.
    function getDelegations(address delegator) external view returns (Stake[] memory);

    /// @notice What `delegator` unbonds from the validator of `operator`, the oldest first.
    function getUnbondings(address delegator, address operator) external view returns (Unbonding[] memory);

    /// @notice What `delegator` has redelegated to the validator of `operator` and cannot move on yet, the oldest first.
    function getRedelegations(address delegator, address operator) external view returns (Redelegation[] memory);

    /// @notice Sum of the power of all seats.
    function totalPower() external view returns (uint64);
}

/// @dev Where the precompile stands on every chain of this kind.
IStaking constant STAKING = IStaking(0x0000000000000000000000000000000000000803);
