/** TCP connections that destinations' listeners accepted, counted by what is alike. */
import type { Address } from "./address.js";
import type { FlowEnd } from "./flow.js";

export interface Connections {
  readonly dialled: FlowEnd;
  readonly client: Address;
  /** Where the listener that accepted them is bound; unspecified for a wildcard listener. */
  readonly daemon: FlowEnd;
  /** How many there are. */
  readonly count: number;
}
