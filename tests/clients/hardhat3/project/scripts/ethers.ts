// What `hardhat run scripts/ethers.ts` does with hardhat-ethers. Prints one JSON document as its last line.
import { network } from "hardhat";

const { ethers } = await network.create();
const found: Record<string, unknown> = {};
const signers = await ethers.getSigners();
found.signers = signers.length;
found.chain = Number((await ethers.provider.getNetwork()).chainId);
const tally = await ethers.deployContract("Tally", [1n]);
await tally.waitForDeployment();
const receipt = await (await tally.add(2n)).wait();
found.added = [receipt!.status, receipt!.from === signers[0].address];
found.total = Number(await tally.total());
found.events = (await tally.queryFilter("Added", 0)).map((event: any) => Number(event.args.total));
const reverted = await tally.add(101n).then(() => null, (error) => tally.interface.parseError(error.data));
found.reverts = [reverted!.name, Number(reverted!.args[0])];
found.reason = await tally.add.staticCall(0n).then(() => "no revert", (error) => error.message);
const failed = await tally.add(101n, { gasLimit: 100_000 });
found.failed = await failed.wait().then(() => "no revert", (error) => [error.code, error.receipt.status]);
const fees = await ethers.provider.getFeeData();
found.fees = fees.maxFeePerGas! > 0n && fees.gasPrice! > 0n;
found.signature = ethers.verifyMessage("hello", await signers[0].signMessage("hello")) === signers[0].address;
console.log(JSON.stringify(found));
