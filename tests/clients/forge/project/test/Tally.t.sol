// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Tally} from "../src/Tally.sol";

contract TallyTest {
    bool public constant IS_TEST = true;

    function test_a_fork_has_the_state_of_the_node() external {
        require(block.chainid == 161237);
        require(0x70997970C51812dc3A010C7d01b50e0d17dc79C8.balance > 1 ether);
        require(0xcA11bde05977b3631167028862bE2a173976CA11.code.length > 0);
        Tally tally = new Tally(1);
        tally.add(2);
        require(tally.total() == 3);
    }
}
