/**
 * What is ours and another program removes: commands say what is gone, the next `apply` puts it
 * back, and `run` does so by itself. No command starts from nothing while rules decide. Each test
 * has a BPF file system of its own.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ILM_ABI_VERSION } from "../../src/abi/generated.js";
import { Mounts } from "../support/mounts.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { keptMovedLate } from "../support/one-app.js";
import { builtRoot, lockRoot, pinRoot } from "../support/paths.js";
import { UdpEnds } from "../support/udp.js";
import { random } from "../support/random.js";
import { sizes } from "../support/sizes.js";
import { sample } from "../support/steps.js";
import { detach, hook, type Tampering, tamperings } from "../support/tamperings.js";
import { Background, eventually, must, run, type RunResult } from "../support/process.js";

const network = useNetwork();
const chance = random();
let mounts: Mounts;

function command(...args: readonly string[]): readonly string[] {
  return mounts.inside(network.server.ilmCommand(args));
}

async function ilm(...args: readonly string[]): Promise<RunResult> {
  return await run(command(...args));
}

async function ilmDone(...args: readonly string[]): Promise<string> {
  return await must(command(...args));
}

async function tamper(how: string): Promise<void> {
  const { server } = network;
  const script = `PINS=${pinRoot}/${server.inode}; set -e; ${how}`;
  await must(mounts.inside(["nsenter", `--net=${server.path}`, "sh", "-c", script]));
}

/** Who answers, by protocol and family; and over UDP from another port than the daemon's. */
async function answers(): Promise<Readonly<Record<string, string>>> {
  const seen: Record<string, string> = {};
  for (const family of families) {
    const { public: dialled } = addressesOf[family];
    for (const protocol of protocols) {
      seen[`${protocol}${family}`] = await network.client.who(protocol, dialled, 6000);
    }
    seen[`moved${family}`] = await network.client.who("udp", dialled, 6100);
  }
  return seen;
}

/** Id of the map that is bound to the active program. */
async function headerMap(): Promise<number> {
  const { inode } = network.server;
  const shown = async (...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await must(mounts.inside(["bpftool", "-j", ...args])));
  const { prog_id } = (await shown("link", "show", "pinned", `${pinRoot}/${inode}/lookup`)) as {
    prog_id: number;
  };
  const { map_ids } = (await shown("prog", "show", "id", String(prog_id))) as {
    map_ids: readonly number[];
  };
  for (const id of map_ids) {
    const { name } = (await shown("map", "show", "id", String(id))) as { name?: string };
    if (name === "ilm_header") return id;
  }
  throw new Error("the program has no header");
}

/** For bpftool: the text, and zeros up to `size` bytes. */
function hex(text: string, size: number): string {
  const bytes = Buffer.alloc(size);
  bytes.write(text);
  return Array.from(bytes, String).join(" ");
}

/** How many of ours are on lo and up0, for both directions. */
async function programsOnInterfaces(): Promise<number> {
  const script = `console.log((await import("${builtRoot}src/dataplane/install/interfaces.js")).programsOnInterfaces().length)`;
  const node = [process.execPath, "--input-type=module", "-e", script];
  return Number(await must(network.server.inside(node)));
}

const served = { tcp4: "app", udp4: "app", moved4: "app", tcp6: "app", udp6: "app", moved6: "app" };

let file: string;

beforeAll(async () => {
  const { server } = network;
  await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
  file = server.file(keptMovedLate, "rules.yaml");
});

async function listen(): Promise<void> {
  await network.server.echo(
    "app",
    families.flatMap((family) =>
      protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
    ),
  );
}

describe("without a daemon of ours, what is taken away", () => {
  beforeAll(async () => {
    mounts = await Mounts.make(network.server);
    await ilmDone("apply", "-f", file);
  });

  afterEach(async () => {
    await network.server.stopDaemons();
  });

  afterAll(async () => {
    await ilmDone("unload");
    await network.server.stopStarted();
  });

  // Each ends as it has begun.
  for (const { what, how, seen } of tamperings) {
    test(`${what}: status says so, and the same rules applied again put it back`, async () => {
      await tamper(how);
      // Who starts meanwhile is not seen, and found afterwards.
      await listen();
      expect(await ilmDone("status")).toMatch(seen);
      expect(await ilmDone("apply", "-f", file)).toContain("unchanged");
      expect(await ilmDone("status")).not.toMatch(seen);
      expect(await answers()).toEqual(served);
    });
  }
});

