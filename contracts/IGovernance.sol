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
        Failed,
        Expired,
        NoQuorum
    }

    /// @notice What can be voted; None where an account has not.
    enum Option {
        None,
        Yes,
        No,
        Abstain,
        NoWithVeto
    }

    /// @notice One proposal.
    struct Proposal {
        address proposer;
        string title;
        /// @dev What would be done: "text", "params", "spend", "upgrade", ...
        string effect;
        Status status;
        /// @dev In wei, what was deposited.
        uint256 deposit;
        /// @dev Unix seconds: until when deposits, then votes are taken.
        uint64 deadline;
        /// @dev Wei of stake: as it would be counted now, or as it was counted at the end.
        uint256 yes;
        uint256 no;
        uint256 veto;
        uint256 abstain;
        /// @dev Wei of stake behind all seats.
        uint256 bonded;
    }

    /// @notice What one account has voted.
    struct Vote {
        address voter;
        Option option;
    }

    /// @notice Number of proposals; their ids are 1 to this number.
    function proposalCount() external view returns (uint64);

    /// @notice One proposal. Reverts when there is none of this id.
    function getProposal(uint64 proposal) external view returns (Proposal memory);

    /// @notice What an account has voted. Reverts when there is no such proposal.
    function getVote(uint64 proposal, address voter) external view returns (Option);

    /// @notice A page of proposals by id, from `start` on. At most `limit`, 100 whatever it says, and one at least. `next` is the `start` of
    /// the next page, 0 after the last. One that is being voted is counted for it, which costs gas for each validator.
    function listProposals(uint64 start, uint64 limit) external view returns (Proposal[] memory page, uint64 next);

    /// @notice A page of the votes on a proposal, ascending by voter, from `start` on (the zero address: from the first); `limit` as above.
    /// `next` is the zero address after the last. Reverts when there is no such proposal.
    function listVotes(uint64 proposal, address start, uint64 limit) external view returns (Vote[] memory page, address next);

    /// @notice A parameter of the chain by name, as its unsigned integer: "blockGasLimit" as in openledger_getParams, or
    /// "block_gas_limit" as in genesis. Reverts when there is none of this name, and for one that is no number.
    function getParam(string calldata name) external view returns (uint256);
}

/// @dev Where the precompile stands on every chain of this kind.
IGovernance constant GOVERNANCE = IGovernance(0x0000000000000000000000000000000000000804);
