// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of attribution claims, verdicts and rewards
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000802. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md.
interface IAttribution {
    /// @notice Where a claim stands. The last three are final.
    enum Status {
        None,
        Pending,
        Voting,
        Reveal,
        Accepted,
        Refused,
        Lapsed
    }

    /// @notice One claim: who made the settled answers of a model in an epoch, by contributor.
    struct Claim {
        uint64 model;
        uint64 epoch;
        address claimant;
        Status status;
        /// @dev In wei: the fees in escrow, the claimant's bond, what was minted.
        uint256 fees;
        uint256 bond;
        uint256 minted;
        /// @dev Parts per million that belong to no contributor; with all shares it makes 1,000,000.
        uint32 unattributed;
        bytes32 evidence;
        bytes32 scoresRoot;
    }

    /// @notice A contributor's part of a claim.
    struct Share {
        address contributor;
        /// @dev Parts per million.
        uint32 ppm;
    }

    /// @notice How a challenge ended, if it did.
    enum Outcome {
        None,
        Open,
        Upheld,
        Dismissed
    }

    /// @notice The newest challenge of a claim.
    struct Challenge {
        address challenger;
        /// @dev In wei.
        uint256 bond;
        /// @dev The index row that is said to be wrong, where `contributor` is the zero address; else the share of `contributor` is.
        uint64 row;
        address contributor;
        Outcome outcome;
    }

    /// @notice How a challenge of a model's index ended, if it did. Moot: another one has refuted the model meanwhile.
    enum IndexOutcome {
        None,
        Open,
        Upheld,
        Dismissed,
        Moot
    }

    /// @notice A challenge of a row of a model's published index.
    struct IndexChallenge {
        uint64 model;
        uint64 row;
        /// @dev Of the training run, counted from 1; 0 names the whole run.
        uint8 segment;
        address challenger;
        /// @dev In wei.
        uint256 bond;
        /// @dev As of a claim; accepted says that the row is right.
        Status status;
        IndexOutcome outcome;
    }

    /// @notice Number of claims and of challenges of indexes together; their ids are 1 to this number, each either's.
    function claimCount() external view returns (uint64);

    /// @notice One claim. Reverts when there is none of this id.
    function getClaim(uint64 claim) external view returns (Claim memory);

    /// @notice The claim's shares, ascending by address.
    function getShares(uint64 claim) external view returns (Share[] memory);

    /// @notice Voting power that said yes and no in revealed verdicts on a claim or a challenge of an index, and all the power that may vote.
    function getTally(uint64 claim) external view returns (uint64 yes, uint64 no, uint64 total);

    /// @notice The claim's newest challenge. Reverts when there is no such claim, or when it was never challenged.
    function getChallenge(uint64 claim) external view returns (Challenge memory);

    /// @notice A challenge of a model's index. Reverts when there is none of this id.
    function getIndexChallenge(uint64 challenge) external view returns (IndexChallenge memory);

    /// @notice Rewards of an account that it has not withdrawn yet, in wei, those of its stake included.
    function pendingRewards(address account) external view returns (uint256);

    /// @notice What an account has earned since the beginning from fees (those of its stake included) and by mint, and what it has withdrawn, in wei.
    function getRewards(address account) external view returns (uint256 fees, uint256 minted, uint256 taken);

    /// @notice Number of the epoch that is open now.
    function currentEpoch() external view returns (uint64);
}

/// @dev Where the precompile stands on every chain of this kind.
IAttribution constant ATTRIBUTION = IAttribution(0x0000000000000000000000000000000000000802);
