/**
 * Random rules of NAT, dialled as they are, and again with what the import made of them: the
 * mappings active, and the rules that it took removed by the commands that it prints. Each dial has
 * the same answer, also those that NAT leaves alone. ILM_SEED repeats a run.
 */
import { beforeAll, expect, test } from "vitest";
import { Conversation } from "../support/conversation.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork, vethCable } from "../support/network.js";
import { pause } from "../support/process.js";
import { random, type Random } from "../support/random.js";
import { sizes } from "../support/sizes.js";

const network = useNetwork();

interface Dialled {
  readonly inside: boolean;
  readonly protocol: "tcp" | "udp";
  readonly device: string | null;
  readonly from: string;
  readonly to: string;
  readonly port: number;
}

interface Told {
  readonly mappings: readonly unknown[];
  readonly taken: readonly { readonly remove: string; readonly rule: string }[];
  readonly unsaid: readonly string[];
}

const own = {
  4: ["203.0.113.1", "203.0.113.5", "192.0.2.1"],
  6: ["2001:db8::1", "2001:db8::5", "2001:db8:2::1"],
} as const;
const remote = {
  up0: { 4: ["203.0.113.100", "203.0.113.101"], 6: ["2001:db8::100", "2001:db8::101"] },
  up1: { 4: ["192.0.2.100", "192.0.2.101"], 6: ["2001:db8:2::100", "2001:db8:2::101"] },
} as const;
const dialledPorts = [6000, 6001, 6002, 6003, 6004, 6005, 7000, 7001];
const targetPorts = [7000, 7001, 7002];
const dialsPerRuleSet = 60;

beforeAll(async () => {
  const { server, client } = network;
  await vethCable(server, client, "up1");
  const configure = async (end: Namespace, addresses: readonly string[], device: string) => {
    for (const address of addresses) {
      const [length, nodad] = address.includes(":") ? ["64", ["nodad"]] : ["24", []];
      await end.must(["ip", "addr", "replace", `${address}/${length}`, "dev", device, ...nodad]);
    }
    await end.must(["ip", "link", "set", device, "up"]);
  };
  await configure(server, ["192.0.2.1", "2001:db8:2::1"], "up1");
  await configure(client, [...remote.up1[4], ...remote.up1[6]], "up1");
  await configure(client, [...remote.up0[4], ...remote.up0[6]], "up0");
  await client.must([
    "ip",
    "route",
    "add",
    "default",
    "via",
    "192.0.2.1",
    "dev",
    "up1",
    "metric",
    "9",
  ]);
  await client.must([
    "ip",
    "-6",
    "route",
    "add",
    "default",
    "via",
    "2001:db8:2::1",
    "dev",
    "up1",
    "metric",
    "9999",
  ]);
  for (const setting of [
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.up0.rp_filter=0",
    "net.ipv4.conf.up1.rp_filter=0",
    "net.ipv4.ip_local_port_range=50000 60999",
  ]) {
    await server.must(["sysctl", "-q", "-w", setting]);
  }
  // Datagrams go without answers: those of a daemon on all addresses leave from another one than
  // was dialled, without ilm.
  arrivals = new Conversation(() => server.startPython("sink.py", []));
  outside = new Conversation(() => client.startPython("sink.py", []));
  await arrivals.ask({ listen: listeners.map((one) => [tagOf(one), ...one]) });
  for (const one of listeners) await server.echo(tagOf(one), [["tcp", ...one]], { v6only: true });
});

let arrivals: Conversation;
let outside: Conversation;

const tagOf = ([address, port]: readonly [string, number]): string =>
  address === "0.0.0.0" || address === "::" ? `all:${port}` : `${address}:${port}`;

const listeners = [
  ...[7000, 7001, 6001].flatMap((port) => [["0.0.0.0", port] as const, ["::", port] as const]),
  // One address only: a dialled one, and a destination of dnat.
  ["203.0.113.1", 6002],
  ["2001:db8::1", 6002],
  ["203.0.113.5", 7002],
  ["2001:db8::5", 7002],
] as const;

