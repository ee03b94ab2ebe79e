package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

func main() {
	ctx := context.Background()
	c, err := ethclient.Dial(os.Getenv("URL"))
	if err != nil {
		panic(err)
	}
	native := common.HexToHash(os.Getenv("NATIVE"))
	found := map[string]any{}
	note := func(name string, value any, err error) {
		if err != nil {
			value = err.Error()
		}
		found[name] = value
	}
	id, err := c.ChainID(ctx)
	note("chainId", id, err)
	receipt, err := c.TransactionReceipt(ctx, native)
	if err != nil {
		panic(err)
	}
	note("receipt", []any{receipt.Status, receipt.Type, len(receipt.Logs) > 0}, nil)
	head, err := c.HeaderByNumber(ctx, receipt.BlockNumber)
	if err != nil {
		panic(err)
	}
	note("headerHash", head.Hash() == receipt.BlockHash, nil)
	all, err := c.BlockReceipts(ctx, rpc.BlockNumberOrHashWithHash(receipt.BlockHash, false))
	note("blockReceipts", len(all), err)
	logs, err := c.FilterLogs(ctx, ethereum.FilterQuery{FromBlock: big.NewInt(0)})
	note("logs", len(logs) > 0, err)
	_, err = c.BlockByNumber(ctx, receipt.BlockNumber)
	note("block", "decoded", err)
	_, _, err = c.TransactionByHash(ctx, native)
	note("transaction", "decoded", err)
	genesis, err := c.BlockByNumber(ctx, big.NewInt(0))
	note("genesis", genesis != nil, err)
	out, _ := json.Marshal(found)
	fmt.Println(string(out))
}
