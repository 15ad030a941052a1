// Goal: tables line up, keep to the terminal, and lose nothing in pipes.
import { describe, expect, test } from "vitest";
import { renderRow, renderTable, type Column } from "../../../../src/cli/render/table.js";

const columns: readonly Column[] = [
  { heading: "NAME", shrink: true },
  { heading: "N", align: "right" },
  { heading: "REST" },
];

describe("a table", () => {
  test("has its columns as wide as their widest cell", () => {
    const text = renderTable(
      columns,
      [
        ["a", "1", "x"],
        ["longer", "1000", "y"],
      ],
      { width: Infinity },
    );
    expect(text).toBe("NAME       N  REST\na          1  x\nlonger  1000  y\n");
  });

  test("without rows is nothing", () => {
    expect(renderTable(columns, [], { width: 80 })).toBe("");
  });

  test("spreads the lines of a cell over lines, and leaves the others blank there", () => {
    const text = renderTable(columns, [["a\nbb", "1", "x\ny"]], { width: Infinity });
    expect(text).toBe("NAME  N  REST\na     1  x\nbb       y\n");
  });

  test("goes on in further lines of the columns that may shrink, until it fits", () => {
    const text = renderTable(columns, [["a name that is long", "1", "rest"]], { width: 22 });
    expect(text).toBe("NAME           N  REST\na name that    1  rest\nis long\n");
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(22);
  });

  test("loses no character of an address, and keeps on one line what belongs together", () => {
    const wide = [{ heading: "TO", shrink: true }, { heading: "LISTENER" }];
    const to = ["[fd5e:ed00:1234:5678::10]:8080", "127.0.1.10:8080"];
    const text = renderTable(wide, [[to.join("\n"), "nginx\nnone"]], { width: 26 });
    expect(text).toBe(
      "TO                LISTENER\n[fd5e:ed00:1234:5678::10]:8080\n                  nginx\n127.0.1.10:8080   none\n",
    );
  });

  test("breaks neither an address with its port, nor a name, nor a number with its unit", () => {
    const cells = [
      "resolver-for-the-customers-of-the-north",
      "[2001:db8:77::1]:53, fd5e:ed00::10 (web, weight 3)",
      "nginx (pid 30860), none for 14 min",
      "80,443,8000-8100",
    ];
    const wide = cells.map((_, index) => ({ heading: `C${index}`, shrink: true }));
    const whole = [
      "resolver-for-the-customers-of-the-north",
      "[2001:db8:77::1]:53,",
      "fd5e:ed00::10",
      "weight 3)",
      "(pid 30860)",
      "14 min",
      "8000-8100",
    ];
    for (let width = 1; width < 140; width++) {
      const text = renderTable(wide, [cells], { width });
      for (const word of whole) expect(text).toContain(word);
    }
  });

  test("gives a word that is longer than its column the rest of the line", () => {
    const wide = [
      { heading: "NAME", shrink: true },
      { heading: "TO", shrink: true },
      { heading: "N", align: "right" as const },
    ];
    const rows = [
      ["a-name-that-is-too-long", "127.0.1.10:80", "12"],
      ["web", "127.0.1.10:80", "3"],
      ["web", "127.0.1.11:80", "4"],
    ];
    expect(renderTable(wide, rows, { width: 24 })).toBe(
      [
        "NAME   TO              N",
        "a-name-that-is-too-long",
        "       127.0.1.10:80  12",
        "web    127.0.1.10:80   3",
        "web    127.0.1.11:80   4",
        "",
      ].join("\n"),
    );
  });

  test("moves a long word to the left rather than beyond the terminal", () => {
    const wide = [{ heading: "NAME" }, { heading: "TO", shrink: true }];
    const rows = [["a-name", "[2001:db8:77::1234]:53"]];
    expect(renderTable(wide, rows, { width: 24 })).toBe(
      "NAME    TO\na-name\n  [2001:db8:77::1234]:53\n",
    );
  });

  test("leaves out columns without content, whatever they hold, and not the last one", () => {
    const rows = [
      ["a long name", "-", "0\n0"],
      ["b", "-", "0"],
    ];
    const some = [{ heading: "NAME" }, { heading: "UNIT" }, { heading: "OPEN", count: true }];
    expect(renderTable(some, rows, { width: 20 })).toBe("NAME\na long name\nb\n");
    expect(renderTable([{ heading: "A" }], [["-"]], { width: 0 })).toBe("A\n-\n");
  });

  test("leaves out columns of zeros before anything gets narrower, and only then", () => {
    const counted: readonly Column[] = [
      { heading: "NAME", shrink: true },
      { heading: "MISSED", count: true },
      { heading: "ERRORS", count: true },
    ];
    const rows = [
      ["a long name", "0", "0"],
      ["b", "1", "0"],
    ];
    expect(renderTable(counted, rows, { width: 19 })).toBe(
      "NAME         MISSED\na long name  0\nb            1\n",
    );
    expect(renderTable(counted, rows, { width: Infinity })).toContain("ERRORS");
  });

  test("gets wider than the terminal when nothing may shrink", () => {
    const text = renderTable([{ heading: "A" }], [["a long cell"]], { width: 5 });
    expect(text).toBe("A\na long cell\n");
  });

  test("is painted after it was measured", () => {
    const paint = (part: string): string => `<${part}>`;
    const text = renderTable(
      columns,
      [
        [
          { text: "a", paint },
          { text: "1", paint },
          { text: "x", paint },
        ],
        ["bcd", "20", "y"],
      ],
      { width: Infinity, paintHeading: paint },
    );
    expect(text).toBe("<NAME>   <N>  <REST>\n<a>      <1>  <x>\nbcd   20  y\n");
  });

  test("on a terminal without an end, moves what is behind a long cell to the right", () => {
    const laid = [{ width: 4 }, { width: 4 }, { width: 4 }];
    expect(renderRow(laid, ["a", "too-long", "b"], Infinity)).toBe("a     too-long  b\n");
    expect(renderRow(laid, ["a", "too-long", "b"], 20)).toBe("a     too-long\n            b\n");
  });

  test("has no blanks at the ends of its lines", () => {
    const text = renderTable(columns, [["a", "1", ""]], { width: Infinity });
    expect(text).not.toMatch(/ \n/);
  });
});
