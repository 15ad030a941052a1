/** The guest's load: what was lost is told from what a slow guest delayed or dropped. */
import { describe, expect, test } from "vitest";
import {
  type Counted,
  type Exchange,
  type Outcome,
  addExchange,
  judge,
  noExchanges,
} from "../../../tools/kernels/loss.js";

const LONG_MS = 2500;
const served = (took_ms = 3): Exchange => ({ outcome: "served", took_ms });
const failed = (outcome: Outcome): Exchange => ({ outcome, took_ms: 60_000 });
const tally = (...all: Exchange[]) => all.reduce(addExchange, noExchanges);
const datagrams = (counted: Counted, ...all: Exchange[]) =>
  judge({ connections: noExchanges, datagrams: tally(...all), counted });
const connections = (counted: Counted, ...all: Exchange[]) =>
  judge({ connections: tally(...all), datagrams: noExchanges, counted });

test("what was served in time is neither lost nor slow", () => {
  expect(datagrams({}, served(), served())).toEqual({ lost: [], slow: [] });
});

test("a datagram that came late is the slow guest's", () => {
  expect(datagrams({}, served(), served(LONG_MS))).toEqual({
    lost: [],
    slow: ["late datagrams: 1 (slowest 2.5 s)"],
  });
});

describe("a datagram that did not come", () => {
  test("is lost when no queue overflowed, and named by its number", () => {
    expect(datagrams({ "Udp.NoPorts": 1 }, served(), failed("not received"))).toEqual({
      lost: ["datagrams 2: not received"],
      slow: [],
    });
  });

  test.each(["Udp.RcvbufErrors", "softnet.dropped"])(
    "is the slow guest's when %s counted it",
    (name) => {
      expect(datagrams({ [name]: 1 }, served(), failed("not received"))).toEqual({
        lost: [],
        slow: ["datagrams dropped from full queues: 1"],
      });
    },
  );

  test("is lost when more did not come than overflowed", () => {
    const { lost, slow } = datagrams(
      { "Udp.RcvbufErrors": 1 },
      failed("not received"),
      failed("not answered"),
    );
    expect(lost).toHaveLength(1);
    expect(slow).toHaveLength(1);
  });

  test("is lost when the kernel refused it, whatever overflowed", () => {
    expect(datagrams({ "Udp.RcvbufErrors": 5 }, failed("refused")).lost).toEqual([
      "datagrams 1: refused",
    ]);
  });
});

test("a connection that did not come is the slow guest's only when the listener's queue overflowed", () => {
  expect(connections({ "TcpExt.ListenOverflows": 1 }, failed("not received")).lost).toEqual([]);
  expect(connections({ "Udp.RcvbufErrors": 1 }, failed("not received")).lost).toEqual([
    "connections 1: not received",
  ]);
});
