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

  test("cuts the columns that may shrink, with an ellipsis, until it fits", () => {
    const text = renderTable(columns, [["a name that is long", "1", "rest"]], { width: 22 });
    expect(text.split("\n")[1]).toBe("a name that …  1  rest");
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(22);
  });

  test("cuts nothing when nothing may shrink", () => {
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
