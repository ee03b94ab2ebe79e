// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of datanets: data sets with rules, owners and a history
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000800. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md.
interface IDatanets {
    /// @notice One data set.
    struct Datanet {
        address owner;
        string name;
        string description;
        string schema;
        /// @dev SPDX identifier.
        string licence;
        /// @dev "open", "invited" or "reviewed".
        string policy;
        uint8 reviewQuorum;
        /// @dev In wei; what a contributor bonds on a commit to a reviewed datanet.
        uint256 bond;
        /// @dev In wei; what a reviewer stakes on a review.
        uint256 stake;
        address[] reviewers;
        /// @dev Newest version that counts; 0 before the first.
        uint64 head;
        /// @dev Number of versions, those that wait for reviewers or were not accepted included: 1, 2, 3 ...
        uint64 versions;
    }

    /// @notice One version of a data set.
    struct Commit {
        address author;
        uint64 parent;
        /// @dev Merkle root over the leaves (contributor, row hash) of all rows of this version, in order.
        bytes32 root;
        uint64 rows;
        /// @dev Unix seconds of the block.
        uint64 time;
        string message;
    }

    /// @notice Consecutive rows of one contributor.
    struct Part {
        address contributor;
        /// @dev sha256 of the content.
        bytes32 blob;
        uint32 rows;
        /// @dev The block of the part's promise, or of its commit where it had none.
        uint64 height;
        /// @dev The same in the count of all promises and commits of the chain: it decides who was first.
        uint64 place;
    }

    /// @notice The review of one version of a reviewed datanet.
    struct Review {
        address author;
        uint256 bond;
        uint256 stake;
        uint8 quorum;
        /// @dev 1 pending, 2 accepted, 3 rejected, 4 expired.
        uint8 status;
        /// @dev Whether governance has overruled the reviewers.
        bool overturned;
        uint32 accepts;
        uint32 rejects;
        /// @dev Unix seconds: of the decision while pending, then until when bond and stakes are held; 0 afterwards.
        uint64 deadline;
    }

    /// @notice A salted hash of rows that are not shown yet.
    struct Promise {
        address sender;
        uint64 height;
        uint64 place;
        /// @dev Unix seconds; from then on no commit can rely on it.
        uint64 expires;
    }

    /// @notice Number of data sets; their ids are 1 to this number.
    function datanetCount() external view returns (uint64);

    /// @notice One data set. Reverts when there is none of this id.
    function getDatanet(uint64 datanet) external view returns (Datanet memory);

    /// @notice One version. Reverts when there is none.
    function getCommit(uint64 datanet, uint64 version) external view returns (Commit memory);

    /// @notice Who brought what to a version, in row order.
    function getParts(uint64 datanet, uint64 version) external view returns (Part[] memory);

    /// @notice The review of a version. Reverts when it had none.
    function getReview(uint64 datanet, uint64 version) external view returns (Review memory);

    /// @notice Whether a version is there, and needs no review or was accepted: models can be published on it.
    function isAccepted(uint64 datanet, uint64 version) external view returns (bool);

    /// @notice One promise. Reverts when there is none, or it has expired and is cleared.
    /// @param digest keccak256 of "openledger.promise", contributor (20 bytes), sha256 of the content, salt (32 bytes).
    function getPromise(bytes32 digest) external view returns (Promise memory);

    /// @notice Whether `proof` shows that row `index` of a version is `rowHash`, brought by `contributor`.
    /// @param rowHash keccak256 of the row's bytes.
    /// @param proof Siblings from the leaf to the root, bottom first.
    function verifyRow(
        uint64 datanet,
        uint64 version,
        uint64 index,
        address contributor,
        bytes32 rowHash,
        bytes32[] calldata proof
    ) external view returns (bool);
}

/// @dev Where the precompile stands on every chain of this kind.
IDatanets constant DATANETS = IDatanets(0x0000000000000000000000000000000000000800);