describe("without a daemon of ours", () => {
  beforeEach(async () => {
    mounts = await Mounts.make(network.server);
    await ilmDone("apply", "-f", file);
  });

  afterEach(async () => {
    await ilmDone("unload");
    await network.server.stopStarted();
  });

  test("without the sk_lookup link explain says what is in the way, and another namespace's command leaves the state alone", async () => {
    await tamper(detach("lookup"));
    await listen();
    expect(
      JSON.parse((await ilm("explain", "tcp", "203.0.113.1:6000", "--json")).stdout),
    ).toMatchObject({
      verdict: "blocked",
      obstacles: [{ kind: "detached", sure: true }],
    });
    const pins = mounts.pins();
    await must(
      mounts.inside(network.client.inside(network.server.ilmCommand(["unload"]).slice(0, -2))),
    );
    expect(mounts.pins()).toEqual(pins);
    expect(await ilmDone("apply", "-f", file)).toContain(
      "sk_lookup had been detached, and is attached again",
    );
    expect(await answers()).toEqual(served);
  });

  for (const { what, how } of [
    {
      what: "another BPF file system is mounted over the pins",
      how: "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
    },
    { what: "the folder of the generation is removed", how: "rm -r $PINS/generation-*" },
    { what: "the folder of the programs is removed", how: "rm -r $PINS/programs-*" },
    { what: "the folder of the registry is removed", how: "rm -r $PINS/registry-*" },
  ]) {
    test(`${what}: no command starts from nothing, and a whole configuration takes over without a failed dial`, async () => {
      await listen();
      await tamper(how);
      for (const args of [
        ["status"],
        ["add", "tcp:7000=127.0.1.10"],
        ["remove", "kept"],
        ["run"],
      ]) {
        const { status, stderr } = await ilm(...args);
        expect(stderr).toMatch(
          /^ilm: rules of ilm decide in this network namespace, but their state /,
        );
        expect(status).toBe(4);
      }
      expect((await ilm("doctor")).stdout).toContain(
        "rules of ilm decide in this network namespace",
      );
      const load = await network.client.load("tcp", "203.0.113.1", 6000, 2);
      await ilmDone("apply", "-f", file);
      const { failed } = await load.stop();
      expect(failed).toEqual({});
      expect(await answers()).toEqual(served);
      // Only what is found is attached.
      expect(await programsOnInterfaces()).toBe(2 * 2);
    });
  }

  for (const { what, how } of [
    { what: "pins that are covered", how: "mount -t bpf -o mode=0700 bpf /sys/fs/bpf" },
    { what: "a state that is not whole", how: "rm -r $PINS/registry-*" },
  ]) {
    test(`run with a whole configuration takes over ${what}, without a failed dial`, async () => {
      await listen();
      await tamper(how);
      const load = await network.client.load("tcp", "203.0.113.1", 6000, 2);
      const daemon = network.server.adopt(new Background(command("run", "-f", file)));
      await Promise.race([
        daemon.waitForOutput(/ready:/),
        daemon.exited.then(({ stderr }) => {
          throw new Error(stderr);
        }),
      ]);
      const { failed } = await load.stop();
      expect(failed).toEqual({});
      expect(await answers()).toEqual(served);
      expect(await programsOnInterfaces()).toBe(2 * 2);
      await daemon.stop("SIGTERM");
    });
  }

  /**
   * As a newer version would leave it: another number in the registry, and a header that says what
   * it holds.
   */
  async function makeNewer(): Promise<void> {
    const header = JSON.stringify({
      ilm: "9.0.0",
      format: 99,
      generation: 1,
      appliedAt: "2030-01-01T00:00:00.000Z",
      mappings: 40,
      runtimeMappings: 3,
      addresses: 2,
      shards: ["a field that this version does not know"],
    });
    await tamper(`
      bpftool map update id ${await headerMap()} key 0 0 0 0 value ${hex(header, 4096)}
      value=$(bpftool -j map lookup pinned $(echo $PINS/registry-*/meta) key 0 0 0 0 | python3 -c '
import json, sys
value = json.load(sys.stdin)["value"]
value[8] = "0x63"
print(" ".join(value))')
      bpftool map update pinned $(echo $PINS/registry-*/meta) key 0 0 0 0 value $value`);
  }

  for (const { what, how } of [
    { what: "whose pins are there", how: "true" },
    { what: "whose pins are covered", how: "mount -t bpf -o mode=0700 bpf /sys/fs/bpf" },
  ]) {
    test(`a newer version's state ${what}: every command but unload says whose it is and what it holds, and leaves it alone`, async () => {
      await listen();
      await makeNewer();
      await tamper(how);
      for (const args of [
        ["status"],
        ["apply", "-f", file],
        ["add", "tcp:7000=127.0.1.10"],
        ["remove", "kept"],
        ["off"],
        ["run"],
        ["run", "-f", file],
      ]) {
        const { status, stderr } = await ilm(...args);
        expect(stderr, args.join(" ")).toMatch(
          /a newer version of ilm made the rules .*: ilm 9\.0\.0 \(state format 99\): 40 mappings, 3 of them added at run time, 2 addresses of services, active since 2030-01-01T00:00:00.000Z\n  Use that version\. To go back/,
        );
        expect(status, args.join(" ")).toBe(4);
      }
      expect((await ilm("doctor")).stdout).toContain("a newer version of ilm made the rules");
      expect(await answers()).toEqual(served);
    });
  }

  test("apply --over-newer takes over from a newer version without a failed dial, says what is lost, and an answer that comes afterwards leaves from what was dialled", async () => {
    await listen();
    const answer = await lateAnswer(async () => {
      await makeNewer();
      const load = await network.client.load("tcp", "203.0.113.1", 6000, 2);
      expect(await ilmDone("apply", "-f", file, "--over-newer")).toContain(
        "warning: any mappings added at run time and any counters are lost: a newer version",
      );
      const { failed } = await load.stop();
      expect(failed).toEqual({});
    });
    expect(answer).toMatchObject({ from: { address: "203.0.113.1", port: 6200 } });
    expect(await answers()).toEqual(served);
    expect(await ilmDone("apply", "-f", file)).toContain("unchanged");
  });

  test("run --over-newer does so too", async () => {
    await listen();
    await makeNewer();
    const daemon = network.server.adopt(new Background(command("run", "-f", file, "--over-newer")));
    await daemon.waitForOutput(/are lost: a newer version[^]*ready:/);
    expect(await answers()).toEqual(served);
    await daemon.stop("SIGTERM");
  });

  test("the header says who wrote the state and what it holds, also after a mapping was added", async () => {
    await ilmDone("add", "tcp:7000=127.0.1.10");
    const { appliedBy } = JSON.parse(await ilmDone("status", "--json")) as { appliedBy: string };
    const shown = await must(["bpftool", "-j", "map", "dump", "id", String(await headerMap())]);
    const [{ value }] = JSON.parse(shown) as [{ value: readonly string[] }];
    const bytes = Buffer.from(value.map(Number));
    expect(JSON.parse(bytes.subarray(0, bytes.indexOf(0)).toString())).toMatchObject({
      ilm: appliedBy,
      format: ILM_ABI_VERSION,
      generation: 2,
      mappings: 5,
      runtimeMappings: 1,
      addresses: 2,
    });
  });

  test("a registry that is replaced, as there are more destinations than it has places for, goes on with what UDP clients dialled", async () => {
    await listen();
    const registries = (): readonly string[] =>
      mounts.numbered().filter((name) => name.startsWith("registry-"));
    const before = registries();
    const more = Array.from({ length: 70_000 }, (_, i) => {
      const to = `127.${2 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
      return JSON.stringify({
        name: `m${i}`,
        port: 10_000 + (i % 50_000),
        on: `198.51.100.${1 + Math.floor(i / 50_000)}`,
        to,
      });
    });
    const own = [
      { name: "kept", port: 6000, to: "127.0.1.10" },
      { name: "late", protocol: "udp", port: 6200, to: "127.0.1.10:6001" },
    ].map((mapping) => JSON.stringify(mapping));
    const large = network.server.file([...own, ...more].join("\n"), "large.ndjson");
    const answer = await lateAnswer(async () => {
      await ilmDone("apply", "-f", large);
      expect(registries()).not.toEqual(before);
    });
    expect(answer).toMatchObject({ from: { address: "203.0.113.1", port: 6200 } });
    expect(await network.client.who("tcp", "203.0.113.1", 6000)).toBe("app");
  });

  test("unload ends all deciding also while another process holds the link", async () => {
    await listen();
    const held = mounts.inside(["nsenter", `--net=${network.server.path}`, process.execPath]);
    const script = `
      const { openDataPlane } = await import("${builtRoot}src/dataplane/open.js");
      const plane = openDataPlane();
      console.log(plane.active().generation);
      await new Promise((end) => setTimeout(end, 3_600_000));
      plane.close();`;
    const holder = network.server.adopt(
      new Background([...held, "--input-type=module", "-e", script]),
    );
    await holder.waitForOutput(/1/);
    await ilmDone("unload");
    expect(await network.client.who("tcp", "203.0.113.1", 6000)).toBe("ECONNREFUSED");
    expect(await ilmDone("status")).toContain("nothing is loaded");
  });

  test("off: mappings have no effect, rules may change, and on restores everything, with its counters", async () => {
    await listen();
    const refused = {
      tcp4: "ECONNREFUSED",
      udp4: "ECONNREFUSED",
      moved4: "ECONNREFUSED",
      tcp6: "ECONNREFUSED",
      udp6: "ECONNREFUSED",
      moved6: "ECONNREFUSED",
    };
    expect(await answers()).toEqual(served);
    const counted = async (): Promise<unknown> =>
      (JSON.parse(await ilmDone("mappings", "--json")) as readonly { counters: unknown }[]).map(
        ({ counters }) => counters,
      );
    const before = await counted();
    expect(await ilmDone("off")).toContain("off: mappings have no effect");
    expect(await ilmDone("off")).toContain("already off");
    expect(await answers()).toEqual(refused);
    expect(await ilmDone("status")).toMatch(/^state: +OFF/);
    expect(JSON.parse(await ilmDone("status", "--json"))).toMatchObject({
      loaded: true,
      off: true,
    });
    expect(
      JSON.parse((await ilm("explain", "tcp", "203.0.113.1:6000", "--json")).stdout),
    ).toMatchObject({
      verdict: "blocked",
      decision: "selected",
      obstacles: [{ kind: "off", sure: true }],
    });
    expect(await ilmDone("add", "tcp:7000=app:6000")).toContain("ilm is off");
    expect(await network.client.who("tcp", "203.0.113.1", 7000)).toBe("ECONNREFUSED");
    await ilmDone("remove", "tcp:7000");
    expect(await counted()).toEqual(before);
    expect(await ilmDone("on")).toContain("decides again");
    expect(await answers()).toEqual(served);
    expect(await ilmDone("status")).not.toMatch(/OFF/);
  });
});

/** A client has dialled, and the daemon answers after the tampering: from what was dialled? */
async function lateAnswer(meanwhile: () => Promise<void>): Promise<unknown> {
  const { server, client } = network;
  const ends = [new UdpEnds(server), new UdpEnds(client)] as const;
  const daemon = await ends[0].open(4, { bind: ["127.0.1.10", 6001] });
  const socket = await ends[1].open(4, { connect: ["203.0.113.1", 6200] });
  await socket.send(["203.0.113.1", 6200], [10]);
  const { from } = await daemon.receive();
  await meanwhile();
  await daemon.send([from.address, from.port], [20]);
  const answer = await socket.receive();
  await daemon.close();
  await socket.close();
  return answer;
}

describe("beside run", () => {
  let daemon: Background;

  beforeAll(async () => {
    const { server } = network;
    mounts = await Mounts.make(server);
    await ilmDone("apply", "-f", file);
    await ilmDone("add", "tcp:7000=127.0.1.10:6000");
    daemon = server.adopt(new Background(command("run", "-f", file)));
    await daemon.waitForOutput(/ready:/);
    await listen();
  });

  afterAll(async () => {
    await daemon.stop("SIGTERM");
    await ilmDone("unload");
    await network.server.stopAll();
  });

  /** When somebody does it. */
  const moments: readonly {
    readonly moment: string;
    readonly around: (tampering: () => Promise<void>) => Promise<void>;
  }[] = [
    {
      moment: "during a reload",
      around: async (tampering) => {
        daemon.signal("SIGHUP");
        await tampering();
      },
    },
    {
      moment: "while a change is made",
      around: async (tampering) => {
        await Promise.all([ilmDone("add", "--replace", "tcp:7100=127.0.1.10:6000"), tampering()]);
        await ilmDone("remove", "tcp:7100");
      },
    },
    {
      moment: "while run is stopped",
      around: async (tampering) => {
        daemon.signal("SIGSTOP");
        await tampering();
        daemon.signal("SIGCONT");
      },
    },
  ];

  async function metrics(): Promise<string> {
    const socket = `${lockRoot}/${network.server.inode}.sock`;
    return await must(
      mounts.inside(["curl", "-sS", "--unix-socket", socket, "http://ilm/metrics"]),
    );
  }

  async function restored(): Promise<number> {
    return Number(/^ilm_restored_total (.*)$/m.exec(await metrics())?.[1]);
  }

  /** What its log says from now on. */
  async function saysAfter(action: () => Promise<void>, wanted: RegExp): Promise<void> {
    const before = daemon.stderr.length;
    await action();
    await eventually(`the log says ${wanted.source}`, async () =>
      wanted.test(daemon.stderr.slice(before)) ? true : null,
    );
  }

  /**
   * Under load: only dials that need what is taken away fail, and none any more when it is back.
   */
  async function takeAway(
    { what, how, seen, stops = [] }: Tampering,
    around: (tampering: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const loads = await Promise.all(
      protocols.map(async (protocol) => ({
        protocol,
        // What is silently dropped is dialled again, sooner than the daemon looks; nobody else may
        // miss an answer.
        load: await network.client.load(
          protocol,
          "203.0.113.1",
          6000,
          10,
          stops.includes(protocol) ? 0.2 : 30,
        ),
      })),
    );
    await saysAfter(async () => {
      await around(async () => await tamper(how));
    }, /removed by another program, put back|was added to lo/);
    await eventually(`nothing is missing: ${what}`, async () =>
      seen.test(await ilmDone("status")) ? null : true,
    );
    expect(await answers(), what).toEqual(served);
    for (const { protocol, load } of loads) {
      const { answered, failed, ended_failing } = await load.stop();
      expect(ended_failing, `${what}, ${protocol}`).toBe(false);
      expect(answered["app"] ?? 0, `${what}, ${protocol}`).toBeGreaterThan(0);
      if (!stops.includes(protocol)) expect(failed, `${what}, ${protocol}`).toEqual({});
    }
  }

  for (const tampering of tamperings) {
    test(`${tampering.what}: it is put back, the log and the metrics say so, and only dials that need it fail`, async () => {
      const before = await restored();
      await takeAway(tampering, async (act) => await act());
      expect(await restored()).toBeGreaterThan(before);
    });
  }

  for (const { what, how } of [
    {
      what: "a single pin of any folder is removed",
      how: `pins=$(find $PINS -mindepth 2 -maxdepth 2 -type f ! -name 'link_*' | sort)
        rm "$(echo "$pins" | sed -n $((${chance.integer(0, 9999)} % $(echo "$pins" | wc -l) + 1))p)"`,
    },
    { what: "the pins are removed", how: "rm -r $PINS" },
    {
      what: "another BPF file system is mounted over the pins",
      how: "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
    },
    {
      what: "the BPF file system is unmounted",
      how: "umount --lazy /sys/fs/bpf; umount --lazy /sys/fs/bpf || true",
    },
    { what: "the folder of the generation is removed", how: "rm -r $PINS/generation-*" },
  ]) {
    test(`${what}: all is rebuilt, with what was added at run time, and no dial fails`, async () => {
      const load = await network.client.load("tcp", "203.0.113.1", 6000, 2);
      const answer = await lateAnswer(async () => {
        await saysAfter(async () => await tamper(how), /everything is back/);
      });
      expect(answer).toMatchObject({ from: { address: "203.0.113.1", port: 6200 } });
      const { failed } = await load.stop();
      expect(failed).toEqual({});
      expect(await answers()).toEqual(served);
      expect(await network.client.who("tcp", "203.0.113.1", 7000)).toBe("app");
      expect(JSON.parse(await ilmDone("status", "--json"))).toMatchObject({
        loaded: true,
        runtimeMappings: 1,
        warnings: [],
      });
      expect(await programsOnInterfaces()).toBe(2 * 2);
    });
  }

  for (const { moment, around } of moments) {
    test(`what is taken away ${moment} is put back, and only dials that need it fail`, async () => {
      for (const index of sample(tamperings.length, sizes.tamperings, chance)) {
        const tampering = tamperings[index - 1];
        if (tampering !== undefined) await takeAway(tampering, around);
      }
    });
  }

  test("off and on go through it, and it leaves off as it is", async () => {
    await saysAfter(async () => {
      expect(await ilmDone("off")).toContain("off");
    }, /switched off/);
    daemon.signal("SIGHUP");
    await tamper(hook("sockops"));
    await eventually("it has looked", async () =>
      (await ilmDone("status")).includes("is not attached") ? null : true,
    );
    expect(await network.client.who("tcp", "203.0.113.1", 6000)).toBe("ECONNREFUSED");
    await ilmDone("on");
    expect(await answers()).toEqual(served);
  });

  test("the metrics page names what is missing: what goes again and again is put back with pauses", async () => {
    expect(await metrics()).not.toContain("ilm_missing{");
    await eventually("the page names it", async () => {
      await tamper(`${hook("sockops")} 2>&1 || true`);
      const page = await metrics();
      return page.includes('ilm_missing{what="cgroup/sockops"} 1') ? true : null;
    });
    await eventually("it is back", async () =>
      (await metrics()).includes("ilm_missing{") ? null : true,
    );
  });
});
