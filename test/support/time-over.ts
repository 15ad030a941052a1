/** Ends the time of changes that wait for their confirmation, as the clock would. */
import { expect } from "vitest";
import { pinRoot, python, script } from "./paths.js";
import { must } from "./process.js";

/** Ends the time of the change that waits in a network namespace, without a process of ilm. */
export async function timeIsOver({ inode }: { readonly inode: number }): Promise<void> {
  expect((await must([python, script("time_over.py"), `${pinRoot}/${inode}`])).trim()).toBe("1");
}
