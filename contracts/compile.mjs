// Writes tests/precompiles/compiled.json: ABIs of the interfaces, ABI and creation code of the examples.
//   npm install --no-save --prefix /tmp/solc solc@0.8.30 && node contracts/compile.mjs /tmp/solc
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder] = process.argv.slice(2);
if (!folder) throw new Error("name the folder in which solc 0.8.30 is installed: node contracts/compile.mjs FOLDER");
const solc = createRequire(`${resolve(folder)}/`)("solc");
if (!solc.version().startsWith("0.8.30+")) throw new Error(`this is solc ${solc.version()}, and 0.8.30 is asked for`);

const here = new URL("./", import.meta.url);
const named = (below) => readdirSync(new URL(below, here)).filter((name) => name.endsWith(".sol")).sort();
const interfaces = named("./").map((name) => name.slice(0, -4));
const examples = named("./examples/").map((name) => name.slice(0, -4));
const libraries = named("./libraries/").map((name) => `libraries/${name}`);
const files = [...interfaces.map((name) => `${name}.sol`), ...libraries, ...examples.map((name) => `examples/${name}.sol`)];

const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "prague",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
};
const sources = Object.fromEntries(files.map((name) => [name, { content: readFileSync(new URL(name, here), "utf8") }]));
const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
for (const error of errors) console.error(error.formattedMessage);
if (!contracts || errors.some((error) => error.severity === "error")) process.exit(1);

const found = {
  compiler: "solc 0.8.30, optimizer 200 runs, evmVersion prague, no metadata",
  interfaces: Object.fromEntries(interfaces.map((name) => [name, contracts[`${name}.sol`][name].abi])),
};
for (const name of examples) {
  const { abi, evm } = contracts[`examples/${name}.sol`][name];
  found[name] = { abi, init: `0x${evm.bytecode.object}` };
}
writeFileSync(new URL("../tests/precompiles/compiled.json", here), `${JSON.stringify(found, null, 1)}\n`);
