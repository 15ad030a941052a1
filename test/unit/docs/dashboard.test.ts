// Goal: Grafana can show the dashboard: what its JSON model asks for is there, whichever Prometheus
// it is imported for. That the expressions are right is tested with a real Prometheus.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { run } from "../../support/process.js";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource: unknown;
  readonly targets: readonly {
    readonly refId: string;
    readonly datasource: unknown;
    readonly expr: string;
  }[];
}

const text = readFileSync("contrib/grafana/ilm.json", "utf8");
const dashboard = JSON.parse(text) as {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};
const { panels } = dashboard;

test("it has a title, an id of its own, and the schema of Grafana 9", () => {
  expect(dashboard).toMatchObject({ uid: "ilm", title: "ilm", schemaVersion: 37 });
});

/** What tsc says of a dashboard by the types that Grafana publishes: nothing, when it is one. */
async function complaintsAbout(json: string): Promise<string> {
  mkdirSync("dist", { recursive: true });
  const folder = mkdtempSync("dist/dashboard-");
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, "dashboard.mts");
  writeFileSync(
    file,
    `import type { SavedDashboard } from "../../test/support/grafana.js";
export const dashboard: SavedDashboard = ${json};
`,
  );
  const options = [
    "--ignoreConfig",
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--module",
    "nodenext",
  ];
  return (await run(["node_modules/.bin/tsc", ...options, file])).stdout;
}

test("it conforms to the types that Grafana publishes of one", async () => {
  expect(await complaintsAbout(text)).toBe("");
  const changes = [
    ['"gridPos"', '"grid"'],
    ['"mode": "absolute"', '"mode": "absolut"'],
    ['"schemaVersion": 37', '"schemaVersion": "37"'],
  ] as const;
  for (const [right, wrong] of changes) {
    expect(text).toContain(right);
    expect(await complaintsAbout(text.replace(right, wrong)), wrong).toContain("error TS");
  }
});

test("panels have different ids and titles, and types that Grafana has built in", () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  expect([...new Set(panels.map(({ type }) => type))].toSorted()).toEqual([
    "stat",
    "table",
    "timeseries",
  ]);
});

test("panels lie within 24 columns and do not overlap", () => {
  const taken = new Set<string>();
  for (const { title, gridPos } of panels) {
    const { x, y, w, h } = gridPos;
    expect(x + w, title).toBeLessThanOrEqual(24);
    for (let column = x; column < x + w; column += 1) {
      for (let row = y; row < y + h; row += 1) {
        expect(taken, title).not.toContain(`${column} ${row}`);
        taken.add(`${column} ${row}`);
      }
    }
  }
});

test("every query is for the data source and the instances that are chosen", () => {
  expect(dashboard.templating.list.map(({ name }) => name)).toEqual(["datasource", "instance"]);
  const chosen = { type: "prometheus", uid: "${datasource}" };
  for (const { title, datasource, targets } of panels) {
    expect(datasource, title).toEqual(chosen);
    expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    for (const target of targets) {
      expect(target.datasource, title).toEqual(chosen);
      expect(target.expr, title).toContain('instance=~"$instance"');
    }
  }
});
