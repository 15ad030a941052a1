/**
 * `node dist/tools/kernels/arm64.js FOLDER`: puts the Node of our arm64 package into the root of a
 * guest, and koffi's native code beside ilm.
 */
import { copyFileSync, cpSync } from "node:fs";
import { join } from "node:path";
import { fetchKoffi, fetchNode, koffiPackage } from "../package/fetched.js";
import { machines } from "../package/machine.js";

const [, , root = ""] = process.argv;
const machine = machines.find(({ debian }) => debian === "arm64");
if (machine === undefined) throw new Error("there is no package for arm64");
copyFileSync(join(fetchNode(machine), "bin/node"), join(root, "usr/bin/node"));
const native = join(root, "ilm/node_modules", koffiPackage(machine.node));
cpSync(fetchKoffi(machine), native, { recursive: true });
