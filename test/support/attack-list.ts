/** The attacks that have nothing to do with time. */
import { type Attack, EPHEMERAL, FIXED, openAt, sendSomething, withOnlyPort } from "./attacks.js";
import { owner, stranger } from "./actor.js";
import { putInCgroup } from "./cgroup.js";
import type { OpenOptions } from "./lab.js";

const both = [FIXED, EPHEMERAL];
const mapped = (address: string): string => `::ffff:${address}`;

/** bind() to what `at` says of the addresses, and what is asked of the socket before. */
const binds = (
  title: string,
  at: "daemon" | "public" | "wildcard",
  options: OpenOptions = {},
): Attack => ({
  title,
  ports: both,
  prepare: async (lab, ground) => await openAt(lab, ground, ground.cell[at], options),
});

export const bindAttacks: readonly Attack[] = [
  binds("bind() to the service's address", "daemon"),
  binds("bind() to the dialled address", "public"),
  binds("bind() to the wildcard address with SO_REUSEPORT", "wildcard", { options: ["reuseport"] }),
  binds("bind() to the wildcard address with SO_REUSEADDR", "wildcard", { options: ["reuseaddr"] }),
  binds("IP_FREEBIND on the service's address", "daemon", { options: ["freebind"] }),
  binds("IP_FREEBIND on the dialled address", "public", { options: ["freebind"] }),
  ...(["daemon", "public"] as const).map((at): Attack => ({
    ...binds(`IP_TRANSPARENT, with CAP_NET_ADMIN, on the ${at} address`, at, {
      options: ["transparent"],
    }),
    as: { ...stranger, capabilities: "+net_admin" },
  })),
  ...(["daemon", "public"] as const).map((at): Attack => ({
    title: `a v4-mapped bind() to the ${at} address`,
    ports: both,
    families: [4],
    prepare: async (lab, ground) => await openAt(lab, ground, mapped(ground.cell[at])),
  })),
  {
    title: "a dual-stack bind() to ::",
    ports: both,
    families: [4],
    prepare: async (lab, ground) => await openAt(lab, ground, "::", { options: ["dual"] }),
  },
];

export const latePortAttacks: readonly Attack[] = [
  {
    title: "listen() without bind()",
    ports: [EPHEMERAL],
    kinds: ["tcp", "mptcp"],
    prepare: async (lab, ground) =>
      await withOnlyPort(
        ground,
        async () => await openAt(lab, ground, ground.cell.wildcard, { bind: false }),
      ),
  },
  {
    title: "a datagram without bind()",
    ports: [EPHEMERAL],
    kinds: ["udp"],
    prepare: async (lab, ground) =>
      await withOnlyPort(ground, async () => {
        const errno = await openAt(lab, ground, ground.cell.wildcard, { bind: false });
        if (errno === null) await sendSomething(lab, ground);
        return errno;
      }),
  },
  ...(["daemon", "public", "wildcard"] as const).flatMap((at): readonly Attack[] => [
    {
      title: `bind() to port 0 of the ${at} address`,
      ports: [EPHEMERAL],
      prepare: async (lab, ground) =>
        await withOnlyPort(
          ground,
          async () => await openAt(lab, { ...ground, port: 0 }, ground.cell[at]),
        ),
    },
    {
      title: `IP_BIND_ADDRESS_NO_PORT on the ${at} address`,
      ports: [EPHEMERAL],
      prepare: async (lab, ground) =>
        await withOnlyPort(ground, async () => {
          const late = { ...ground, port: 0 };
          const errno = await openAt(lab, late, ground.cell[at], { options: ["late"] });
          // From a loopback address nothing leaves.
          const to = at === "daemon" ? { address: ground.cell.daemon, port: 9 } : null;
          if (errno === null && ground.kind === "udp") {
            if (to === null) await sendSomething(lab, ground);
            else await lab.do("send", ground.name, to);
          }
          return errno;
        }),
    },
  ]),
];

const everywhere: readonly Attack[] = [
  binds("the service's address", "daemon"),
  binds("the dialled address", "public"),
  binds("the wildcard address", "wildcard"),
];

