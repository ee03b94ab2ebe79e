// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Tally} from "../src/Tally.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

contract Deploy {
    Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    /// One through the chain's CREATE2 deployer, one by itself.
    function run() external returns (Tally salted, Tally plain) {
        vm.startBroadcast();
        salted = new Tally{salt: bytes32(uint256(uint160(msg.sender)))}(5);
        salted.add(6);
        plain = new Tally(1);
        plain.add(2);
        vm.stopBroadcast();
    }

    function addTooMuch(Tally tally) external {
        vm.startBroadcast();
        tally.add(101);
        vm.stopBroadcast();
    }
}
