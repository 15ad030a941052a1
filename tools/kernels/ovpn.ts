/**
 * OpenVPN's data channel in the kernel (ovpn, since 6.16): what OpenVPN 2.7 asks of it over netlink
 * (include/uapi/linux/ovpn.h), for a tunnel between two hosts.
 */
import { isIPv4 } from "node:net";
import { errnoOf, libcFunction } from "../../src/kernel/ffi.js";
import { attribute, attributes, message, NETLINK_GENERIC, talk } from "../../src/kernel/netlink.js";
import { addressBytes, type Address } from "../../src/model/address.js";
import { Absent } from "./report.js";
import type { Name, Socket } from "./sockets.js";

const nameToIndex = libcFunction<[string], number>("unsigned int if_nametoindex(const char *name)");

const NLM_F_ACK = 4;
const NLA_F_NESTED = 0x8000;
const ENOENT = 2;
/** include/uapi/linux/genetlink.h */
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const GENL_HEADER = 4;
const OVPN = {
  peerNew: 1,
  keyNew: 6,
  ifindex: 1,
  peer: 2,
  keyconf: 3,
} as const;
const PEER = { id: 1, remoteIpv4: 2, remotePort: 5, socket: 6 } as const;
const KEY = { peerId: 1, slot: 2, keyId: 3, cipher: 4, encrypt: 5, decrypt: 6 } as const;
const DIRECTION = { cipherKey: 1, nonceTail: 2 } as const;
const CHACHA20_POLY1305 = 2;
const ID = 1;

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function nested(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NLA_F_NESTED, Buffer.concat(parts));
}

/** Sends one command of a family of generic netlink, and returns the body of its answer. */
function command(
  what: string,
  family: number,
  number: number,
  parts: readonly Uint8Array[],
): Uint8Array | undefined {
  const body = Buffer.concat([Uint8Array.of(number, 1, 0, 0), ...parts]);
  const [answer] = talk(what, message(family, NLM_F_ACK, body), NETLINK_GENERIC);
  return answer;
}

/** The family's number. Throws Absent on a kernel without the module. */
function family(): number {
  const name = attribute(CTRL_ATTR_FAMILY_NAME, Buffer.from("ovpn\0"));
  try {
    const answer = command("CTRL_CMD_GETFAMILY", GENL_ID_CTRL, CTRL_CMD_GETFAMILY, [name]);
    for (const [type, data] of attributes(answer ?? new Uint8Array(), GENL_HEADER)) {
      if (type === CTRL_ATTR_FAMILY_ID) return Buffer.from(data).readUInt16LE();
    }
  } catch (error) {
    if (errnoOf(error) !== ENOENT) throw error;
  }
  throw new Absent("no module ovpn");
}

export interface OvpnEnd {
  /** The interface's name, in this thread's namespace. */
  readonly device: string;
  /** The daemon's UDP socket. */
  readonly socket: Socket;
  readonly remote: Name;
  /** 0 or 1: the two ends have different ones. */
  readonly end: 0 | 1;
}

/**
 * Gives a UDP socket to an ovpn interface of this namespace, and a peer with keys. Throws the errno
 * that the kernel refuses the socket with.
 */
export function addOvpnPeer({ device, socket, remote, end }: OvpnEnd): void {
  if (!isIPv4(remote.address)) throw new Error(`only IPv4: ${remote.address}`);
  const port = Buffer.alloc(2);
  port.writeUInt16BE(remote.port);
  const number = family();
  const interfaceIndex = attribute(OVPN.ifindex, u32(nameToIndex(device)));
  const peer = nested(
    OVPN.peer,
    attribute(PEER.id, u32(ID)),
    attribute(PEER.remoteIpv4, addressBytes(remote.address as Address).subarray(12)),
    attribute(PEER.remotePort, port),
    attribute(PEER.socket, u32(socket.fd)),
  );
  command("OVPN_CMD_PEER_NEW", number, OVPN.peerNew, [interfaceIndex, peer]);
  const direction = (type: number, from: number): Uint8Array =>
    nested(
      type,
      attribute(DIRECTION.cipherKey, Buffer.alloc(32, 1 + from)),
      attribute(DIRECTION.nonceTail, Buffer.alloc(8, 1 + from)),
    );
  const key = nested(
    OVPN.keyconf,
    attribute(KEY.peerId, u32(ID)),
    attribute(KEY.slot, u32(0)),
    attribute(KEY.keyId, u32(0)),
    attribute(KEY.cipher, u32(CHACHA20_POLY1305)),
    direction(KEY.encrypt, end),
    direction(KEY.decrypt, 1 - end),
  );
  command("OVPN_CMD_KEY_NEW", number, OVPN.keyNew, [interfaceIndex, key]);
}
