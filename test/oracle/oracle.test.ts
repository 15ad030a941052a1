/**
 * The loaded program and the evaluator of `ilm explain -f` against the oracle: random rule sets,
 * real sockets in a private network namespace, random packets. ILM_SEED repeats a run.
 */
import { expect, test } from "vitest";
import { checkRules } from "../../src/compile/compile.js";
import type { Packet } from "../../src/model/decision.js";
import type { Address } from "../../src/model/address.js";
import type { Drained } from "../../src/model/drained.js";
import type { Mapping } from "../../src/model/mapping.js";
import { type Rules, allMappings } from "../../src/model/rules.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { builtRoot } from "../support/paths.js";
import type { Background } from "../support/process.js";
import { random, type Random } from "../support/random.js";
import { sizes } from "../support/sizes.js";
import {
  generatePacket,
  generateRules,
  generateSockets,
  hostAddresses,
  interfaceNames,
  type WantedSocket,
} from "./generate.js";
import { agreesWith, evaluate } from "./evaluated.js";
import { agrees, decide, type Socket } from "./oracle.js";
import type { Answer, Applied, Request } from "./worker.js";

const network = useNetwork();

const packetsPerRuleSet = 400;
const pairs = sizes.oraclePairs;

/** Requests and answers as lines of JSON, one at a time. */
class Helper {
  readonly #process: Background;
  #read = 0;

  constructor(process: Background) {
    this.#process = process;
  }

  async ask(request: unknown): Promise<unknown> {
    this.#process.write(`${JSON.stringify(request)}\n`);
    const end = await this.#process.waitFor((self) => {
      const position = self.stdout.indexOf("\n", this.#read);
      return position === -1 ? null : position;
    }, 60_000);
    const line = this.#process.stdout.slice(this.#read, end);
    // What was read is not needed again: a long run would keep hundreds of megabytes.
    this.#process.stdout = this.#process.stdout.slice(end + 1);
    this.#read = 0;
    return JSON.parse(line);
  }
}

type OpenedGroup = readonly { readonly cookie: string; readonly v6only: boolean }[] | null;

async function open(
  helper: Helper,
  wanted: readonly WantedSocket[],
  early: boolean,
): Promise<Socket[]> {
  const groups = (await helper.ask({ open: wanted })) as readonly OpenedGroup[];
  return wanted.flatMap(({ protocol, address, port, uid, gid }, index) =>
    (groups[index] ?? []).map(({ cookie, v6only }) => ({
      protocol,
      address,
      port,
      v6only,
      uid,
      gid,
      cookie,
      early,
    })),
  );
}

/** Some of them, at random. */
function some<Item>(source: Random, items: readonly Item[]): Item[] {
  return items.filter(() => source.oneIn(3));
}

/** The same, with about half of the mappings added at run time. */
function addedLater(source: Random, rules: Rules): Rules {
  const mappings = allMappings(rules);
  const split = source.integer(0, mappings.length - 1);
  return {
    ...rules,
    file: { ...rules.file, mappings: mappings.slice(0, split) },
    runtime: mappings.slice(split),
  };
}

/**
 * Earlier files that became this one: without some of its mappings, with some that led elsewhere,
 * and with one that is gone since; and then another one between the two.
 */
function earlierFiles(source: Random, { file }: Rules): (readonly Mapping[])[] {
  const mappings = [...file.mappings];
  const elsewhere = (mapping: Mapping): Mapping => ({
    ...mapping,
    to: [{ address: "127.0.9.9" as Address, port: 99 }],
  });
  const altered = (): Mapping[] =>
    mappings.flatMap((mapping) =>
      source.oneIn(4) ? [] : [source.oneIn(4) ? elsewhere(mapping) : mapping],
    );
  const gone: Mapping = {
    ...elsewhere(mappings[0] ?? plainMapping),
    name: "gone",
    protocol: source.oneIn(2) ? "tcp" : "udp",
  };
  return [[...altered(), ...(source.oneIn(2) ? [gone] : [])], altered()];
}

/** Some rule sets with destinations that get nobody new, as services or addresses. */
function withDrained(source: Random, rules: Rules): Rules {
  if (!source.oneIn(3)) return rules;
  const all = allMappings(rules).flatMap(({ to }) => to);
  if (all.length === 0) return rules;
  const drained = Array.from({ length: source.integer(1, 3) }, (): Drained => {
    const { address, service = null, port } = source.pick(all);
    const byName = service !== null && source.oneIn(2);
    return {
      protocol: source.pick(["tcp", "udp", null]),
      address: byName ? null : address,
      service: byName ? service : null,
      port: port === "same" || source.oneIn(2) ? null : port,
    };
  });
  return { ...rules, drained };
}

function isSound(rules: Rules): boolean {
  return checkRules(rules).every(({ severity }) => severity !== "error");
}

const plainMapping: Mapping = {
  name: "plain",
  protocol: "tcp",
  ports: [{ first: 80, last: 80 }],
  on: [],
  to: [{ address: "127.0.9.9" as Address, port: 99 }],
  existing: "exact",
  miss: "pass",
  origin: { file: "", line: 0, column: 0 },
};

/** NAT in none, one or both of the families, from now on. */
async function drawNat(source: Random, server: Namespace): Promise<Set<4 | 6>> {
  const nat = new Set(([4, 6] as const).filter(() => source.oneIn(4)));
  const tables = [...nat].map(
    (family) =>
      `table ${family === 4 ? "ip" : "ip6"} nat { chain post { type nat hook postrouting priority srcnat; }; }`,
  );
  await server.must(["nft", "-f", "-"], { input: ["flush ruleset", ...tables, ""].join("\n") });
  return nat;
}

