/** What an import asks the host: its NAT rules, and what decides where packets go. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Host } from "../config/import-nft.js";
import type { NftSources, Saved } from "../config/nft/sources.js";
import { listedDevices, listedTexts } from "../config/nft/text.js";
import { IlmError, nodeErrno } from "../errors.js";
import { boundSockets } from "../kernel/bound-sockets.js";
import { isEffective } from "../kernel/capabilities.js";
import { unless } from "../kernel/folder.js";
import { ephemeralPorts, sysctl } from "../kernel/procfs.js";
import { upInterfaces } from "../kernel/up-addresses.js";

const families = [
  { name: "ip", forwarding: "net.ipv4.ip_forward" },
  { name: "ip6", forwarding: "net.ipv6.conf.all.forwarding" },
] as const;

export function importingHost(): Host {
  const up = upInterfaces();
  return {
    addresses: [...new Set(up.flatMap((one) => one.addresses.map(({ address }) => address)))],
    interfaces: up.map(({ name, addresses }) => ({
      name,
      addresses: addresses.filter(({ isScoped }) => !isScoped).map(({ address }) => address),
    })),
    bound: boundSockets(),
    forwards: families.flatMap(({ name, forwarding }) =>
      sysctl(forwarding) === "1" ? [name === "ip" ? (4 as const) : (6 as const)] : [],
    ),
    ephemeral: ephemeralPorts(),
  };
}

/**
 * Returns the host's NAT rules. Throws NOT_FOUND when no program can show them, NOT_PERMITTED
 * without CAP_NET_ADMIN: the programs then fail as if there were none.
 */
export function askHost(): NftSources {
  if (!isEffective("CAP_NET_ADMIN")) {
    throw new IlmError("NOT_PERMITTED", "the host shows its netfilter rules to root only", {
      remedy:
        "Run as root, e.g. with sudo; or save there what `nft -j list ruleset` or iptables-save prints, and give the file: `ilm import nft FILE`.",
    });
  }
  const sources = askRules(/^nat$/m);
  if (sources !== null) return sources;
  throw new IlmError("NOT_FOUND", "nft could not be asked for its ruleset", {
    remedy:
      "Install nftables; or run `nft -j list ruleset > FILE` (or iptables-save) where it can be asked, and `ilm import nft FILE` here.",
  });
}

/**
 * Returns the active rules of nftables and of both interfaces of iptables, or null when there is no
 * program to show them. `oldTables` matches the tables of the old interface to look for.
 */
export function askRules(oldTables: RegExp): NftSources | null {
  const json = ask(["nft", "-j", "list", "ruleset"]);
  const saved = families.flatMap(({ name }) => [
    // Of rules written by iptables, nft's JSON has at most the names of their parts.
    ...(json === null || (new RegExp(`"family": "${name}"`).test(json) && json.includes('"xt":'))
      ? save([`${name}tables-nft-save`, `${name}tables-save`])
      : []),
    ...(hasOldTable(name, oldTables)
      ? save([`${name}tables-legacy-save`, `${name}tables-save`], "-legacy")
      : []),
  ]);
  if (json === null && saved.length === 0) return null;
  if (json === null) return { rulesets: [], saved };
  const listing = ask(["nft", "-a", "list", "ruleset"]) ?? "";
  return {
    rulesets: [{ name: "nft -j list ruleset", value: JSON.parse(json) as unknown }],
    saved,
    texts: listedTexts(listing),
    devices: listedDevices(listing),
  };
}

/** Reports whether the old interface (x_tables) has such a table, which nft does not show. */
function hasOldTable(name: "ip" | "ip6", tables: RegExp): boolean {
  const names = unless(["ENOENT"], () =>
    readFileSync(`/proc/self/net/${name}_tables_names`, "utf8"),
  );
  return tables.test(names ?? "");
}

function save(programs: readonly string[], variant?: "-legacy"): Saved[] {
  for (const program of programs) {
    const text = ask([program]);
    // Whose rules the program without a suffix shows depends on the host.
    const other = variant === "-legacy" && (text ?? "").includes("(nf_tables)");
    if (text === null || other) continue;
    return [{ name: program, text, ...(variant === undefined ? {} : { variant }) }];
  }
  return [];
}

/**
 * The time limit for a program: a host's rules are listed in seconds, and one that takes longer is
 * waiting for something.
 */
const PATIENCE_MS = 120_000;

/** Returns what the program prints, or null when it does not exist or fails. */
function ask([program = "", ...args]: readonly string[]): string | null {
  const { status, stdout, error } = spawnSync(program, args, {
    encoding: "utf8",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
    maxBuffer: 1 << 30,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (nodeErrno(error) === "ETIMEDOUT") {
    throw new IlmError("UNAVAILABLE", `${program} did not end within ${PATIENCE_MS / 1000} s`, {
      remedy: "See what it waits for, or save what it prints to a file and give that.",
    });
  }
  return status === 0 ? stdout : null;
}
