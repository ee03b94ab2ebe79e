// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of proposals, parameters and the community pool
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000804. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md. The community pool is the balance of this address.
interface IGovernance {
    /// @notice Where a proposal stands.
    enum Status {
        None,
        Deposit,
        Voting,
        Passed,
        Rejected,
        Vetoed,
        Failed
    }

    /// @notice One proposal.
    struct Proposal {
        address proposer;
        string title;
        Status status;
        /// @dev In wei.
        uint256 deposit;
        /// @dev Unix seconds.
        uint64 votingEnds;
        /// @dev Voting power.
        uint64 yes;
        uint64 no;
        uint64 veto;
        uint64 abstain;
    }

    /// @notice Number of proposals; their ids are 1 to this number.
    function proposalCount() external view returns (uint64);

    /// @notice One proposal. Reverts when there is none of this id.
    function getProposal(uint64 proposal) external view returns (Proposal memory);

    /// @notice A parameter of the chain by name, as its unsigned integer: "blockGasLimit" as in openledger_getParams, or
    /// "block_gas_limit" as in genesis. Reverts when there is none of this name, and for one that is no number.
    function getParam(string calldata name) external view returns (uint256);
}

/// @dev Where the precompile stands on every chain of this kind.
IGovernance constant GOVERNANCE = IGovernance(0x0000000000000000000000000000000000000804);