/** Words that both languages have, and the rest of a rule of one of them. */
class Writer {
  constructor(
    readonly source: Random,
    readonly family: 4 | 6,
  ) {}

  #port(): number {
    return this.source.pick(dialledPorts.slice(0, 6));
  }

  #some<Item>(items: readonly Item[]): Item[] {
    const found = items.filter(() => this.source.oneIn(2));
    return found.length === 0 ? [this.source.pick(items)] : found;
  }

  #sources(): readonly string[] {
    return [...remote.up0[this.family], ...remote.up1[this.family], ...own[this.family]];
  }

  nft(kind: "prerouting" | "output"): string {
    const { source, family } = this;
    const ip = family === 4 ? "ip" : "ip6";
    const words: string[] = [];
    const negation = (): string => (source.oneIn(4) ? "!= " : "");
    const list = (items: readonly (string | number)[]): string =>
      items.length === 1 ? String(items[0]) : `{ ${items.join(", ")} }`;
    if (kind === "output") {
      words.push(source.oneIn(2) ? 'oifname "lo"' : `${ip} daddr ${list(this.#some(own[family]))}`);
    } else {
      if (source.oneIn(3)) {
        words.push(`iifname ${negation()}"${source.pick(["up0", "up1", "lo"])}"`);
      }
      if (source.oneIn(4)) words.push(`${ip} daddr ${negation()}${list(this.#some(own[family]))}`);
      if (source.oneIn(12)) {
        words.push(source.pick(["meta mark 1", "ct state new", "ct state established"]));
      }
      if (source.oneIn(6)) words.push(`fib daddr type ${negation()}local`);
    }
    if (source.oneIn(3)) {
      words.push(`${ip} saddr ${negation()}${list(this.#some(this.#sources()))}`);
    }
    const protocol = source.pick(["tcp", "udp", "both"]);
    const ports = (): string =>
      source.oneIn(4) ? "6001-6004" : `${negation()}${list(this.#some(dialledPorts.slice(0, 4)))}`;
    const inner = protocol === "both" ? source.pick(["tcp", "udp"]) : protocol;
    const target = source.pick(targetPorts);
    const to = source.pick(own[family]);
    const wrapped = family === 6 ? `[${to}]` : to;
    const concat = `${ip} daddr . ${inner} dport { ${own[family][0]} . ${this.#port()}, ${own[family][1]} . 6005 }`;
    const shape = source.integer(1, 14);
    const plain =
      protocol === "both"
        ? `meta l4proto { tcp, udp } th dport ${ports()}`
        : `${protocol} dport ${ports()}`;
    if (shape === 1) return [...words, concat, "redirect to", `:${target}`].join(" ");
    if (shape === 2) {
      return [
        ...words,
        `meta l4proto ${inner} redirect to :${inner} dport map { 6000 : 7000, 6001-6002 : 7001 }`,
      ].join(" ");
    }
    if (shape === 3 && kind === "prerouting") {
      return [
        ...words,
        `${inner} dport vmap { 6000 : accept, 6001-6002 : jump sub, 6003 : return }`,
      ].join(" ");
    }
    if (shape === 4) {
      return [
        ...words,
        `dnat ${ip} to ${inner} dport map { 6000 : ${own[family][1]}, 6004 : ${own[family][0]} }`,
      ].join(" ");
    }
    if (shape === 5 && kind === "prerouting") {
      return [...words, plain, source.pick(["jump sub", "goto sub"])].join(" ");
    }
    if (shape <= 7) {
      return [...words, plain, source.pick(["accept", "return", "counter"])].join(" ");
    }
    if (shape === 8 && kind === "prerouting") return [...words, "return"].join(" ");
    if (shape === 9) return [...words, plain, "counter redirect"].join(" ");
    if (shape === 10) return [...words, plain, `dnat ${ip} to ${to}`].join(" ");
    if (shape <= 12) return [...words, plain, `dnat ${ip} to ${wrapped}:${target}`].join(" ");
    return [...words, plain, `redirect to :${target}`].join(" ");
  }

  iptables(chain: string): string {
    const { source, family } = this;
    const words = [`-A ${chain}`];
    const not = (): string => (source.oneIn(4) ? "! " : "");
    if (chain === "OUTPUT") {
      words.push(source.oneIn(2) ? "-o lo" : `-d ${source.pick(own[family])}`);
    } else {
      if (source.oneIn(3)) words.push(`${not()}-i ${source.pick(["up0", "up1"])}`);
      if (source.oneIn(4)) words.push(`${not()}-d ${source.pick(own[family])}`);
      if (source.oneIn(5)) words.push(`-m addrtype ${not()}--dst-type LOCAL`);
      if (source.oneIn(12)) {
        words.push(source.pick(["-m mark --mark 1", "-m conntrack --ctstate NEW"]));
      }
    }
    if (source.oneIn(3)) words.push(`${not()}-s ${source.pick(this.#sources())}`);
    const protocol = source.pick(["tcp", "udp"]);
    const ports = source.oneIn(3)
      ? `-m multiport ${not()}--dports ${this.#some(dialledPorts.slice(0, 4)).join(",")}`
      : `-m ${protocol} ${not()}--dport ${source.pick([String(this.#port()), "6001:6004"])}`;
    const to = source.pick(own[family]);
    const port = source.pick(targetPorts);
    words.push(
      `-p ${protocol} ${ports} -m comment --comment "a rule, \\"quoted\\""`,
      source.pick([
        "-j RETURN",
        "-j ACCEPT",
        ...(chain === "PREROUTING" ? ["-j SUB", "-g SUB"] : []),
        "-j REDIRECT",
        `-j REDIRECT --to-ports ${port}`,
        `-j REDIRECT --to-ports ${port}`,
        `-j DNAT --to-destination ${family === 6 ? `[${to}]` : to}:${port}`,
        `-j DNAT --to-destination ${to}`,
      ]),
    );
    return words.join(" ");
  }
}

