// Goal: the page is well-formed, says lookups and not packets, and no name can break out of its
// label.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  LISTED_MAPPINGS_MAX,
  ofMappings,
  renderMetrics,
  type MetricsInput,
} from "../../../src/daemon/metrics.js";
import type { CounterList, MappingCounters } from "../../../src/model/decision.js";
import { Durations } from "../../../src/daemon/durations.js";
import { samplesOf } from "../../../src/cli/render/samples.js";
import { type Rules, toBeActive } from "../../../src/model/rules.js";
import { Endings } from "../../../src/rules/endings.js";
import { Judge } from "../../../src/rules/judge.js";
import { address, countersOf, mapping } from "./fixtures.js";

/** What was open, and when that was counted. */
const open = { counts: [[5], [6]], countedAt: 1_767_323_040_500, seconds: 0.25 };

function read(list: CounterList): Parameters<typeof ofMappings>[1] {
  const of = (indexes: readonly number[]): MappingCounters[] =>
    indexes.flatMap((index) => {
      const own = list.at(index);
      return own === undefined ? [] : [{ ...own, to: [own.selected] }];
    });
  const counters = { of, total: () => list.total() };
  const endings = new Endings([], (places) => places.map(() => downSince));
  return { counters, listeners: [], judge, open: () => open, endings, now: 100 };
}

const judge = (rules: Rules) => new Judge(rules, "refuse", () => true);

const counted = { existing: 1, selected: 2, missed: 3, errors: 4 };

function took(...seconds: readonly number[]) {
  const durations = new Durations();
  for (const one of seconds) durations.add(one);
  return durations.read();
}

const downSince = 1_767_323_040_499;

const both = [
  [4, true],
  [6, false],
] as const;

function ofMapping(name: string) {
  const labels = { mapping: name, protocol: "tcp" };
  return { labels, listening: false, downSince: null, drained: false, down: 0, families: [] };
}

const input: MetricsInput = {
  version: "0.1.0",
  netnsInode: 4_026_531_840,
  loaded: {
    generation: 7,
    appliedAt: "2026-01-02T03:04:05.000Z",
    pendingUntil: "2026-01-02T03:05:05.000Z",
    fileMappings: 1,
    runtimeMappings: 1,
    drained: 2,
    lookups: [{ labels: { mapping: "web", protocol: "tcp" }, counters: counted }],
    mappings: [
      { ...ofMapping("web"), listening: true, down: 1, families: both },
      { ...ofMapping("spare"), downSince },
      ofMapping("new"),
      { ...ofMapping("cache"), drained: true },
    ],
    open,
    flows: { live: 12, capacity: 65_536 },
    faults: { untracked: 0, unplaced: 0, flows: 0, unanswered: 7, unsteered: 0 },
    watching: { readers: 2, dropped: 9 },
    refusals: { address: 1, mapped: 2, wildcard: 0, reported: 0, lookup: 3 },
    off: false,
    missing: ["sk_lookup", "ingress/eth0"],
    overtaken: [{ interface: "eth0", direction: "ingress", programs: ["scrub", "limit"] }],
  },
  limit: LISTED_MAPPINGS_MAX,
  listeners: { tcp: 5, udp: 6 },
  destinations: [
    {
      labels: { mapping: "web", protocol: "tcp" },
      listening: true,
      downSince: null,
      selected: 2,
      queue: { waiting: 5, limit: 4, drops: 15 },
      full: true,
      open: 8,
    },
    {
      labels: { mapping: "names", protocol: "udp" },
      listening: true,
      downSince: null,
      selected: 2,
      queue: null,
      full: false,
      open: 9,
    },
  ],
  daemon: {
    restored: 3,
    reloads: { done: 1, failed: 0, lastFailed: false },
    durations: { reload: took(0.02, 0.3, 60), add: took(0.001) },
    events: { readers: 1, lost: 4 },
    process: {
      cpuSeconds: 1.5,
      residentBytes: 65_000_000,
      virtualBytes: 700_000_000,
      openFiles: 20,
      openFilesMax: Infinity,
      startedAt: 1_767_323_045.5,
    },
    collectionSeconds: 0.004,
  },
};

