// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Reads of models and of paid inference sessions
/// @notice Read-only precompile at 0x0000000000000000000000000000000000000801. Writes go through the Outbox.
/// @dev Call or STATICCALL it. With value, or by DELEGATECALL or CALLCODE, a call reverts; so does one with an unknown selector
/// or malformed arguments. It reads the chain as it is at this moment of the block. Gas: see docs/reference/precompiles.md.
interface IModels {
    /// @notice A version of a data set that a model was trained on.
    struct DataRef {
        uint64 datanet;
        uint64 version;
    }

    /// @notice One published model.
    struct Model {
        address owner;
        string name;
        string base;
        /// @dev Hashes of weights and training receipt.
        bytes32 weights;
        bytes32 receipt;
        /// @dev sha256 of the model's files and of its attribution index; Merkle root over the index rows.
        bytes32 bundle;
        bytes32 index;
        bytes32 indexRoot;
        uint64 rows;
        string method;
        /// @dev Loss on data never seen in training, of the base and of the model, in micro-nats per token.
        uint64 baseLoss;
        uint64 heldOutLoss;
        /// @dev Linear datamodeling score in parts per million; 0 when it was not measured.
        uint32 lds;
        /// @dev Wei per answer.
        uint256 price;
        bool retired;
    }

    /// @notice Money that a consumer put aside for the answers of one model.
    struct Session {
        uint64 model;
        address consumer;
        /// @dev In wei.
        uint256 deposit;
        uint256 settled;
        uint32 answers;
        /// @dev Unix seconds; after it the consumer may close the session.
        uint64 expiry;
        bool closed;
    }

    /// @notice Number of models; their ids are 1 to this number.
    function modelCount() external view returns (uint64);

    /// @notice One model. Reverts when there is none of this id.
    function getModel(uint64 model) external view returns (Model memory);

    /// @notice The publisher's bond in wei, and the challenge that has shown the index to be false; 0 where none has.
    function getModelBond(uint64 model) external view returns (uint256 bond, uint64 refuted);

    /// @notice What a model was trained on.
    function getData(uint64 model) external view returns (DataRef[] memory);

    /// @notice Number of sessions; their ids are 1 to this number.
    function sessionCount() external view returns (uint64);

    /// @notice One session. Reverts when there is none of this id.
    function getSession(uint64 session) external view returns (Session memory);
}

/// @dev Where the precompile stands on every chain of this kind.
IModels constant MODELS = IModels(0x0000000000000000000000000000000000000801);
