/** The races that somebody without the right to runs for what comes to a service. */
import { owner } from "./actor.js";
import { EPHEMERAL, FIXED } from "./attacks.js";
import type { Race } from "./races.js";

export const races: readonly Race[] = [
  { title: "bind() to the service's address", way: "bind", at: "daemon", port: FIXED },
  { title: "bind() to the dialled address", way: "reuse", at: "public", port: EPHEMERAL },
  { title: "bind() to the wildcard address", way: "reuse", at: "wildcard", port: FIXED },
  { title: "a port without bind()", way: "late", at: "wildcard", port: EPHEMERAL },
  {
    title: "connect() and disconnect",
    way: "reconnect",
    at: "public",
    port: EPHEMERAL,
    kinds: ["udp"],
    // Whom the kernel found unconnected and sees connected a moment later gets it without a
    // question (net/ipv4/udp.c, __udp4_lib_lookup).
    leaves: 5,
  },
  {
    title: "moving between cgroups, of which one has the unit's name,",
    way: "reuse",
    at: "public",
    port: EPHEMERAL,
    as: { ...owner, cgroup: "other.service" },
    moves: ["other.service", "other.service/web.service"],
    owned: "unit: web.service",
  },
];
