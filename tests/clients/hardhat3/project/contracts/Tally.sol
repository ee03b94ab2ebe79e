// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

contract Tally {
    error TooMany(uint256 asked);

    event Added(address indexed by, uint256 total);

    uint256 public total;

    constructor(uint256 first) {
        total = first;
    }

    function add(uint256 more) external {
        if (more > 100) revert TooMany(more);
        require(more > 0, "nothing to add");
        total += more;
        emit Added(msg.sender, total);
    }
}
