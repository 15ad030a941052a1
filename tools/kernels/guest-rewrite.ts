/** `wildcard: rewrite`: daemons that listen on every address share a port, and are told nothing. */
import type { ActiveEngine, DataPlane } from "../../src/dataplane/types.js";
import { capability as report, expectEqual } from "./report.js";
import type { Socket, SocketOptions } from "./sockets.js";
import {
  type Kind,
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

const WEB = 4000;
const BLOG = 4001;
const STRANGER = 4002;
/** Both listen here, and each is dialled at its own of `dialled`. */
const PORT = 6000;
const dialled = [6000, 6001] as const;
/** No mapping leads here. */
const UNMAPPED = 6005;
const blog = { 4: "127.0.1.11", 6: "fd5e:ed00::11" } as const;

const rulesFor = (engine: ActiveEngine): string => `
version: 1
engine: ${engine}
services:
  web:
    user: ${WEB}
    address: [${app[4]}, "${app[6]}"]
    wildcard: rewrite
    publish: [6000/tcp, 6000/udp]
  blog:
    user: ${BLOG}
    address: [${blog[4]}, "${blog[6]}"]
    wildcard: rewrite
    publish: { 6001/tcp: 6000, 6001/udp: 6000 }
`;

/** What daemons bind to, and the families that they take by it. */
const wildcards = [
  { name: "0.0.0.0", any: "0.0.0.0", options: {}, takes: [4] },
  { name: "dual-stack ::", any: "::", options: {}, takes: [4, 6] },
  { name: "IPv6-only ::", any: "::", options: { v6only: true }, takes: [6] },
] as const satisfies readonly {
  readonly name: string;
  readonly any: string;
  readonly options: SocketOptions;
  readonly takes: readonly (4 | 6)[];
}[];

/** Every promise about rewritten binds by one engine; for the kfunc the module must be loaded. */
export async function runRewrite(engine: ActiveEngine): Promise<void> {
  const rules = rulesFor(engine);
  let opened: DataPlane | undefined;
  const capability = (name: string, prove: (plane: DataPlane) => void): Promise<void> =>
    report(engine === "kfunc" ? `engine kfunc: ${name}` : name, () => {
      if (opened === undefined) {
        opened = open();
        apply(opened, rules);
      }
      prove(opened);
    });
  const listenAs = (user: number, any: string, port: number, options: SocketOptions): Socket =>
    as(user, () => listen(any, port, { timeout: 300, ...options }));
  const eachKind = (plane: DataPlane, prove: (kind: Kind) => void): void => {
    for (const kind of kinds) {
      if (kind !== "mptcp" || isServed(plane)) prove(kind);
    }
  };
  const isServed = (plane: DataPlane): boolean => engine === "kfunc" || plane.steers() === true;

  for (const kind of kinds) {
    for (const { name, any, options, takes } of wildcards) {
      await capability(
        `rewrite, ${kind}: two daemons share a port on ${name}, and are told that they have it`,
        (plane) => {
          if (kind === "mptcp") needMptcp(plane, engine, rules);
          const both = [WEB, BLOG].map((user) => listenAs(user, any, PORT, { ...options, kind }));
          using(both, () => {
            expectEqual(
              "what they are told",
              both.map((socket) => socket.name),
              both.map(() => ({ address: any, port: PORT })),
            );
            for (const family of families) {
              const isTaken = takes.some((taken) => taken === family);
              const wanted = isTaken ? [0, 1] : ["refused", "refused"];
              const from = (to: readonly { address: string; port: number }[]): unknown =>
                to.map((one) => whoHas({ plane, kind }, one, both));
              const outer = dialled.map((port) => ({ address: outside[family], port }));
              expectEqual(`IPv${family}, from outside`, from(outer), wanted);
              const own = [app, blog].map((one) => ({ address: one[family], port: PORT }));
              expectEqual(`IPv${family}, at their own addresses`, from(own), wanted);
            }
          });
        },
      );
    }
  }

  await capability(
    "rewrite: strangers, and sockets on port 0, keep what they asked for",
    (plane) => {
      eachKind(plane, (kind) => {
        for (const [what, user, port] of [
          ["a stranger", STRANGER, UNMAPPED],
          ["port 0", WEB, 0],
        ] as const) {
          for (const { any, options, takes, name } of wildcards) {
            const socket = listenAs(user, any, port, { ...options, kind });
            using([socket], () => {
              for (const family of takes) {
                const to = { address: outside[family], port: socket.name.port };
                expectEqual(`${what}, ${kind}, ${name}`, whoHas({ plane, kind }, to, [socket]), 0);
              }
            });
          }
        }
      });
    },
  );

  await capability("rewrite: a TCP port that is not published is the service's alone", (plane) => {
    eachKind(plane, (kind) => {
      if (kind === "udp") return;
      const socket = listenAs(WEB, "0.0.0.0", UNMAPPED, { kind });
      using([socket], () => {
        const at = (address: string) =>
          whoHas({ plane, kind }, { address, port: UNMAPPED }, [socket]);
        expectEqual(`${kind}, from outside`, at(outside[4]), "refused");
        expectEqual(`${kind}, at its own address`, at(app[4]), 0);
      });
    });
  });
  opened?.unload();
  opened?.close();
}
