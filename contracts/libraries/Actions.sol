// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {OUTBOX} from "../IOutbox.sol";

/// @title Actions of the chain, written by a contract
/// @notice The Outbox takes canonical msgpack: each value in its shortest form, all fields of the kind in wire order (see
/// docs/reference/native-transactions.md). With this library a contract makes it out of its own values:
///
///     Actions.submit("stake.delegate", abi.encodePacked(Actions.list(2), Actions.account(operator), Actions.number(amount)));
///
/// @dev `submit` uses up the gas of the action in the Outbox's frame: 80,000 and 64 for each byte. It makes no check of
/// kinds or fields; what is wrong fails when it runs and leaves `ActionFailed` in the receipt.
library Actions {
    /// @notice Hand over one action: its kind, and its fields as a `list` and that many values, put together.
    function submit(string memory kind, bytes memory fields) internal {
        OUTBOX.submit(encode(kind, fields));
    }

    /// @notice The bytes that `submit` hands over.
    function encode(string memory kind, bytes memory fields) internal pure returns (bytes memory) {
        return abi.encodePacked(list(2), text(kind), data(fields));
    }

    /// @notice The beginning of a list; its `length` values follow.
    function list(uint256 length) internal pure returns (bytes memory) {
        if (length < 16) return abi.encodePacked(uint8(0x90 + length));
        require(length <= type(uint16).max, "list too long");
        return abi.encodePacked(uint8(0xdc), uint16(length));
    }

    /// @notice A number, for fields of type uint8 to uint256.
    function number(uint256 value) internal pure returns (bytes memory) {
        if (value < 0x80) return abi.encodePacked(uint8(value));
        if (value <= type(uint8).max) return abi.encodePacked(uint8(0xcc), uint8(value));
        if (value <= type(uint16).max) return abi.encodePacked(uint8(0xcd), uint16(value));
        if (value <= type(uint32).max) return abi.encodePacked(uint8(0xce), uint32(value));
        if (value < 1 << 63) return abi.encodePacked(uint8(0xcf), uint64(value));
        uint256 length = 8;
        while (length < 32 && value >> (8 * length) != 0) length++;
        bytes memory raw = abi.encodePacked(value << (256 - 8 * length));
        assembly ("memory-safe") {
            mstore(raw, length)
        }
        return data(raw);
    }

    /// @notice Text in UTF-8, for fields of type string.
    function text(string memory value) internal pure returns (bytes memory) {
        uint256 length = bytes(value).length;
        if (length < 32) return abi.encodePacked(uint8(0xa0 + length), value);
        if (length <= type(uint8).max) return abi.encodePacked(uint8(0xd9), uint8(length), value);
        require(length <= type(uint16).max, "text too long");
        return abi.encodePacked(uint8(0xda), uint16(length), value);
    }

    /// @notice Bytes, for fields of type bytes and bytes32.
    function data(bytes memory value) internal pure returns (bytes memory) {
        if (value.length <= type(uint8).max) return abi.encodePacked(uint8(0xc4), uint8(value.length), value);
        if (value.length <= type(uint16).max) return abi.encodePacked(uint8(0xc5), uint16(value.length), value);
        require(value.length <= type(uint32).max, "data too long");
        return abi.encodePacked(uint8(0xc6), uint32(value.length), value);
    }

    /// @notice An account, for fields of type address.
    function account(address value) internal pure returns (bytes memory) {
        return data(abi.encodePacked(value));
    }

    /// @notice True or false, for fields of type bool.
    function flag(bool value) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(value ? 0xc3 : 0xc2));
    }
}
