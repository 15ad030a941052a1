// Goal: a record of the kernel's socket tables is a listener with everything that is known of it.
import { expect, test } from "vitest";
import type { Listener as Record } from "../../../../src/abi/generated.js";
import { toListener } from "../../../../src/dataplane/observe/listeners.js";
import { addressBytes } from "../../../../src/model/address.js";
import { address } from "../../daemon/fixtures.js";

function record(changes: Partial<Record> = {}): Record {
  return {
    address: addressBytes(address("127.0.1.10")),
    cookie: 2n ** 63n,
    sinceNs: 0n,
    waiting: 0,
    waitingMax: 128,
    drops: 0,
    inode: 4242n,
    cgroup: 1n,
    uid: 33,
    device: 0,
    port: 8080,
    protocol: 6,
    family: 2,
    v6only: 0,
    reuseport: 1,
    mptcp: 0,
    groupProgram: 0,
    groupSize: 3,
    placed: 1,
    unit: 0n,
    gid: 33,
    ...changes,
  };
}

const nameOf = (index: number): string => `eth${index}`;

test("a TCP listener has its address, group and socket, and a cookie that needs all of its 64 bits", () => {
  expect(toListener(record(), nameOf, 0)).toMatchObject({
    protocol: "tcp",
    kind: "tcp",
    family: 4,
    address: "127.0.1.10",
    port: 8080,
    wildcard: false,
    reuseport: true,
    groupSize: 3,
    placed: true,
    deviceName: "",
    cookie: "9223372036854775808",
    inode: 4242,
    cgroup: "1",
    identity: { uid: 33, gid: 33, unit: "0" },
  });
});

test.each([
  ["an MPTCP listener is of protocol TCP", { mptcp: 1 }, { protocol: "tcp", kind: "mptcp" }],
  ["a UDP socket", { protocol: 17 }, { protocol: "udp", kind: "udp" }],
  ["a wildcard", { address: addressBytes(address("0.0.0.0")) }, { wildcard: true }],
  ["an IPv6 wildcard for IPv6 only", { family: 10, v6only: 1 }, { family: 6, v6only: true }],
  ["one that is bound to an interface", { device: 3 }, { device: 3, deviceName: "eth3" }],
])("%s", (_, changes, expected) => {
  expect(toListener(record(changes), nameOf, 0)).toMatchObject(expected);
});
