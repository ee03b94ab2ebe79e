// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title The way for a contract to act on the chain's native modules
/// @notice Predeployed at 0x0000000000000000000000000000000000000900. A submitted action runs after the transaction, in
/// the order of its logs, as a native action of the account or contract that called `submit`. A frame that reverts
/// leaves no log, so its actions never run.
/// @dev Call it, do not DELEGATECALL it: the sender of the action is the `msg.sender` of `submit`. An action that fails
/// when it runs leaves `ActionFailed` in the receipt and does not undo the transaction. At most 16 actions run for
/// one transaction.
interface IOutbox {
    /// @notice An action was handed over.
    /// @param sender The account or contract that the action will run for.
    /// @param action Canonical msgpack of the list [kind, payload]: the kind as text (for example "datanet.create"), the
    /// payload as bytes (canonical msgpack of the list of the action's fields in wire order).
    event Submitted(address indexed sender, bytes action);

    /// @notice A submitted action failed when it ran. Written by the node, not by the Outbox's code.
    /// @param index Place of the action among those that the transaction submitted, from 0.
    /// @param code Stable number of the reason (see the list of error numbers).
    event ActionFailed(uint256 index, uint256 code);

    /// @notice Hand over one action.
    /// @param action See the event.
    function submit(bytes calldata action) external;
}

/// @dev Where the Outbox stands on every chain of this kind.
IOutbox constant OUTBOX = IOutbox(0x0000000000000000000000000000000000000900);
