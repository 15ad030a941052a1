/** What the suite and its workers have to agree on. */
import type { Address } from "../../src/model/address.js";

export const dialled = "203.0.113.1" as Address;
export const port = 6000;
/** Where the even turns lead, and the odd ones; each to port 7000. */
export const daemons: readonly Address[] = ["127.0.1.1" as Address, "127.0.1.2" as Address];
/** How many generations have to be seen for a proof. */
export const ENOUGH_GENERATIONS = 11;
/**
 * How the next rule set takes the place of the one before: on the other side of its tables, with
 * programs and tables of its own, or as an overlay over tables that stay.
 */
export const ways = ["other side", "own programs", "overlay"] as const;
export type Way = (typeof ways)[number];
