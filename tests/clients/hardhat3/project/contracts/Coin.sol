// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

contract Coin {
    error Short(address who, uint256 has, uint256 needs);

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Noted(string indexed word, bytes data, uint256[] numbers);

    string public constant name = "Coin";
    string public constant symbol = "COIN";
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;

    constructor() {
        balanceOf[msg.sender] = 1000;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        if (balanceOf[msg.sender] < value) revert Short(msg.sender, balanceOf[msg.sender], value);
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function note(uint256[] calldata numbers) external {
        emit Noted("word", hex"0102", numbers);
        emit Noted("more", "", numbers);
    }

    function pay(address payable to) external payable {
        to.transfer(msg.value);
    }

    function divide(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function divideAndKeep(uint256 by) external {
        balanceOf[msg.sender] = 1 / by;
    }

    function refuse(bool words) external pure {
        if (words) require(false, "not today");
        revert();
    }

    function refuseToWrite(bool words) external {
        balanceOf[msg.sender] += 1;
        if (words) require(false, "not today");
        revert();
    }
}
