import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Tallies", (m) => {
  const tally = m.contract("Tally", [m.getParameter("first", 5n)]);
  m.call(tally, "add", [7n]);
  return { tally };
});
