/** Packets that no socket makes; see python/crafted.py. */
import type { Namespace } from "./namespace.js";
import { python, script } from "./paths.js";

type End = readonly [string, number];

export interface Crafted {
  readonly from: End;
  readonly to: End;
  /** Bytes of UDP payload. */
  readonly size?: number;
  /** IPv6 destination options headers. */
  readonly headers?: number;
  /** With a fragment header, and yet whole (RFC 6946). */
  readonly atomic?: true;
  /** One fragment of it, and no other: offset and bytes, UDP header included. */
  readonly only?: readonly [number, number];
  /** Type and code of an ICMP error about the datagram `about`. */
  readonly error?: readonly [number, number];
  readonly about?: Crafted;
  /** A SYN of TCP, with this sequence number. */
  readonly sequence?: number;
}

/**
 * Sends them from one namespace to the other over up0, which both have. They arrive on `cpu`;
 * default: on any.
 */
export async function sendCrafted(
  from: Namespace,
  to: Namespace,
  packets: readonly Crafted[],
  cpu?: number,
): Promise<void> {
  const shown = await to.must(["ip", "-j", "link", "show", "dev", "up0"]);
  const [link] = JSON.parse(shown) as readonly { readonly address: string }[];
  const pinned = cpu === undefined ? [] : ["taskset", "-c", String(cpu)];
  const command = [...pinned, python, script("crafted.py"), "up0", link?.address ?? ""];
  await from.must(command, { input: `${JSON.stringify(packets)}\n` });
}
