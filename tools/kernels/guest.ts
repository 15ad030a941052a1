/**
 * Runs inside the guest (init starts it): everything that is proven on a kernel, one line each. Its
 * cost: a guest of its own.
 */
import { existsSync, readFileSync } from "node:fs";
import { release, version } from "node:os";
import { checkKernelLog, runCore } from "./guest-core.js";
import { measureCost } from "./guest-cost.js";
import { runDevices } from "./guest-devices.js";
import { runHost } from "./guest-host.js";
import { testLoad, testSteps } from "./guest-engine.js";
import { runModule, testRemoval, testWithoutBtf, withModule } from "./guest-module.js";
import { runOracle } from "./guest-oracle.js";
import { runOwners } from "./guest-owners.js";
import { runRewrite } from "./guest-rewrite.js";
import { note } from "./report.js";

const PARTS = "/modules/parts";
const asked = existsSync(PARTS) ? readFileSync(PARTS, "utf8").trim() : undefined;
const parts = asked?.split(",") ?? [
  "core",
  "host",
  "owners",
  "rewrite",
  "devices",
  "module",
  "engine",
  "oracle",
  "load",
  "removal",
];

note("kernel", `${release()} ${version()}`);
if (asked !== undefined) note("parts", asked);
if (parts.includes("core")) await runCore("registry");
if (parts.includes("host")) await runHost("registry");
if (parts.includes("owners")) await runOwners("registry");
if (parts.includes("rewrite")) await runRewrite("registry");
if (parts.includes("devices")) await runDevices("registry");
if (parts.includes("module")) await runModule();
await withModule(async () => {
  if (parts.includes("engine")) await runCore("kfunc");
  if (parts.includes("engine") && parts.includes("host")) await runHost("kfunc");
  if (parts.includes("engine") && parts.includes("owners")) await runOwners("kfunc");
  if (parts.includes("engine") && parts.includes("rewrite")) await runRewrite("kfunc");
  if (parts.includes("engine") && parts.includes("devices")) await runDevices("kfunc");
  if (parts.includes("oracle")) await runOracle();
  if (parts.includes("load")) {
    await testSteps();
    await testLoad();
    await testWithoutBtf();
  }
  if (parts.includes("cost")) measureCost();
  if (parts.includes("removal")) await testRemoval();
});
await checkKernelLog();
note("end", "");
