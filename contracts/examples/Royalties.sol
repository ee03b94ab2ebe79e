// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {IAttribution, ATTRIBUTION} from "../IAttribution.sol";

/// @title Royalties that follow attribution
/// @notice An application that earns with a model's answers sends a part on to the people whose data made them: `pay`
/// with the number of an accepted claim splits what is sent by the shares that the validators agreed on. It stands
/// beside what the chain itself pays for the answers.
/// @dev Everybody withdraws his own part, so nobody's code can stop the payment of others.
contract Royalties {
    uint256 private constant PARTS = 1_000_000;

    /// @notice What an account may withdraw, in wei.
    mapping(address => uint256) public owed;

    event Paid(uint64 indexed claim, address indexed payer, uint256 amount, uint256 returned);
    event Credited(uint64 indexed claim, address indexed contributor, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);

    error NotAccepted(uint64 claim);
    error NothingOwed(address account);
    error NotSent(address account);

    /// @notice Split what is sent by the shares of an accepted claim. What belongs to no contributor, and what rounding
    /// leaves, stays the sender's: he may withdraw it.
    /// @dev A claim that is challenged is not accepted until it has been decided again. Work grows with the claim's
    /// contributors.
    function pay(uint64 claim) external payable {
        if (ATTRIBUTION.getClaim(claim).status != IAttribution.Status.Accepted) revert NotAccepted(claim);
        IAttribution.Share[] memory shares = ATTRIBUTION.getShares(claim);
        uint256 left = msg.value;
        for (uint256 i = 0; i < shares.length; i++) {
            uint256 part = (msg.value * shares[i].ppm) / PARTS;
            owed[shares[i].contributor] += part;
            left -= part;
            emit Credited(claim, shares[i].contributor, part);
        }
        owed[msg.sender] += left;
        emit Paid(claim, msg.sender, msg.value, left);
    }

    /// @notice Take what is owed to the caller.
    function withdraw() external {
        uint256 amount = owed[msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender);
        owed[msg.sender] = 0;
        (bool sent, ) = msg.sender.call{value: amount}("");
        if (!sent) revert NotSent(msg.sender);
        emit Withdrawn(msg.sender, amount);
    }
}
