// Goal: the kernel itself says which addresses a daemon could bind, without a privilege.
import { expect, test } from "vitest";
import { findAbsent, hostAddresses } from "../../../src/kernel/host-addresses.js";
import { address } from "../cli/fixtures.js";

test("addresses of other hosts are absent; those of interfaces and of 127.0.0.0/8 are not", async () => {
  const own = [...hostAddresses()];
  const elsewhere = [address("203.0.113.9"), address("2001:db8::9")];
  expect(await findAbsent([...own, address("127.9.9.9"), ...elsewhere])).toEqual(
    new Set(elsewhere),
  );
});

test("an address that no interface shows and the kernel takes is present", async () => {
  expect(await findAbsent([address("127.9.9.9")], new Set())).toEqual(new Set());
});

test("of very many, some are asked about", async () => {
  const many = Array.from({ length: 300 }, (_, index) =>
    address(`198.51.${100 + (index >> 8)}.${index & 255}`),
  );
  expect((await findAbsent(many)).size).toBe(100);
});
