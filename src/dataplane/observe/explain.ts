/** Asks the loaded program what it would do with a packet, in a test run that counts nothing. */
import { Errno } from "../../kernel/errno.js";
import { bpfSkLookupLayout, decisionLayout, questionLayout } from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import { errnoOf } from "../../kernel/ffi.js";
import { addressBytes, familyOf } from "../../model/address.js";
import type { Packet } from "../../model/decision.js";
import { toDecision } from "./decisions.js";
import type { Generation } from "../install/generation.js";
import type { Registry } from "../install/registry.js";
import type { Explanation } from "../types.js";

const AF_INET = 2;
const AF_INET6 = 10;
const zeroKey = new Uint8Array(4);

/**
 * Encodes struct bpf_sk_lookup: IPv4 addresses and the remote port in network byte order, the local
 * port in host byte order.
 */
export function lookupContext(packet: Packet): Uint8Array {
  const local = addressBytes(packet.local);
  const remote = addressBytes(packet.remote);
  const v4 = familyOf(packet.local) === 4;
  const ip4 = (bytes: Uint8Array): number =>
    v4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true) : 0;
  const ip6 = (bytes: Uint8Array): Uint8Array => (v4 ? new Uint8Array(16) : bytes);
  return encode(bpfSkLookupLayout, {
    cookie: 0n,
    family: v4 ? AF_INET : AF_INET6,
    protocol: packet.protocol === "udp" ? 17 : 6,
    remoteIp4: ip4(remote),
    remoteIp6: ip6(remote),
    remotePort: ((packet.remotePort & 0xff) << 8) | (packet.remotePort >> 8),
    localIp4: ip4(local),
    localIp6: ip6(local),
    localPort: packet.localPort,
    // The kernel accepts no interface in a test run (net/bpf/test_run.c).
    ingressIfindex: 0,
  });
}

export function explainPacket(
  packet: Packet,
  { generation, registry }: { readonly generation: Generation; readonly registry: Registry },
): Explanation {
  if (familyOf(packet.local) !== familyOf(packet.remote)) {
    throw new IlmError("USAGE", `${packet.local} and ${packet.remote} are of different families`, {
      remedy: "Give both as IPv4 or both as IPv6",
    });
  }
  const question = registry.map("question");
  const ask = (asked: number): void => {
    const { interfaceIndex, remotePort } = packet;
    const nat = registry.nat().includes(familyOf(packet.local)) ? 1 : 0;
    const value = { asked, interface: interfaceIndex, remotePort, nat };
    question.update(zeroKey, encode(questionLayout, value));
  };
  let cookie = 0n;
  ask(1);
  try {
    // Port 0 tells the program to check for a question (bpf/abi.h, ilm_question).
    const { context } = generation.programs.lookup.testRun(
      lookupContext({ ...packet, remotePort: 0 }),
    );
    cookie = decode(bpfSkLookupLayout, context).cookie;
  } catch (error) {
    // The program decided, but a test run does not choose a member of a SO_REUSEPORT group
    // (net/bpf/test_run.c).
    if (errnoOf(error) !== Errno.EOPNOTSUPP) throw error;
  } finally {
    ask(0);
  }
  const answer = registry.map("explained").lookup(zeroKey);
  if (answer === undefined) throw new IlmError("INTERNAL", "the program left no answer");
  return {
    ...toDecision(decode(decisionLayout, answer), generation.description),
    cookie: cookie === 0n ? null : cookie.toString(),
  };
}
