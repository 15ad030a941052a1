/** Packets that meet the rules of ./rules.ts, well-formed at first, most of them spoilt then. */
import type { Random } from "../../support/random.js";
import { addressBytes, type Address } from "../../../src/model/address.js";
import { ICMP, ICMPV6, TCP, UDP, sum } from "./read.js";
import {
  clients,
  connected,
  dialledPorts,
  hostMac,
  oddClients,
  privates,
  publics,
  strangers,
} from "./rules.js";

/** The longest that is made; a test run takes what fits in a page. */
const ROOM = 2048;
const ETHERNET = 14;
const MAX_EXTENSIONS = 70;

/** One packet; `bytes` is good until the next one is made. */
export interface Made {
  readonly bytes: Uint8Array;
  /** A UDP datagram in one piece as any host would take it. */
  readonly perfect: boolean;
}

interface Ends {
  readonly family: 4 | 6;
  /** The source is. */
  readonly odd?: boolean;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const bytesOf = new Map<string, Uint8Array>();
function packed(address: string): Uint8Array {
  let bytes = bytesOf.get(address);
  if (bytes === undefined) {
    const all = addressBytes(address as Address);
    bytes = address.includes(":") ? all : all.slice(12);
    bytesOf.set(address, bytes);
  }
  return bytes;
}

/** What ICMP errors are about: a reply as it left, from what was dialled. */
export interface Answered {
  readonly family: 4 | 6;
  readonly dialled: string;
  readonly port: number;
  readonly client: string;
  readonly clientPort: number;
}

export class Generator {
  readonly #random: Random;
  readonly #answered: readonly Answered[];
  readonly #room = new Uint8Array(new ArrayBuffer(ROOM));
  /** The rest of a datagram that was begun. */
  #pending: Uint8Array | undefined;

  constructor(random: Random, answered: readonly Answered[]) {
    this.#random = random;
    this.#answered = answered;
  }

  next(): Made {
    const random = this.#random;
    if (this.#pending !== undefined) {
      const bytes = this.#pending;
      this.#pending = undefined;
      return { bytes, perfect: false };
    }
    const tagged = random.oneIn(12);
    const network = tagged ? ETHERNET + 4 : ETHERNET;
    const ends = this.#ends();
    let plain = !tagged && ends.odd !== true;
    this.#ethernet(ends.family, tagged);
    let end: number;
    if (random.oneIn(8)) {
      plain = false;
      end = this.#error(network);
    } else {
      const tcp = random.oneIn(4);
      if (tcp) plain = false;
      const built =
        ends.family === 4 ? this.#ipv4(network, ends, tcp) : this.#ipv6(network, ends, tcp);
      if (!built.usual) plain = false;
      end = built.end;
    }
    // Ethernet pads short frames.
    if (random.oneIn(4)) end = this.#fill(end, random.integer(1, 20));
    if (!random.oneIn(3)) {
      plain = false;
      for (let times = random.pick([1, 1, 1, 2, 4]); times > 0; times -= 1) {
        end = this.#spoil(network, end);
      }
    }
    return { bytes: this.#room.subarray(0, end), perfect: plain };
  }

  #ends(): Ends {
    const random = this.#random;
    const family = random.pick([4, 6] as const);
    const odd = random.oneIn(30);
    const own = (address: string): boolean => address.includes(":") === (family === 6);
    const { address, port, peer } = random.pick(connected);
    if (random.oneIn(30)) {
      return {
        family: address.includes(":") ? 6 : 4,
        source: packed(peer[0]),
        destination: packed(address),
        sourcePort: random.oneIn(4) ? peer[1] + 1 : peer[1],
        destinationPort: port,
      };
    }
    const local = random.oneIn(10) ? privates : random.oneIn(10) ? strangers : publics;
    return {
      family,
      source: packed(random.pick((odd ? oddClients : clients).filter(own))),
      odd,
      destination: packed(random.pick(local.filter(own))),
      sourcePort: random.integer(1024, 65535),
      destinationPort: random.oneIn(12) ? random.integer(0, 65535) : random.pick(dialledPorts),
    };
  }

