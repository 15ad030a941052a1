// Goal: whom the kernel takes without us is told as the kernel does it: exact first, then wildcard,
// dual-stack included.
import { describe, expect, test } from "vitest";
import { kernelChoice } from "../../../src/doctor/kernel-choice.js";
import { listener, packet } from "../cli/fixtures.js";

const exact = listener("203.0.113.5", 80);
const wildcard = listener("0.0.0.0", 80);
const dual = listener("::", 80);

describe("the kernel takes", () => {
  test("the exact listener before the wildcard one", () => {
    expect(kernelChoice(packet("203.0.113.5", 80), [wildcard, exact])).toBe(exact);
  });

  test("the wildcard listener for any other address", () => {
    expect(kernelChoice(packet("203.0.113.6", 80), [wildcard, exact])).toBe(wildcard);
  });

  test("a dual-stack listener for IPv4, but not one that is for IPv6 only", () => {
    expect(kernelChoice(packet("203.0.113.6", 80), [dual])).toBe(dual);
    expect(kernelChoice(packet("203.0.113.6", 80), [{ ...dual, v6only: true }])).toBeNull();
  });

  test("no IPv4 wildcard for IPv6", () => {
    expect(kernelChoice(packet("2001:db8::5", 80), [wildcard])).toBeNull();
  });

  test("no socket of another port or protocol", () => {
    expect(kernelChoice(packet("203.0.113.5", 81), [exact, wildcard])).toBeNull();
    expect(kernelChoice(packet("203.0.113.5", 80, { protocol: "udp" }), [exact])).toBeNull();
  });

  test("a listener that is bound to a device only for packets of that device", () => {
    const bound = { ...exact, device: 3 };
    expect(kernelChoice(packet("203.0.113.5", 80, { interfaceIndex: 3 }), [bound])).toBe(bound);
    expect(kernelChoice(packet("203.0.113.5", 80, { interfaceIndex: 2 }), [bound])).toBeNull();
  });
});