test(
  `${pairs} random packets are decided as the oracle decides them`,
  { timeout: 3_600_000 },
  async () => {
    const source = random();
    const { server } = network;
    for (const address of hostAddresses) {
      const length = address.includes(":") ? 128 : 32;
      const nodad = address.includes(":") ? ["nodad"] : [];
      await server.must(["ip", "addr", "replace", `${address}/${length}`, "dev", "lo", ...nodad]);
    }
    await server.must(["ip", "link", "add", "ilm-a", "type", "veth", "peer", "name", "ilm-b"]);
    const links = JSON.parse(await server.must(["ip", "-j", "link"])) as readonly {
      readonly ifindex: number;
      readonly ifname: string;
    }[];
    const names = new Map(
      links
        .filter(({ ifname }) => interfaceNames.includes(ifname))
        .map(({ ifindex, ifname }) => [ifindex, ifname]),
    );
    expect(names.size).toBe(interfaceNames.length);
    const indexes = [...names.keys(), 0];
    const sockets = new Helper(server.startPython("sockets.py", []));
    const worker = new Helper(server.start(["node", `${builtRoot}test/oracle/worker.js`]));
    const tally: Record<string, number> = {};

    for (let asked = 0; asked < pairs; asked += packetsPerRuleSet) {
      const made = generateRules(source, source.oneIn(2));
      // All at once; or one after the other, as people add and remove them.
      const oneByOne = source.oneIn(2);
      const rules = withDrained(source, oneByOne ? addedLater(source, made) : made);
      const where = `ILM_SEED=${source.seed}, rule set ${asked / packetsPerRuleSet}`;
      expect(isSound(rules), where).toBe(true);
      const nat = await drawNat(source, server);
      // Some listen before the rules come, some after, and some are gone again by the time of the
      // packets.
      const wanted = generateSockets(source);
      const early = wanted.slice(0, source.integer(0, wanted.length));
      // Without rules, nobody is refused a bind().
      await worker.ask({ off: true } satisfies Request);
      let live = await open(sockets, early, true);
      await worker.ask({ off: false } satisfies Request);
      const steps = oneByOne ? [[], some(source, rules.runtime), rules.runtime] : [];
      // In tables with two sides, which the next rule set may find used; or in new ones, and what
      // is added lies over them.
      const layered = oneByOne || source.oneIn(3);
      // Or the file was another before, and what it is now lies over that.
      const [first = rules.file.mappings, ...files] = layered
        ? [...earlierFiles(source, rules), rules.file.mappings].filter((mappings) =>
            isSound({ ...rules, file: { ...rules.file, mappings } }),
          )
        : [];
      const whole = { ...rules, file: { ...rules.file, mappings: first } };
      await worker.ask({ apply: { ...whole, runtime: steps[0] ?? rules.runtime }, layered });
      for (const mappings of files) {
        const { incremental } = (await worker.ask({ revise: [...mappings] })) as Applied;
        if (incremental) tally["revised"] = (tally["revised"] ?? 0) + 1;
      }
      for (const runtime of steps) {
        const { incremental } = (await worker.ask({ runtime } satisfies Request)) as Applied;
        if (incremental) tally["incremental"] = (tally["incremental"] ?? 0) + 1;
      }
      live = [...live, ...(await open(sockets, wanted.slice(early.length), false))];
      const gone = new Set(some(source, live).map(({ cookie }) => cookie));
      await sockets.ask({ close: [...gone] });
      live = live.filter(({ cookie }) => !gone.has(cookie));

      const packets: Packet[] = Array.from({ length: packetsPerRuleSet }, () =>
        generatePacket(source, indexes),
      );
      const { explained } = (await worker.ask({ explain: packets } satisfies Request)) as {
        readonly explained: readonly Answer[];
      };
      const evaluated = evaluate(rules, live, names);
      packets.forEach((packet, index) => {
        // What ingress cannot hand over because of NAT is no part of the rules.
        const withoutNat = decide(rules, live, packet, names);
        const worked = evaluated(packet);
        if (!agreesWith(withoutNat, worked)) {
          expect.fail(JSON.stringify({ where, packet, withoutNat, worked, rules, live }, null, 1));
        }
        const expected = decide(rules, live, packet, names, nat);
        const answer = explained[index];
        const { verdict, mapping } = expected;
        tally[verdict] = (tally[verdict] ?? 0) + 1;
        const story = (): string =>
          JSON.stringify(
            {
              where,
              packet,
              expected,
              answer,
              nat: [...nat],
              chosen: allMappings(rules).at(mapping ?? Infinity),
              rules,
              live,
            },
            null,
            1,
          );
        if (answer === undefined || !agrees(expected, answer)) expect.fail(story());
      });
      await sockets.ask({ close: live.map(({ cookie }) => cookie) });
    }
    await worker.ask({ unload: true } satisfies Request);

    // A generator that no longer meets its own rules would prove nothing.
    for (const verdict of ["unmanaged", "existing", "selected", "missed", "rejected"]) {
      expect(tally[verdict] ?? 0, `${verdict} in ${JSON.stringify(tally)}`).toBeGreaterThan(
        pairs / 100,
      );
    }
    // One rule set in four or so has something that can be laid over the others: of the few of a
    // sample it may be none.
    const few = pairs / packetsPerRuleSet < 100;
    for (const kind of ["incremental", "revised"]) {
      expect(tally[kind] ?? 0, JSON.stringify(tally)).toBeGreaterThanOrEqual(
        few ? 0 : pairs / packetsPerRuleSet / 20,
      );
    }
  },
);
