/**
 * The portable core of the privileged suites, for one namespace and without an event loop, so that
 * it runs under software emulation: does what ilm promises hold on this kernel?
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { DataPlane, ActiveEngine } from "../../src/dataplane/types.js";
import { hostAddresses } from "../../src/kernel/addresses.js";
import { skLookupLinks } from "../../src/kernel/bpf/link.js";
import { netnsInode } from "../../src/kernel/netns.js";
import type { Address } from "../../src/model/address.js";
import { askKernel } from "./questions.js";
import { Absent, Refused, capability as report, expectEqual } from "./report.js";
import type { Socket } from "./sockets.js";
import {
  type Dialled,
  FILE,
  app,
  apply,
  ask,
  canMptcp,
  costNs,
  dial,
  ilm,
  listen,
  open,
  outside,
  rulesFor,
  using,
} from "./stage.js";

interface DoctorCheck {
  readonly name: string;
  readonly severity: string;
  readonly found: string;
}

function doctor(): readonly DoctorCheck[] {
  return (JSON.parse(ilm("doctor", "--json")) as { checks: DoctorCheck[] }).checks;
}

function peakMiB(): number | "?" {
  const path = "/sys/fs/cgroup/guest/memory.peak";
  return existsSync(path) ? Math.round(Number(readFileSync(path, "utf8")) / 2 ** 20) : "?";
}

const families = [4, 6] as const;

/** Every promise through one engine; for the kfunc the module must be loaded. */
export async function runCore(engine: ActiveEngine): Promise<void> {
  const rules = rulesFor(engine);
  const capability = (name: string, prove: () => string | void): Promise<void> =>
    report(engine === "kfunc" ? `engine kfunc: ${name}` : name, prove);
  let plane: DataPlane | undefined;
  let trouble = new Error("nothing could be loaded");
  const loaded = (): DataPlane => {
    if (plane === undefined) throw trouble;
    return plane;
  };

  await capability("doctor finds no error", () => {
    const errors = doctor().filter((check) => check.severity === "error");
    const locked = errors.find(({ name }) => name === "kernel lockdown");
    if (locked !== undefined) throw new Refused(locked.found);
    expectEqual("errors", errors, []);
  });
  await capability("rules can be activated", () => {
    try {
      const opened = open();
      apply(opened, rules());
      plane = opened;
      return `at most ${peakMiB()} MiB of memory so far, the kernel's and this process's`;
    } catch (error) {
      if (error instanceof Refused) trouble = error;
      throw error;
    }
  });
  for (const family of families) {
    const to = { address: outside[family], port: 6000 };
    await capability(`TCP over IPv${family}`, () => {
      loaded();
      expectEqual("before the daemon", dial(to, []), "refused");
      const daemon = listen(app[family], 6000);
      using([daemon], () => expectEqual("dialled", dial(to, [daemon]), 0));
      expectEqual("after the daemon", dial(to, []), "refused");
    });
    await capability(`TCP over IPv${family} to another port`, () => {
      loaded();
      const daemon = listen(app[family], 7001);
      using([daemon], () => {
        expectEqual("dialled", dial({ ...to, port: 6001 }, [daemon]), 0);
      });
    });
  }
  await capability("a listener on what was dialled keeps its connections", () => {
    loaded();
    const own = listen(outside[4], 6000);
    const daemon = listen(app[4], 6000);
    using([own, daemon], () => {
      expectEqual("dialled", dial({ address: outside[4], port: 6000 }, [own, daemon]), 0);
      own.close();
      expectEqual("when it is gone", dial({ address: outside[4], port: 6000 }, [daemon]), 0);
    });
  });
  for (const family of families) {
    await capability(`a user's questions about sockets are not counted, IPv${family}`, () => {
      const selected = (): number => loaded().counterTotal().selected;
      const daemon = listen(app[family], 6000);
      using([daemon], () => {
        const to = { address: outside[family], port: 6000 };
        const before = selected();
        expectEqual("dialled", dial(to, [daemon]), 0);
        expectEqual("counted", selected() - before, 1);
        const question = {
          local: outside[family] as Address,
          localPort: 6000,
          remote: outside[family] as Address,
          remotePort: 4711,
        };
        // sk_lookup is asked, and says who would get it.
        for (let i = 0; i < 20; i++) expectEqual("named", askKernel(question), 6000);
        expectEqual("counted by questions", selected() - before, 1);
      });
    });
  }
  await capability("a dual-stack listener takes both families", () => {
    loaded();
    const daemon = listen("::", 7002);
    using([daemon], () => {
      for (const family of families) {
        expectEqual("dialled", dial({ address: outside[family], port: 6002 }, [daemon]), 0);
      }
    });
  });
  await capability("the second destination takes over for the first", () => {
    loaded();
    const to = { address: outside[4], port: 6003 };
    const second = listen("127.0.1.12", 7003);
    using([second], () => {
      expectEqual("alone", dial(to, [second]), 0);
      const first = listen("127.0.1.11", 7003);
      using([first], () => expectEqual("both", dial(to, [first, second]), 0));
      expectEqual("alone again", dial(to, [second]), 0);
    });
  });
  await capability("a restarted daemon gets the next connection, 50 times", () => {
    loaded();
    for (let round = 0; round < 50; round++) {
      const daemon = listen(app[4], 6000);
      using([daemon], () => {
        expectEqual(`round ${round}`, dial({ address: outside[4], port: 6000 }, [daemon]), 0);
      });
    }
  });
  await capability("SO_REUSEPORT: every member is served, and one may leave", () => {
    loaded();
    const to = { address: outside[4], port: 6000 };
    const members = [0, 1, 2].map(() => listen(app[4], 6000, { reuseport: true }));
    using(members, () => {
      const seen = new Set<Dialled>();
      for (let i = 0; i < 60; i++) seen.add(dial(to, members));
      expectEqual(
        "members seen",
        [0, 1, 2].filter((member) => seen.has(member)),
        [0, 1, 2],
      );
      for (const gone of [0, 1]) {
        members[gone]?.close();
        const left = members.slice(gone + 1);
        for (let i = 0; i < 10; i++) {
          const got = dial(to, left);
          if (typeof got === "string") throw new Error(`after ${gone + 1} left: ${got}`);
        }
      }
    });
  });
  await capability("a listener that was there before the rules is found", () => {
    loaded().unload();
    const daemons = [listen(app[4], 6000), listen("127.0.1.11", 7003)];
    using(daemons, () => {
      apply(loaded(), rules());
      expectEqual("first", dial({ address: outside[4], port: 6000 }, daemons), 0);
      expectEqual("second", dial({ address: outside[4], port: 6003 }, daemons), 1);
    });
  });
  for (const family of families) {
    await capability(`UDP over IPv${family}, and the answer's source is what was dialled`, () => {
      loaded();
      const daemon = listen(app[family], 6000, { kind: "udp" });
      using([daemon], () => {
        loaded().resync();
        const to = { address: outside[family], port: 6000 };
        expectEqual("asked", ask(to, daemon), { answer: "pong" });
      });
    });
  }
  await capability("UDP: a restarted daemon is found again", () => {
    loaded();
    for (let round = 0; round < 5; round++) {
      const daemon = listen(app[4], 6000, { kind: "udp" });
      using([daemon], () => {
        loaded().resync();
        const to = { address: outside[4], port: 6000 };
        expectEqual(`round ${round}`, ask(to, daemon), { answer: "pong" });
      });
    }
  });
  await capability("an MPTCP listener is served", () => {
    if (!canMptcp()) throw new Absent("this kernel has no MPTCP");
    const daemon = listen(app[4], 6000, { kind: "mptcp" });
    using([daemon], () => {
      loaded().resync();
      const got = dial({ address: outside[4], port: 6000 }, [daemon]);
      const said = doctor().find((check) =>
        /MPTCP listeners cannot be destinations/.test(check.found),
      );
      if (got === "refused" && said?.severity === "warning") throw new Refused(said.found);
      expectEqual("dialled", got, 0);
    });
  });
  await capability("reloads lose no connection", () => {
    const daemon = listen(app[4], 6000);
    using([daemon], () => {
      for (let round = 0; round < 3; round++) {
        apply(loaded(), rules(`  - { port: ${6100 + round}, to: app }\n`));
        expectEqual(`round ${round}`, dial({ address: outside[4], port: 6000 }, [daemon]), 0);
      }
    });
  });
  await capability("explain asks the loaded program", () => {
    const ask = (daemon: Socket): void => {
      const { verdict, cookie } = loaded().explain({
        protocol: "tcp",
        local: outside[4] as Address,
        localPort: 6000,
        remote: "198.51.100.7" as Address,
        remotePort: 5555,
        interfaceIndex: 0,
      });
      expectEqual("verdict", { verdict, cookie }, { verdict: "selected", cookie: daemon.cookie });
    };
    // In a group: the very socket that was found is named, whatever a packet would select.
    const member = listen(app[4], 6000, { reuseport: true });
    using([member], () => ask(member));
    const daemon = listen(app[4], 6000);
    return using([daemon], () => {
      ask(daemon);
      return `a lookup that selects: ${costNs(loaded())} ns, emulated`;
    });
  });
  await capability("the command line: apply, status, mappings, unload", () => {
    loaded();
    writeFileSync(FILE, rules());
    ilm("apply", "-f", FILE);
    const status = JSON.parse(ilm("status", "--json")) as {
      loaded: boolean;
      mappings: number;
      engine: string;
    };
    const seen = [status.loaded, status.mappings, status.engine];
    expectEqual("status", seen, [true, 6, engine]);
    expectEqual("mappings", (JSON.parse(ilm("mappings", "--json")) as unknown[]).length, 6);
    ilm("unload");
    expectEqual(
      "after unload",
      (JSON.parse(ilm("status", "--json")) as { loaded: boolean }).loaded,
      false,
    );
  });
  await capability("unload leaves nothing", () => {
    apply(loaded(), rules());
    loaded().unload();
    expectEqual("links", skLookupLinks(netnsInode()).length, 0);
    expectEqual("pins", existsSync("/sys/fs/bpf/ilm"), false);
    expectEqual("addresses", hostAddresses().filter(({ ours }) => ours).length, 0);
  });
}

/** Warnings of the kernel since boot: what no test may cause. */
export async function checkKernelLog(name = "the kernel's log is clean"): Promise<void> {
  await report(name, () => {
    const log = execFileSync("dmesg", { encoding: "utf8" });
    const bad = log
      .split("\n")
      .filter((line) =>
        /WARNING:|BUG:|Oops|KASAN|UBSAN|INFO: (task|rcu)|deadlock detected|soft lockup -|Call Trace|refcount_t|nable to handle/.test(
          line,
        ),
      );
    expectEqual("lines", bad.slice(0, 5), []);
    const taint = readFileSync("/proc/sys/kernel/tainted", "utf8").trim();
    // 4096: a module from outside the kernel's tree; 8192: an unsigned one. Both are ours.
    expectEqual("taint", Number(taint) & ~(4096 | 8192), 0);
  });
}
