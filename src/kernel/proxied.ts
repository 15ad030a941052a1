/** Addresses that this host answers for on a link without having them there (ip-neighbour(8)). */
import type { Address } from "../model/address.js";
import { AF_INET6 } from "./libc.js";
import { NLM_F_DUMP, attributes, fromNative, message, talk } from "./netlink.js";

const RTM_GETNEIGH = 30;
const NDMSG = 12;
const NDA_DST = 1;
const NTF_PROXY = 0x08;

export interface Proxied {
  readonly address: Address;
  readonly interfaceIndex: number;
}

/** Returns what `ip -6 neighbour show proxy` shows. */
export function proxiedAddresses(): Proxied[] {
  const found: Proxied[] = [];
  // struct ndmsg: family, interface, state, flags, type
  const head = new Uint8Array(NDMSG);
  head[0] = AF_INET6;
  head[10] = NTF_PROXY;
  for (const body of talk("RTM_GETNEIGH", message(RTM_GETNEIGH, NLM_F_DUMP, head))) {
    const interfaceIndex = new DataView(body.buffer, body.byteOffset).getUint32(4, true);
    for (const [type, data] of attributes(body, NDMSG)) {
      if (type === NDA_DST) found.push({ address: fromNative(data), interfaceIndex });
    }
  }
  return found;
}