const ofAll = (title: string, as: Partial<Attack>, options: OpenOptions = {}): readonly Attack[] =>
  everywhere.map((attack, i) => ({
    ...attack,
    ...binds("", (["daemon", "public", "wildcard"] as const)[i] ?? "daemon", options),
    // bind() to the dialled address is let go on there.
    ports: [EPHEMERAL],
    ...as,
    title: `${title}, on ${attack.title},`,
  }));

const unit = "unit: web.service";

export const identityAttacks: readonly Attack[] = [
  ...ofAll("root of a user namespace", { as: { ...stranger, rules: true } }),
  ...ofAll("io_uring", {}, { uring: true }),
  ...ofAll("the same user in another unit", {
    as: { ...owner, cgroup: "other.service" },
    owned: unit,
  }),
  ...ofAll("a cgroup of one's own with the unit's name", {
    as: { ...owner, cgroup: "other.service/web.service" },
    owned: unit,
  }),
  ...ofAll("a cgroup of one's own with the unit's name in a slice of one's own", {
    as: { ...owner, cgroup: "other.service/app.slice/web.service" },
    owned: unit,
  }),
  ...ofAll("root, outside of the unit", { as: { cgroup: "other.service" }, owned: unit }).filter(
    ({ title }) => title.includes("service's"),
  ),
  ...ofAll("the right user in another unit", {
    as: { ...owner, cgroup: "other.service" },
    owned: `${unit}, user: ${owner.uid}`,
  }),
  ...ofAll("another user in the unit", {
    as: { ...stranger, cgroup: "web.service" },
    owned: `${unit}, user: ${owner.uid}`,
  }),
  ...ofAll("another group", { owned: `group: ${owner.gid}` }),
];

const PORT_OF_NOBODY = 9;

export const handedAttacks: readonly Attack[] = (["daemon", "public"] as const).flatMap(
  (at): readonly Attack[] => [
    {
      title: `a socket on the ${at} address that a child process has inherited`,
      ports: [EPHEMERAL],
      prepare: async (lab, ground) => {
        const errno = await openAt(lab, ground, ground.cell[at]);
        if (errno === null) await lab.do("fork", ground.name, { tag: "stranger" });
        return errno;
      },
    },
    {
      title: `a socket on the ${at} address that was passed to the owner's own process`,
      ports: [EPHEMERAL],
      prepare: async (lab, ground) => {
        const errno = await openAt(lab, ground, ground.cell[at]);
        if (errno !== null) return errno;
        // An abstract name: no folder is both's.
        const path = `\u0000${ground.kind}-${ground.port}`;
        await ground.rival.do("await", "", { path });
        const [, taken] = await Promise.all([
          lab.do("send_away", ground.name, { path }),
          ground.rival.do("take", ground.name, { path, tag: "stranger" }),
        ]);
        return taken.done ? null : "not taken";
      },
    },
    {
      title: `a process in a nested network namespace, with a socket on the ${at} address of the outer one,`,
      ports: [EPHEMERAL],
      prepare: async (_, ground) => {
        const lab = await ground.fresh();
        const errno = await openAt(lab, ground, ground.cell[at]);
        if (errno === null) await lab.do("unshare", "");
        return errno;
      },
    },
    {
      title: `a process that was moved into the unit with its socket on the ${at} address`,
      ports: [EPHEMERAL],
      as: { ...owner, cgroup: "other.service" },
      owned: unit,
      prepare: async (_, ground) => {
        const lab = await ground.fresh();
        const errno = await openAt(lab, ground, ground.cell[at]);
        if (errno === null) await putInCgroup(lab.process, "web.service");
        return errno;
      },
    },
    {
      title: `connect() and disconnect on the ${at} address`,
      ports: [FIXED, EPHEMERAL],
      prepare: async (lab, ground) => {
        const errno = await openAt(lab, ground, ground.cell[at], { listen: false });
        if (errno !== null) return errno;
        const { client, daemon } = ground.cell;
        const address = at === "daemon" ? daemon : client;
        await lab.ask({ do: "connect", name: ground.name, address, port: PORT_OF_NOBODY });
        return null;
      },
      strike: async (lab, { kind, name }) => {
        await lab.do("disconnect", name);
        if (kind !== "udp") await lab.do("listen", name);
      },
    },
  ],
);
