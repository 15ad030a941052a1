/** Renders the table of docs/api.md that has all events. Pure. */
import type { Shape } from "../src/json/shape.js";
import { renderTable } from "./markdown.js";
import { rowsOf } from "./reference-shapes.js";

/** One row for each kind of event, and one for each of its fields but `event` and `time`. */
export function renderEvents(shapes: Readonly<Record<string, Shape>>): string {
  const rows = Object.entries(shapes).flatMap(([kind, shape]) => {
    const fields = rowsOf(shape);
    const meaning = fields.find(({ path }) => path === "event")?.meaning ?? "";
    const own = fields.filter(({ path }) => path !== "event" && path !== "time");
    return [
      [`**\`${kind}\`**`, "", meaning],
      ...own.map((row) => [
        `\`${row.path}\``,
        // Shapes that have a name are described where the commands are.
        row.value.replaceAll("](#", "](commands.md#"),
        row.meaning,
      ]),
    ];
  });
  return renderTable([["event, and its fields", "value", "meaning"], ...rows]);
}