const times = (count: number, one: () => string): string[] => Array.from({ length: count }, one);

function nftRules(source: Random): string {
  const inet = source.oneIn(2);
  const tables = inet ? [["inet", [4, 6]] as const] : [["ip", [4]] as const, ["ip6", [6]] as const];
  return tables
    .map(([table, families]) => {
      const rule = (kind: "prerouting" | "output") => (): string => {
        const text = new Writer(source, source.pick<4 | 6>(families)).nft(kind);
        return `    ${text}`;
      };
      const second = source.oneIn(2)
        ? `  chain early { type nat hook prerouting priority ${source.pick([-110, -90, -100])};\n${times(source.integer(1, 2), rule("prerouting")).join("\n")}\n  }\n`
        : "";
      return `table ${table} t {
  chain sub {
${times(source.integer(0, 3), () => rule("output")().replace(/oifname "lo" ?/, "")).join("\n")}
  }
  chain pre { type nat hook prerouting priority dstnat;
${times(source.integer(2, 6), rule("prerouting")).join("\n")}
  }
${second}  chain out { type nat hook output priority -100;
${times(source.integer(0, 2), rule("output")).join("\n")}
  }
}
`;
    })
    .join("");
}

function iptablesRules(source: Random, family: 4 | 6): string {
  const writer = new Writer(source, family);
  const lines = [
    ...times(source.integer(2, 6), () => writer.iptables("PREROUTING")),
    ...times(source.integer(0, 3), () => writer.iptables("SUB")),
    ...times(source.integer(0, 2), () => writer.iptables("OUTPUT")),
  ];
  return ["*nat", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT", ":SUB -", ...lines, "COMMIT", ""].join(
    "\n",
  );
}

function drawDials(source: Random): Dialled[] {
  return Array.from({ length: dialsPerRuleSet }, () => {
    const family = source.pick([4, 6] as const);
    const inside = source.oneIn(3);
    const device = inside ? null : source.pick(["up0", "up1"] as const);
    const from = device === null ? own[family] : remote[device][family];
    const loopback = inside && source.oneIn(4) ? (family === 4 ? "127.0.0.1" : "::1") : null;
    return {
      inside,
      protocol: source.pick(["tcp", "udp"] as const),
      device,
      from: loopback ?? source.pick<string>(from),
      to: loopback ?? source.pick<string>(own[family]),
      port: source.pick(dialledPorts),
    };
  });
}

