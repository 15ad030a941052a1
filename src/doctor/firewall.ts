/** The netfilter rules of this host, as far as its programs show them. */
import { chainsBefore, chainsOf } from "../config/nft/sources.js";
import { askRules } from "./neighbours.js";
import type { Firewall } from "./obstacle.js";

/**
 * Reads the firewall. `filtered` says that, according to the kernel, some hook sees incoming
 * packets.
 */
export function askFirewall(filtered: boolean): Firewall {
  if (!filtered) return { chains: [], unfollowed: [], unread: null };
  const sources = askRules(/./);
  if (sources === null) {
    return {
      chains: [],
      unfollowed: [],
      unread: "neither nft nor iptables-save is there to show them",
    };
  }
  return { chains: chainsOf(sources), unfollowed: chainsBefore(sources), unread: null };
}
