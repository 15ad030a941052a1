/** Whose a service is, by user and by unit: what strangers get, and what they are refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { ActiveEngine, DataPlane } from "../../src/dataplane/types.js";
import { errnoOf } from "../../src/kernel/ffi.js";
import { capability as report, expectEqual } from "./report.js";
import type { Socket, SocketOptions } from "./sockets.js";
import {
  app,
  apply,
  as,
  families,
  kinds,
  listen,
  needMptcp,
  open,
  outside,
  using,
  whoHas,
} from "./stage.js";

const EACCES = 13;
const OWNER = 4000;
const STRANGER = 4001;
const CGROUPS = "/sys/fs/cgroup";

interface Said {
  /** What the service says of its owner. */
  readonly owner?: string;
  readonly strangers?: "refuse" | "allow";
}

const rulesFor =
  (engine: ActiveEngine) =>
  ({ owner, strangers = "refuse" }: Said = {}): string =>
    `
version: 1
engine: ${engine}
strangers: ${strangers}
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"]${owner === undefined ? "" : `, ${owner}`} }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: 6002, to: "*:7002" }
`;

/** What a process of that unit makes. */
function inUnit<T>(unit: string, make: () => T): T {
  const folder = `${CGROUPS}/system.slice/${unit}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/cgroup.procs`, `${process.pid}`);
  try {
    return make();
  } finally {
    writeFileSync(`${CGROUPS}/guest/cgroup.procs`, `${process.pid}`);
  }
}

function refusedWith(make: () => Socket): number | undefined {
  try {
    make().close();
    return undefined;
  } catch (error) {
    return errnoOf(error);
  }
}

/** Every promise about owners through one engine; for the kfunc the module must be loaded. */
export async function runOwners(engine: ActiveEngine): Promise<void> {
  const rules = rulesFor(engine);
  const capability = (name: string, prove: (plane: DataPlane) => void): Promise<void> =>
    report(engine === "kfunc" ? `engine kfunc: ${name}` : name, () => {
      const plane = open();
      try {
        prove(plane);
      } finally {
        plane.unload();
        plane.close();
      }
    });

  for (const kind of kinds) {
    const options: SocketOptions = { kind, timeout: 300 };
    const needed = (plane: DataPlane): void => {
      if (kind === "mptcp") needMptcp(plane, engine, rules());
    };

    await capability(
      `owners, ${kind}: a stranger on the service's address gets nothing`,
      (plane) => {
        needed(plane);
        for (const family of families) {
          const to = { address: outside[family], port: 6000 };
          apply(plane, rules());
          const stranger = as(STRANGER, () => listen(app[family], 6000, options));
          using([stranger], () => {
            expectEqual("without an owner", whoHas({ plane, kind }, to, [stranger]), 0);
            apply(plane, rules({ owner: `user: ${OWNER}` }));
            expectEqual("with one", whoHas({ plane, kind }, to, [stranger]), "refused");
          });
          const again = (): Socket => as(STRANGER, () => listen(app[family], 6000, options));
          expectEqual("his next bind()", refusedWith(again), EACCES);
          const owner = as(OWNER, () => listen(app[family], 6000, options));
          using([owner], () => {
            expectEqual("the owner", whoHas({ plane, kind }, to, [owner]), 0);
          });
        }
      },
    );

    await capability(`owners, ${kind}: a stranger on what is dialled gets nothing`, (plane) => {
      needed(plane);
      for (const family of families) {
        const to = { address: outside[family], port: 6000 };
        const said = { owner: `user: ${OWNER}` };
        apply(plane, rules({ ...said, strangers: "allow" }));
        const owner = as(OWNER, () => listen(app[family], 6000, options));
        const stranger = as(STRANGER, () => listen(outside[family], 6000, options));
        using([owner, stranger], () => {
          expectEqual("allowed", whoHas({ plane, kind }, to, [owner, stranger]), 1);
          apply(plane, rules(said));
          expectEqual("refused", whoHas({ plane, kind }, to, [owner, stranger]), 0);
          owner.close();
          expectEqual("alone", whoHas({ plane, kind }, to, [stranger]), "refused");
        });
        const again = (): Socket => as(STRANGER, () => listen(outside[family], 6000, options));
        expectEqual("his next bind()", refusedWith(again), EACCES);
      }
    });

    await capability(
      `owners, ${kind}: a stranger on the wildcard address gets nothing`,
      (plane) => {
        needed(plane);
        for (const family of families) {
          const to = { address: outside[family], port: 6002 };
          const any = family === 4 ? "0.0.0.0" : "::";
          apply(plane, rules({ strangers: "allow" }));
          const stranger = as(STRANGER, () => listen(any, 7002, options));
          using([stranger], () => {
            expectEqual("allowed", whoHas({ plane, kind }, to, [stranger]), 0);
            apply(plane, rules());
            expectEqual("refused", whoHas({ plane, kind }, to, [stranger]), "refused");
          });
        }
      },
    );

    await capability(`owners, ${kind}: a unit is told from another one, and from root`, (plane) => {
      needed(plane);
      for (const family of families) {
        const to = { address: outside[family], port: 6000 };
        const open = (): Socket => listen(app[family], 6000, options);
        apply(plane, rules({ owner: "unit: web.service" }));
        expectEqual(
          "another unit",
          refusedWith(() => inUnit("other.service", open)),
          EACCES,
        );
        expectEqual("root in none", refusedWith(open), EACCES);
        const owner = inUnit("web.service", open);
        using([owner], () => {
          expectEqual("the owner", whoHas({ plane, kind }, to, [owner]), 0);
          apply(plane, rules({ owner: "unit: other.service" }));
          expectEqual(
            "once it belongs to another",
            whoHas({ plane, kind }, to, [owner]),
            "refused",
          );
        });
      }
    });
  }

  await capability("owners: a low port of its own address takes no privilege", (plane) => {
    apply(plane, rules({ owner: `user: ${OWNER}` }));
    for (const family of families) {
      for (const kind of ["tcp", "udp"] as const) {
        const at = (address: string) => as(OWNER, () => listen(address, 80, { kind }));
        at(app[family]).close();
        expectEqual(
          "another address",
          refusedWith(() => at(outside[family])),
          EACCES,
        );
      }
    }
  });
}
