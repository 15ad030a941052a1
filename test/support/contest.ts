/**
 * Root's side of a race against another user, who swaps what is at a name as fast as he can:
 * `contest.js GROUND ROUNDS`, in a mount namespace of the test's. Prints how often root won the
 * name and how often it was refused.
 */
import { rmdirSync } from "node:fs";
import { IlmError } from "../../src/errors.js";
import { Folder } from "../../src/kernel/folder.js";
import { acquireWriterLock, removeLockFile } from "../../src/kernel/lock.js";
import { Pins } from "../../src/kernel/pins.js";
import { runtimePath } from "../../src/kernel/runtime-folder.js";

/**
 * An inode number that no network namespace has: the kernel's begin at 0xf0000000
 * (include/linux/proc_ns.h).
 */
const INODE = 42;

const idle = new Int32Array(new SharedArrayBuffer(4));

/** One round each. All of it is what a change does. */
const grounds: Readonly<Record<string, () => void>> = {
  pins: () => {
    const pins = Pins.make(INODE);
    try {
      pins.stage("generation").close();
      pins.publish("generation", 3);
      for (const number of pins.numbers("generation")) pins.base.remove(`generation-${number}`);
      pins.removeAll();
    } finally {
      pins.close();
    }
  },

  locks: () => {
    acquireWriterLock(INODE, { waitMs: 0 }).release();
    removeLockFile(INODE);
    // So that the other may have the name again.
    rmdirSync(runtimePath);
  },

  /** Whatever it is that he has there, and what is in it. */
  removal: () => {
    const around = Folder.open("/mnt");
    try {
      while (around?.remove("theirs") === false) {
        // He has not made it again yet, and may need this CPU for it.
        Atomics.wait(idle, 0, 0, 0.05);
      }
    } finally {
      around?.close();
    }
  },
};

const [ground = "", rounds = ""] = process.argv.slice(2);
const play = grounds[ground];
if (play === undefined) throw new Error(`no such ground: ${ground}`);
let won = 0;
let refused = 0;
for (let round = 0; round < Number(rounds); round += 1) {
  try {
    play();
    won += 1;
  } catch (error) {
    if (!(error instanceof IlmError) || error.code !== "UNSAFE_PATH") throw error;
    refused += 1;
  }
}
process.stdout.write(`${JSON.stringify({ won, refused })}\n`);
