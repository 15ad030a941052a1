// Goal: tables line up, keep to the terminal, and lose nothing in pipes.
import { describe, expect, test } from "vitest";
import { renderTable, type Column } from "../../../../src/cli/render/table.js";

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
      "TO                LISTENER\n[fd5e:ed00:1234:  nginx\n5678::10]:8080\n127.0.1.10:8080   none\n",
    );
  });

  test("breaks a word that nothing divides anywhere", () => {
    const text = renderTable([{ heading: "A", shrink: true }], [["x".repeat(20)]], { width: 8 });
    expect(text).toBe("A\nxxxxxxxx\nxxxxxxxx\nxxxx\n");
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

  test("has no blanks at the ends of its lines", () => {
    const text = renderTable(columns, [["a", "1", ""]], { width: Infinity });
    expect(text).not.toMatch(/ \n/);
  });
});
