/** Where chains of rules are read from: what nft and iptables print on one host. */
import { IlmError } from "../../errors.js";
import { asObject } from "../imported.js";
import { readIptables } from "./read-iptables.js";
import { readNftables } from "./read-json.js";
import { chainKey, type Chain } from "./rules.js";

/** What iptables-save or ip6tables-save printed. */
export interface Saved {
  /** The name of the source, for messages. */
  readonly name: string;
  readonly text: string;
  /** Set when the rules are known to be the kernel's old interface's. */
  readonly variant?: "-legacy";
}

export interface NftSources {
  /** What `nft -j list ruleset` printed. */
  readonly rulesets: readonly { readonly name: string; readonly value: unknown }[];
  readonly saved: readonly Saved[];
  /**
   * Rules as nft prints them, by family, table and handle. Missing ones are reconstructed from the
   * JSON.
   */
  readonly texts?: ReadonlyMap<string, string>;
  /** The interfaces of chains at ingress, by family, table and chain, if the JSON lacks them. */
  readonly devices?: ReadonlyMap<string, readonly string[]>;
}

/** Reads all chains. Throws USAGE for what is no ruleset. */
export function chainsOf({
  rulesets,
  saved,
  texts = new Map(),
  devices = new Map(),
}: NftSources): Chain[] {
  return withoutTwins(
    rulesets.flatMap(({ name, value }) => readNftables(rulesetItems(name, value), texts, devices)),
    saved.flatMap(({ name, text, variant }) => readIptables(text, name, variant)),
  );
}

/** Returns, in words, chains of bridges, which see packets first: `bridge edge in`. */
export function chainsBefore({ rulesets }: NftSources): string[] {
  return rulesets
    .flatMap(({ name, value }) => rulesetItems(name, value))
    .flatMap((item) => {
      const chain = asObject(asObject(item)?.["chain"]);
      if (chain?.["family"] !== "bridge" || chain["hook"] === undefined) return [];
      if (chain["hook"] === "postrouting") return [];
      return `bridge ${String(chain["table"])} ${String(chain["name"])}`;
    });
}

/**
 * Removes duplicates. Rules that iptables wrote through nftables occur twice, and iptables says
 * more about them, unless another program wrote into its tables, which it does not show in full.
 */
function withoutTwins(ofNft: readonly Chain[], ofIptables: readonly Chain[]): Chain[] {
  const tableOf = ({ family, table }: Chain): string => `${family} ${table}`;
  const differing = new Set<string>();
  for (const chain of ofNft) {
    const twin = ofIptables.find((other) => chainKey(other) === chainKey(chain));
    const same =
      twin !== undefined &&
      twin.rules.length === chain.rules.length &&
      (["hook", "type", "priority"] as const).every(
        (key) => twin.base?.[key] === chain.base?.[key],
      );
    if (!same) differing.add(tableOf(chain));
  }
  const kept = ofIptables.filter((chain) => !differing.has(tableOf(chain)));
  const shown = new Set(kept.map(tableOf));
  return [...ofNft.filter((chain) => !shown.has(tableOf(chain))), ...kept];
}

function rulesetItems(name: string, value: unknown): readonly unknown[] {
  const items = asObject(value)?.["nftables"];
  if (Array.isArray(items)) return items;
  throw new IlmError("USAGE", `${name} has no list "nftables"`, {
    remedy: "Give what `nft -j list ruleset` prints, or what iptables-save prints.",
  });
}
