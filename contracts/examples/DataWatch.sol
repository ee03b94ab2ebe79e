// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {IDatanets, DATANETS} from "../IDatanets.sol";
import {OUTBOX} from "../IOutbox.sol";

/// @title A contract that reads a data set and acts on the chain
/// @notice Reads come from the precompiles, at once. Actions go through the Outbox: they run after the transaction, as
/// actions of this contract, and only if no frame above reverts.
contract DataWatch {
    /// @notice How many rows a data set has in its newest version, and who owns it.
    function look(uint64 datanet) public view returns (uint64 rows, address owner) {
        IDatanets.Datanet memory found = DATANETS.getDatanet(datanet);
        owner = found.owner;
        if (found.head != 0) rows = DATANETS.getCommit(datanet, found.head).rows;
    }

    /// @notice Hand an action over, but only while the data set has at least `least` rows.
    /// @param action Canonical msgpack of [kind, payload], see IOutbox.
    function actWhen(uint64 datanet, uint64 least, bytes calldata action) external {
        (uint64 rows, ) = look(datanet);
        require(rows >= least, "too few rows");
        OUTBOX.submit(action);
    }

    /// @notice Go `depth` calls deeper, hand the action over there, and revert in the call at depth `revertAt`; the
    /// call above goes on. With `revertAt` above `depth` nothing reverts.
    function nest(uint256 depth, uint256 revertAt, bytes calldata action) external {
        if (depth == 0) OUTBOX.submit(action);
        else try this.nest(depth - 1, revertAt, action) {} catch {}
        require(depth != revertAt, "on purpose");
    }

    /// @notice What a call of any kind answers: to see that only CALL and STATICCALL reach a precompile.
    function probe(uint8 how, address target, bytes calldata data) external returns (bool ok, bytes memory answer) {
        if (how == 0) (ok, answer) = target.call(data);
        else if (how == 1) (ok, answer) = target.staticcall(data);
        else if (how == 2) (ok, answer) = target.delegatecall(data);
        else (ok, answer) = target.call{value: 1}(data);
    }

    receive() external payable {}
}
