// Goal: lines of a list are read as questions, and what is wrong with one is said.
import { describe, expect, test } from "vitest";
import { MAX_LINE, splitLines, type InputLine } from "../../../../src/cli/shell/input-lines.js";
import { parseQuestionLine } from "../../../../src/cli/shell/question.js";

describe("a line", () => {
  test("in words and as JSON asks the same", () => {
    const asked = parseQuestionLine(
      "udp [2001:db8::5]:53 from [2001:db8::9]:4000 by eth0 expect dns",
    );
    expect(asked).toEqual({
      packet: {
        protocol: "udp",
        local: "2001:db8::5",
        localPort: 53,
        remote: "2001:db8::9",
        remotePort: 4000,
      },
      isFromGiven: true,
      interface: "eth0",
      expect: "dns",
    });
    const json = {
      protocol: "udp",
      dialled: "[2001:db8::5]:53",
      from: "[2001:db8::9]:4000",
      interface: "eth0",
      expect: "dns",
    };
    expect(parseQuestionLine(JSON.stringify(json))).toEqual(asked);
    expect(
      parseQuestionLine("udp [2001:db8::5]:53 expect dns by eth0 from [2001:db8::9]:4000"),
    ).toEqual(asked);
  });

  test("needs protocol, address and port alone; the client is then an example", () => {
    expect(parseQuestionLine("  tcp\t203.0.113.5:443 ")).toMatchObject({
      packet: { remote: "198.51.100.7" },
      isFromGiven: false,
      interface: null,
      expect: null,
    });
  });

  test("that is empty or a comment asks nothing", () => {
    for (const text of ["", "   ", "# tcp 203.0.113.5:443"]) {
      expect(parseQuestionLine(text)).toBeNull();
    }
  });

  test.each([
    ["tcp", /there is no address and port/],
    ["sctp 203.0.113.5:443", /"sctp" is not a protocol/],
    ["tcp 203.0.113.5", /"203\.0\.113\.5" is not an address with a port/],
    ["tcp 203.0.113.5:443 to 127.0.1.10", /"to" is not expected here/],
    ["tcp 203.0.113.5:443 toString x", /"toString" is not expected here/],
    ["tcp 203.0.113.5:443 from", /nothing follows from/],
    ["tcp 203.0.113.5:443 expect a expect b", /expect is there twice/],
    ["tcp 203.0.113.5:443 from [2001:db8::9]:1", /differ in family/],
    ["tcp 224.0.0.1:443", /multicast/],
    ["tcp 203.0.113.5:443 by a/b", /is not the name of an interface/],
    ['{"protocol":"tcp"}', /dialled is missing/],
    ['{"protocol":"tcp","dialled":443}', /dialled is not a text/],
    ['{"protocol":"tcp","dialed":"203.0.113.5:443"}', /unknown key "dialed"/],
    ['{"protocol":"tcp",', /it is not JSON/],
  ])("that is wrong says what is wrong: %s", (line, message) => {
    expect(() => parseQuestionLine(line)).toThrow(message);
  });
});

async function split(...pieces: readonly string[]): Promise<InputLine[]> {
  const found: InputLine[] = [];
  async function* source(): AsyncGenerator<string> {
    for (const piece of pieces) yield await Promise.resolve(piece);
  }
  for await (const line of splitLines(source())) found.push(line);
  return found;
}

describe("input", () => {
  test("is split at line ends, wherever its pieces end", async () => {
    const lines = [
      { number: 1, text: "one" },
      { number: 2, text: "" },
      { number: 3, text: "three" },
    ];
    expect(await split("o", "ne\n", "\nthr", "ee")).toEqual(lines);
    expect(await split("one\n\nthree\n")).toEqual(lines);
    expect(await split()).toEqual([]);
  });

  test("with a line that is too long keeps the numbers of the others", async () => {
    const piece = "x".repeat(MAX_LINE);
    const lines = [
      { number: 1, text: "one" },
      { number: 2, text: null },
      { number: 3, text: "three" },
    ];
    expect(await split("one\n", piece, piece, piece, "\nthree")).toEqual(lines);
    expect(await split(`one\n${piece}x\nthree`)).toEqual(lines);
    expect((await split("one\n", piece, "x")).at(-1)).toEqual({ number: 2, text: null });
  });
});