describe("the page", () => {
  test("has one sample per mapping and outcome", () => {
    const page = renderMetrics(input);
    expect(page).toContain(
      'ilm_lookups_total{mapping="web",protocol="tcp",outcome="existing"} 1\n',
    );
    expect(page).toContain(
      'ilm_lookups_total{mapping="web",protocol="tcp",outcome="selected"} 2\n',
    );
    expect(page).toContain('ilm_lookups_total{mapping="web",protocol="tcp",outcome="missed"} 3\n');
    expect(page).toContain('ilm_lookups_total{mapping="web",protocol="tcp",outcome="error"} 4\n');
    expect(page).toContain('ilm_mappings{origin="runtime"} 1\n');
    expect(page).toContain("ilm_mappings_unserved 2\n");
    expect(page).toContain("ilm_mappings_drained 1\n");
    expect(page).toContain('ilm_mapping_drained{mapping="cache",protocol="tcp"} 1\n');
    expect(page).toContain("ilm_mappings_degraded 1\n");
    expect(page).toContain('ilm_mapping_destinations_down{mapping="web",protocol="tcp"} 1\n');
    for (const [family, is] of [
      [4, 1],
      [6, 0],
    ]) {
      expect(page).toContain(
        `ilm_mapping_family_listening{mapping="web",protocol="tcp",family="${family}"} ${is}\n`,
      );
    }
    expect(page.match(/^ilm_mapping_down_since_timestamp_seconds\{.*$/gm)).toEqual([
      'ilm_mapping_down_since_timestamp_seconds{mapping="web",protocol="tcp"} 0',
      'ilm_mapping_down_since_timestamp_seconds{mapping="spare",protocol="tcp"} 1767323040',
    ]);
    expect(page.match(/^ilm_destination_down_since_timestamp_seconds\{.* 0$/gm)).toHaveLength(2);
    expect(page).toContain('ilm_listener_queue{mapping="web",protocol="tcp"} 5\n');
    expect(page).toContain('ilm_listener_queue_limit{mapping="web",protocol="tcp"} 4\n');
    expect(page).toContain('ilm_listener_full{mapping="web",protocol="tcp"} 1\n');
    expect(page).toContain('ilm_listener_drops_total{mapping="web",protocol="tcp"} 15\n');
    expect(page).toContain('ilm_destination_selected_total{mapping="web",protocol="tcp"} 2\n');
    expect(page).toContain('ilm_destination_connections{mapping="web",protocol="tcp"} 8\n');
    expect(page).toContain('ilm_destination_flows{mapping="names",protocol="udp"} 9\n');
    expect(page.match(/^ilm_destination_(?:connections|flows)\{/gm)).toHaveLength(2);
    expect(page).toContain("ilm_connections_counted_timestamp_seconds 1767323040.5\n");
    expect(page).toContain("ilm_connections_count_duration_seconds 0.25\n");
    expect(page).toContain("ilm_applied_timestamp_seconds 1767323045\n");
    expect(page).toContain('ilm_refusals_total{reason="mapped"} 2\n');
    expect(page).toContain("ilm_decision_readers 2\n");
    expect(page).toContain("ilm_decisions_dropped_total 9\n");
  });

  test("names what is missing, who comes first, and counts what was put back", () => {
    const page = renderMetrics(input);
    expect(page).toContain("ilm_off 0\n");
    expect(page).toContain('ilm_missing{what="sk_lookup"} 1\n');
    expect(page).toContain('ilm_missing{what="ingress/eth0"} 1\n');
    expect(page).toContain('ilm_overtaken{interface="eth0",direction="ingress"} 2\n');
    expect(page).toContain("ilm_restored_total 3\n");
  });

  test("has no metric that is not documented", () => {
    const documented = readFileSync("docs/daemon.md", "utf8");
    const names = [...renderMetrics(input).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !documented.includes(`\`${name ?? ""}`))).toEqual([]);
  });

  test("says that lookups are no packets", () => {
    expect(renderMetrics(input)).toMatch(/# HELP ilm_lookups_total .*not packets/);
  });

  test("is made of help, type and sample lines only, and each metric has its help before its samples", () => {
    const known = new Set<string>();
    for (const line of renderMetrics(input).trimEnd().split("\n")) {
      const comment = /^# (?:HELP|TYPE) (\w+) ./.exec(line);
      if (comment !== null) {
        known.add(comment[1] ?? "");
        continue;
      }
      const sample =
        /^(\w+)(?:\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (?:[0-9.e+-]+|\+Inf)$/.exec(line);
      expect(sample, line).not.toBeNull();
      expect(known).toContain(sample?.[1]?.replace(/_(?:bucket|sum|count)$/, ""));
    }
  });

  test("escapes what would end a label", () => {
    const name = 'a"b\\c\nd';
    const page = renderMetrics({
      ...input,
      destinations: [
        {
          labels: { mapping: name, protocol: "tcp" },
          listening: false,
          downSince,
          selected: 0,
          queue: null,
          full: false,
          open: null,
        },
      ],
    });
    expect(page).toContain(String.raw`mapping="a\"b\\c\nd"`);
    expect(samplesOf(page)).toContainEqual({
      name: "ilm_destination_listening",
      labels: { mapping: name, protocol: "tcp" },
      value: 0,
    });
  });

  test("counts durations into buckets that add up", () => {
    const page = renderMetrics(input);
    const of = (bound: string) => `ilm_reload_duration_seconds_bucket{le="${bound}"}`;
    expect(page).toContain("# TYPE ilm_reload_duration_seconds histogram\n");
    expect(page).toContain(`${of("0.01")} 0\n`);
    expect(page).toContain(`${of("0.025")} 1\n`);
    expect(page).toContain(`${of("0.5")} 2\n`);
    expect(page).toContain(`${of("30")} 2\n`);
    expect(page).toContain(`${of("+Inf")} 3\n`);
    expect(page).toMatch(/^ilm_reload_duration_seconds_sum 60\.3\d*$/m);
    expect(page).toContain('ilm_change_duration_seconds_count{kind="add"} 1\n');
    expect(page).toContain("process_max_fds +Inf\n");
  });

  test("names at most 100 things that are missing or overtaken, and sums up the rest", () => {
    const names = Array.from({ length: 250 }, (_, index) => `eth${index}`);
    const page = renderMetrics({
      ...input,
      loaded: input.loaded && {
        ...input.loaded,
        missing: names,
        overtaken: names.map((name) => ({
          interface: name,
          direction: "ingress",
          programs: ["one", "two"],
        })),
      },
    });
    expect(page.match(/^ilm_missing\{/gm)).toHaveLength(100);
    expect(page).toContain('ilm_missing{what="others"} 151\n');
    expect(page.match(/^ilm_overtaken\{/gm)).toHaveLength(100);
    expect(page).toContain('ilm_overtaken{interface="others",direction="others"} 302\n');
  });

  test("has each series once", () => {
    const labels = { mapping: "twice", protocol: "tcp" };
    const one = {
      labels,
      listening: true,
      downSince: null,
      selected: null,
      queue: null,
      full: false,
      open: null,
    };
    const page = renderMetrics({ ...input, destinations: [one, one] });
    expect(page.match(/^ilm_destination_listening\{mapping="twice"/gm)).toHaveLength(1);
  });

  test("has nothing of a daemon when there is none", () => {
    const page = renderMetrics({ ...input, daemon: null });
    expect(page).not.toMatch(/process_|reload|restored/);
    expect(page).toContain("ilm_mappings_unserved 2\n");
    expect(page.match(/^ilm_mapping_down_since_timestamp_seconds\{.*$/gm)).toEqual([
      'ilm_mapping_down_since_timestamp_seconds{mapping="web",protocol="tcp"} 0',
      'ilm_mapping_down_since_timestamp_seconds{mapping="spare",protocol="tcp"} 1767323040',
    ]);
    expect(page.match(/^ilm_destination_down_since_timestamp_seconds\{.* 0$/gm)).toHaveLength(2);
  });

  test("says so when nothing is loaded", () => {
    const page = renderMetrics({ ...input, loaded: null });
    expect(page).toContain('ilm_loaded{netns="4026531840"} 0\n');
    expect(page).not.toContain("ilm_lookups_total");
  });
});

describe("mappings", () => {
  const rules = (count: number) =>
    toBeActive({
      sources: [],
      file: {
        services: [],
        mappings: Array.from({ length: count }, (_, i) => mapping(`m${i}`)),
      },
      runtime: [mapping("more")],
    });

  test("are listed one by one, and their destinations too", () => {
    const { lookups, destinations } = ofMappings(rules(1), read(countersOf(counted, counted)));
    expect(lookups).toEqual([
      { labels: { mapping: "m0", protocol: "tcp" }, counters: counted },
      { labels: { mapping: "more", protocol: "tcp" }, counters: counted },
    ]);
    expect(destinations.map(({ labels }) => labels["mapping"])).toEqual(["m0", "more"]);
    expect(destinations.map(({ selected }) => selected)).toEqual([2, 2]);
    expect(destinations.map(({ open: number }) => number)).toEqual([5, 6]);
    expect(destinations.map((one) => one.downSince)).toEqual([downSince, downSince]);
  });

  test("have the port that is dialled, where that is one", () => {
    const ports = [{ first: 80, last: 80 }];
    const to = [{ address: address("127.0.1.10"), port: "same" as const }];
    const one = mapping("one", { ports, to });
    const many = mapping("many", { ports: [{ first: 80, last: 81 }], to });
    const active = { ...rules(0), runtime: [one, many] };
    const { destinations } = ofMappings(active, read(countersOf(counted, counted)));
    expect(destinations.map(({ labels }) => labels["port"])).toEqual(["80", "same"]);
  });

  test("whose time is over are none", () => {
    const active = rules(1);
    const ended = { ...active, runtime: [{ ...mapping("more"), until: 100 }] };
    const found = ofMappings(ended, read(countersOf(counted, counted)));
    const names = [found.lookups, found.mappings ?? [], found.destinations].map((list) =>
      list.map(({ labels }) => labels["mapping"]),
    );
    expect(names).toEqual([["m0"], ["m0"], ["m0"]]);
  });

  test("are summed up when they are more than the limit", () => {
    expect(ofMappings(rules(1), read(countersOf(counted)), 1).mappings).toBeNull();
    expect(ofMappings(rules(1), read(countersOf(counted)), 2).mappings).toHaveLength(2);
  });

  test("are summed up when they are too many for a page", () => {
    const many = rules(LISTED_MAPPINGS_MAX);
    expect(ofMappings(many, read(countersOf(counted, counted)))).toEqual({
      lookups: [{ labels: {}, counters: { existing: 2, selected: 4, missed: 6, errors: 8 } }],
      destinations: [],
      mappings: null,
      open: null,
    });
    const page = renderMetrics({
      ...input,
      loaded: input.loaded && {
        ...input.loaded,
        ...ofMappings(many, read(countersOf(counted))),
      },
    });
    expect(page).toContain('ilm_lookups_total{outcome="selected"} 2\n');
    expect(page).not.toContain("ilm_mappings_unserved");
  });
});