  #ethernet(family: 4 | 6, tagged: boolean): void {
    const random = this.#random;
    const room = this.#room;
    room.set(hostMac, 0);
    if (random.oneIn(40)) {
      room.set(
        random.pick([
          [2, 0, 0, 0, 0, 9],
          [255, 255, 255, 255, 255, 255],
          [1, 0, 94, 0, 0, 1],
        ]),
        0,
      );
    }
    room.set([2, 0, 0, 0, 0, 2], 6);
    let at = 12;
    if (tagged) {
      this.#put(12, random.pick([0x8100, 0x8100, 0x88a8]));
      this.#put(14, random.pick([0, 0x6000, 5, 0x2005]));
      at = 16;
    }
    this.#put(at, family === 4 ? 0x0800 : 0x86dd);
  }

  #put(at: number, value: number): void {
    this.#room[at] = value >> 8;
    this.#room[at + 1] = value & 0xff;
  }

  #fill(at: number, length: number): number {
    const end = Math.min(ROOM, at + length);
    for (let i = at; i < end; i++) this.#room[i] = this.#random.integer(0, 255);
    return end;
  }

  /** `usual`: without anything that a host might refuse. */
  #ipv4(at: number, ends: Ends, tcp: boolean): { end: number; usual: boolean } {
    const random = this.#random;
    const room = this.#room;
    const options = random.oneIn(4) ? random.integer(1, 10) * 4 : 0;
    const transport = at + 20 + options;
    const end = this.#transport(transport, ends, tcp);
    room.fill(1, at + 20, transport);
    if (options > 0 && random.oneIn(2)) room[transport - 1] = 0;
    const cut = !tcp && random.oneIn(8) ? random.pick(["first", "later", "pair"] as const) : null;
    const id = random.integer(0, 65535);
    if (cut === "pair" && end - transport > 24) {
      const rest = this.#copy(at, transport + 16, end);
      this.#ipv4Header(rest, at, at + 20, rest.length, id, 2, tcp, ends);
      this.#pending = rest;
      this.#ipv4Header(room, at, transport, transport + 16, id, 0x2000, tcp, ends);
      return { end: transport + 16, usual: false };
    }
    const fragment =
      cut === "later"
        ? random.integer(1, 0x1fff) | random.pick([0, 0x2000])
        : cut === null
          ? random.pick([0, 0x4000])
          : 0x2000;
    this.#ipv4Header(room, at, transport, end, id, fragment, tcp, ends);
    return { end, usual: cut === null };
  }

  #ipv4Header(
    to: Uint8Array,
    at: number,
    transport: number,
    end: number,
    id: number,
    fragment: number,
    tcp: boolean,
    ends: Ends,
  ): void {
    const view = new DataView(to.buffer, to.byteOffset);
    to[at] = 0x40 | ((transport - at) / 4);
    to[at + 1] = 0;
    view.setUint16(at + 2, end - at);
    view.setUint16(at + 4, id);
    view.setUint16(at + 6, fragment);
    to[at + 8] = 64;
    to[at + 9] = tcp ? TCP : UDP;
    view.setUint16(at + 10, 0);
    to.set(ends.source, at + 12);
    to.set(ends.destination, at + 16);
    view.setUint16(at + 10, 0xffff - sum(to, at, transport));
  }

  /**
   * A frame with the same link header, room for a network header of 20 bytes, and a piece of this
   * one.
   */
  #copy(network: number, from: number, to: number): Uint8Array {
    const frame = new Uint8Array(new ArrayBuffer(network + 20 + to - from));
    frame.set(this.#room.subarray(0, network));
    frame.set(this.#room.subarray(from, to), network + 20);
    return frame;
  }

  #ipv6(at: number, ends: Ends, tcp: boolean): { end: number; usual: boolean } {
    const random = this.#random;
    const room = this.#room;
    // Some have more than anybody reads, and just not.
    const many = random.oneIn(20);
    const count = random.oneIn(2)
      ? 0
      : many
        ? random.pick([random.integer(4, MAX_EXTENSIONS), 63, 64, 65])
        : random.integer(1, 3);
    let usual = count <= 3;
    let nextAt = at + 6;
    let here = at + 40;
    let atoms = 0;
    for (let i = 0; i < count; i++) {
      const kind = many ? 60 : random.pick([0, 60, 60, 43, 44, 51] as const);
      room[nextAt] = kind;
      nextAt = here;
      const units = kind === 44 ? 1 : random.pick([1, 1, 2]);
      const length = units * 8;
      room.fill(0, here, here + length);
      if (kind === 44) {
        atoms += 1;
        const field = random.pick([0, 0, 0, 1, 8, 0xfff8, 0xfff9, 6]);
        this.#put(here + 2, field);
        this.#put(here + 6, random.integer(0, 65535));
        if ((field & 0xfff9) !== 0 || atoms > 1) usual = false;
      } else if (kind === 51) {
        room[here + 1] = units * 2 - 2;
        usual = false;
      } else {
        room[here + 1] = units - 1;
        if (kind === 43) {
          room[here + 2] = random.pick([0, 0, 0, 2, 3, 4]);
          room[here + 3] = random.pick([0, 0, 0, 1]);
          if (room[here + 2] !== 0 || room[here + 3] !== 0) usual = false;
        } else {
          // PadN, and an option that whoever does not know it passes over.
          room.set([1, 4], here + 2);
          if (units === 2) room.set([0x1e, 6], here + 8);
        }
        if (kind === 0 && i > 0) usual = false;
      }
      here += length;
    }
    room[nextAt] = tcp ? TCP : UDP;
    const end = this.#transport(here, ends, tcp);
    room.set([0x60, 0, 0, 0], at);
    this.#put(at + 4, end - at - 40);
    room[at + 7] = 64;
    room.set(ends.source, at + 8);
    room.set(ends.destination, at + 24);
    return { end, usual };
  }

  #transport(at: number, ends: Ends, tcp: boolean): number {
    const random = this.#random;
    const room = this.#room;
    const header = tcp ? 20 : 8;
    const end = this.#fill(at + header, random.pick([0, 1, 12, 40, 200]));
    room.fill(0, at, at + header);
    this.#put(at, ends.sourcePort);
    this.#put(at + 2, ends.destinationPort);
    if (tcp) {
      this.#put(at + 6, random.integer(0, 65535));
      room[at + 12] = 0x50;
      room[at + 13] = random.oneIn(2) ? 0x02 : random.integer(0, 255);
      this.#put(at + 14, 0xffff);
    } else {
      this.#put(at + 4, end - at);
    }
    const pseudo = (tcp ? TCP : UDP) + end - at;
    const start = sum(ends.source, 0, ends.source.length, pseudo);
    const check =
      0xffff - sum(room, at, end, sum(ends.destination, 0, ends.destination.length, start));
    this.#put(at + (tcp ? 16 : 6), check === 0 ? 0xffff : check);
    return end;
  }

  /** An ICMP error from somewhere about an answer; sometimes about anything else. */
  #error(at: number): number {
    const random = this.#random;
    const room = this.#room;
    const about = random.pick(this.#answered);
    const { family } = about;
    this.#put(at - 2, family === 4 ? 0x0800 : 0x86dd);
    const router = packed(
      random.pick(clients.filter((one) => one.includes(":") === (family === 6))),
    );
    const dialled = packed(about.dialled);
    const header = family === 4 ? 20 : 40;
    const icmp = at + header;
    const quoted = icmp + 8;
    const ends: Ends = {
      family,
      source: dialled,
      destination: packed(about.client),
      sourcePort: random.oneIn(8) ? random.pick(dialledPorts) : about.port,
      destinationPort: random.oneIn(8) ? random.integer(1, 65535) : about.clientPort,
    };
    // Routers quote what fits.
    const { end: whole } = family === 4 ? this.#quote4(quoted, ends) : this.#quote6(quoted, ends);
    const end = random.oneIn(3) ? Math.min(whole, quoted + header + 8) : whole;
    const type =
      family === 4
        ? random.pick([3, 3, 3, 11, 12, 0, 5, 8])
        : random.pick([1, 2, 3, 4, 128, 129, 0]);
    room.set([type, random.integer(0, 5), 0, 0, 0, 0, 5, 0], icmp);
    if (family === 4) {
      this.#put(icmp + 2, 0xffff - sum(room, icmp, end));
      this.#ipv4Header(room, at, icmp, end, 1, 0, false, {
        ...ends,
        source: router,
        destination: dialled,
      });
      room[at + 9] = ICMP;
      this.#put(at + 10, 0);
      this.#put(at + 10, 0xffff - sum(room, at, icmp));
      return end;
    }
    const start = sum(router, 0, 16, ICMPV6 + end - icmp);
    this.#put(icmp + 2, 0xffff - sum(room, icmp, end, sum(dialled, 0, 16, start)));
    room.set([0x60, 0, 0, 0], at);
    this.#put(at + 4, end - icmp);
    room[at + 6] = ICMPV6;
    room[at + 7] = 64;
    room.set(router, at + 8);
    room.set(dialled, at + 24);
    return end;
  }

  #quote4(at: number, ends: Ends): { end: number } {
    const built = this.#ipv4(at, ends, this.#random.oneIn(20));
    this.#pending = undefined;
    return built;
  }

  #quote6(at: number, ends: Ends): { end: number } {
    return this.#ipv6(at, ends, this.#random.oneIn(20));
  }

  #spoil(network: number, end: number): number {
    const random = this.#random;
    const room = this.#room;
    const header = (): number => random.integer(network, Math.min(end, network + 64) - 1);
    if (end <= network + 1) return this.#fill(end, random.integer(1, 60));
    switch (random.integer(1, 12)) {
      case 1:
        return random.integer(0, end);
      case 2:
        return random.integer(network, Math.min(end, network + 70));
      case 3:
        return this.#fill(end, random.integer(1, 400));
      case 4:
        room[random.integer(0, end - 1)] = random.integer(0, 255);
        return end;
      case 5: {
        const at = header();
        room[at] = (room[at] ?? 0) ^ (1 << random.integer(0, 7));
        return end;
      }
      case 6:
        // Version and header length.
        room[network] = random.oneIn(2) ? random.integer(0, 255) : random.integer(0x40, 0x4f);
        return end;
      case 7:
        // Lengths.
        this.#put(
          network + random.pick([2, 4]),
          random.pick([0, 1, 19, 20, 28, end - network - 1, 65535, random.integer(0, 65535)]),
        );
        return end;
      case 8:
        // Protocols and next headers.
        room[network + random.pick([6, 9, 40, 48, 56])] = random.pick([
          0, 1, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 132, 135, 255,
        ]);
        return Math.max(end, Math.min(ROOM, network + 57));
      case 9:
        // Fragments; extension headers' lengths.
        room[network + random.pick([6, 7, 41, 42, 43, 49])] = random.integer(0, 255);
        return Math.max(end, Math.min(ROOM, network + 50));
      case 10: {
        const at = header();
        room[at] = random.pick([0, 1, 0x7f, 0x80, 0xfe, 0xff]);
        return end;
      }
      case 11:
        room[random.integer(0, 5)] = random.integer(0, 255);
        return end;
      default:
        this.#put(12, random.pick([0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 64]));
        return end;
    }
  }
}
