/** What the kernel says of nftables, without a program that prints rules. */
import { Errno } from "./errno.js";
import { errnoOf } from "./ffi.js";
import { attributes, message, NETLINK_NETFILTER, NLM_F_DUMP, talk } from "./netlink.js";

/** include/uapi/linux/netfilter/nfnetlink.h, nf_tables.h and netfilter.h. */
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETCHAIN = 4;
const NFTA_CHAIN_HOOK = 4;
const NFTA_HOOK_HOOKNUM = 1;
/** The size of struct nfgenmsg, which begins with the family. */
const NFGENMSG = 4;
const TYPE = 0x3fff;
const INET = 1;
const NETDEV = 5;
const BRIDGE = 7;

/** The hooks of each family that see packets before those of IPv4 and IPv6 do. */
const early: ReadonlyMap<number, readonly number[]> = new Map([
  // NF_INET_INGRESS
  [INET, [5]],
  // NF_NETDEV_INGRESS
  [NETDEV, [0]],
  // NF_BR_PRE_ROUTING, NF_BR_LOCAL_IN, NF_BR_FORWARD
  [BRIDGE, [0, 1, 2]],
]);

/**
 * Reports whether this network namespace has chains at the ingress of interfaces or at bridges. The
 * kernel has no other list of them. Throws SYSCALL.
 */
export function hasEarlyChains(): boolean {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN;
  const request = message(type, NLM_F_DUMP, new Uint8Array(NFGENMSG));
  let found = false;
  try {
    // To the end, as what is left in the socket would be the next one's answer.
    for (const body of talk("nft chains", request, NETLINK_NETFILTER)) found ||= isEarly(body);
  } catch (error) {
    // A kernel without netfilter, or without nftables.
    const without: readonly (number | undefined)[] = [
      Errno.EPROTONOSUPPORT,
      Errno.EINVAL,
      Errno.EOPNOTSUPP,
    ];
    if (!without.includes(errnoOf(error))) throw error;
  }
  return found;
}

function isEarly(body: Uint8Array): boolean {
  const hooks = early.get(body[0] ?? 0);
  if (hooks === undefined) return false;
  for (const [type, hook] of attributes(body, NFGENMSG)) {
    if ((type & TYPE) !== NFTA_CHAIN_HOOK) continue;
    for (const [inner, value] of attributes(hook, 0)) {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      if ((inner & TYPE) === NFTA_HOOK_HOOKNUM) return hooks.includes(view.getUint32(0));
    }
  }
  return false;
}
