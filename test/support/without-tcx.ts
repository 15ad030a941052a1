/**
 * Activates a configuration as on a kernel without tcx (before 6.6): UDP goes through a socket
 * map, MPTCP nowhere. A program of its own, as no command of the product has such a choice; it runs
 * in the namespace that it is for.
 *
 *   node without-tcx.js apply|run FILE
 *
 * `run` says "following" and stays, and places UDP sockets as they bind.
 */
import { loadConfiguration } from "../../src/config/load.js";
import { openDataPlane } from "../../src/dataplane/open.js";
import { acquireWriterLock } from "../../src/kernel/lock.js";
import { emptyRules } from "../../src/model/rules.js";

const [verb, file] = process.argv.slice(2);
if (file === undefined || (verb !== "apply" && verb !== "run")) {
  throw new Error("usage: without-tcx.js apply|run FILE");
}
const { ruleSet } = await loadConfiguration(file);
const dataPlane = openDataPlane({ ingress: () => false });
const lock = acquireWriterLock(dataPlane.netnsInode);
dataPlane.apply({ ...emptyRules, file: ruleSet });
lock.release();
if (verb === "run") {
  dataPlane.follow();
  process.stdout.write("following\n");
} else {
  dataPlane.close();
}