/** No client's port twice: conntrack remembers where each went. */
let clientPort = 10_000;

async function dialAll(dials: readonly Dialled[]): Promise<string[]> {
  const { server, client } = network;
  const answers: string[] = [];
  const sent: { readonly inside: boolean; readonly datagram: readonly unknown[] }[] = [];
  for (const [at, { inside, protocol, device, from, to, port }] of dials.entries()) {
    clientPort = clientPort === 49_999 ? 10_000 : clientPort + 1;
    if (protocol === "udp") {
      sent.push({ inside, datagram: [String(at), from, clientPort, device, to, port] });
      continue;
    }
    const end = inside ? server : client;
    const dial = await end.dial(protocol, to, port, {
      from: [from, clientPort],
      ...(from === "::1" ? { timeout_s: 2 } : {}),
      ...(device === null ? {} : { device }),
    });
    answers[at] = dial.answered ? dial.tag : dial.errno;
  }
  for (const inside of [true, false]) {
    const send = sent.filter((one) => one.inside === inside).map(({ datagram }) => datagram);
    await (inside ? arrivals : outside).ask({ send });
  }
  // Long for what never leaves the machine: nothing tells of a datagram that goes to no socket.
  await pause(100);
  const came = (await arrivals.ask({ collect: true })) as Readonly<Record<string, string>>;
  return dials.map((_dial, at) => answers[at] ?? came[String(at)] ?? "nobody");
}

/**
 * NAT led it to another address than ::1, and the kernel takes nothing from ::1 there: nobody can
 * be meant to dial that.
 */
function droppedByKernel({ from }: Dialled, answer: string | undefined): boolean {
  return from === "::1" && (answer === "ETIMEDOUT" || answer === "nobody");
}

let dialled = 0;

/** Dials before and after; how many rules were taken. */
async function compare(rules: string, dials: readonly Dialled[], note: string): Promise<number> {
  const { server } = network;
  const before = await dialAll(dials);
  const imported = await server.ask(["import", "nft", "--json"]);
  const told = imported.json() as Told;
  expect(imported.status, `${note}\n${rules}`).toBe(told.unsaid.length === 0 ? 0 : 1);
  await server.apply(JSON.stringify({ version: 1, mappings: told.mappings }));
  // Handles stay the same while other rules go.
  await server.must(["sh", "-ec", told.taken.map(({ remove }) => remove).join("\n")]);
  const after = await dialAll(dials);
  const differences = dials.flatMap((dial, at) =>
    before[at] === after[at] || droppedByKernel(dial, before[at])
      ? []
      : [{ ...dial, before: before[at], after: after[at] }],
  );
  expect(differences, `${note}\n${rules}\n${JSON.stringify(told, null, 1)}`).toEqual([]);
  await server.must(["nft", "flush", "ruleset"]);
  await server.unload();
  dialled += before.filter((answer) => !["nobody", "ECONNREFUSED"].includes(answer)).length;
  return told.taken.length;
}

for (const language of ["nft", "iptables"] as const) {
  test(`${sizes.importedRuleSets} random rule sets of ${language} decide the same when they are imported`, async () => {
    const source = random();
    const note = `ILM_SEED=${source.seed}`;
    const { server } = network;
    let taken = 0;
    await server.must(["nft", "flush", "ruleset"]);
    await server.unload();
    for (let count = 0; count < sizes.importedRuleSets; count++) {
      let rules: string;
      if (language === "nft") {
        rules = nftRules(source);
        await server.must(["nft", "-f", "-"], { input: rules });
      } else {
        rules = "";
        for (const family of [4, 6] as const) {
          const own = iptablesRules(source, family);
          rules += own;
          const program = family === 4 ? "iptables-nft-restore" : "ip6tables-nft-restore";
          await server.must([program], { input: own });
        }
      }
      taken += await compare(rules, drawDials(source), note);
    }
    // Most rule sets have a redirection that can be taken.
    expect(taken, note).toBeGreaterThan(0);
    expect(dialled, note).toBeGreaterThan(0);
  });
}
