/**
 * Lives in the network namespace under test: sweeps while sockets of holder.py come and go between
 * the looks, and prints how many sockets are counted at their place before the scan that follows.
 * Arguments: the two pipes, address and port.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { placeLayout, presenceLayout } from "../../src/abi/generated.js";
import { decode, encode } from "../../src/abi/layout.js";
import { Registry } from "../../src/dataplane/install/registry.js";
import { netnsCookie, netnsInode } from "../../src/kernel/netns.js";
import { Pins } from "../../src/kernel/pins.js";
import { type Address, addressBytes } from "../../src/model/address.js";

const [requests = "", replies = "", address = "", port = ""] = process.argv.slice(2);

function tell(request: string): void {
  writeFileSync(requests, `${request}\n`);
  readFileSync(replies);
}

const pins = Pins.open(netnsInode());
const number = pins?.numbers("registry")[0];
const registry = pins && number !== undefined && Registry.open(pins, number, netnsCookie());
if (!registry) throw new Error("there is no registry");

tell("open connected");
tell("connect connected");
tell("open before");
let looks = 0;
let opened = false;
const open = (): void => {
  if (!opened) tell("open after");
  opened = true;
};
const list = registry.list.bind(registry);
registry.list = () => {
  looks += 1;
  // Behind what was read of the table, and before the kernel's tables are looked at.
  if (looks === 1) tell("close before");
  const found = list();
  // Behind the last look that the sockets of before can need.
  if (looks === 2) open();
  return found;
};
// What it would fix is what is looked for.
registry.scan = () => undefined;
registry.sweep();
open();
const place = encode(placeLayout, {
  address: addressBytes(address as Address),
  port: Number(port),
  protocol: 17,
  device: 0,
});
const value = registry.map("presence").lookup(place);
process.stdout.write(
  `${JSON.stringify({ sockets: value && decode(presenceLayout, value).sockets })}\n`,
);
registry.close();
pins.close();
