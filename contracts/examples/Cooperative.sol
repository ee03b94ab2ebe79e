// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Actions} from "../libraries/Actions.sol";
import {STAKING} from "../IStaking.sol";

/// @title A cooperative that owns a data set and stakes its coins
/// @notice It acts on the chain in its own name: the datanet belongs to the contract, and so does the stake.
contract Cooperative {
    address public immutable steward = msg.sender;

    error OnlySteward();

    modifier onlySteward() {
        if (msg.sender != steward) revert OnlySteward();
        _;
    }

    receive() external payable {}

    /// @notice Make a datanet that is open to everybody and belongs to this contract.
    function found(string calldata name, string calldata description, string calldata licence) external onlySteward {
        Actions.submit("datanet.create", datanet(name, description, licence));
    }

    /// @notice Stake coins of this contract with a validator. The balance is looked at when the action runs.
    function stake(address operator, uint256 amount) external onlySteward {
        Actions.submit("stake.delegate", delegation(operator, amount));
    }

    /// @notice Begin to take stake back; it comes to this contract when the unbonding time is over.
    function unstake(address operator, uint256 amount) external onlySteward {
        Actions.submit("stake.undelegate", delegation(operator, amount));
    }

    /// @notice What this contract has staked with a validator, in wei.
    function staked(address operator) external view returns (uint256) {
        return STAKING.getDelegation(address(this), operator);
    }

    /// @notice The fields of the actions that stake and unstake.
    function delegation(address operator, uint256 amount) public pure returns (bytes memory) {
        return abi.encodePacked(Actions.list(2), Actions.account(operator), Actions.number(amount));
    }

    /// @notice The fields of the action that makes the datanet: no reviewers, bond or stake.
    function datanet(
        string calldata name,
        string calldata description,
        string calldata licence
    ) public pure returns (bytes memory) {
        bytes memory about = abi.encodePacked(Actions.text(name), Actions.text(description), Actions.text("text"), Actions.text(licence));
        bytes memory rules = abi.encodePacked(Actions.text("open"), Actions.number(0), Actions.number(0), Actions.number(0), Actions.list(0));
        return abi.encodePacked(Actions.list(9), about, rules);
    }
}
