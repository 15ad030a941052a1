/** Permits as the programs know them: by number, with units as hashes and accounts as ids. */
import {
  ILM_ANYONE,
  ILM_OWNERS_MAX,
  type Owner as OwnerRecord,
  ownerLayout,
  permitLayout,
} from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import { type Problem, configurationError } from "../../errors.js";
import { type AccountKind, findAccount } from "../../kernel/accounts.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import type { Listeners, Origin, Owner, Service, StrangerPolicy } from "../../model/mapping.js";
import { isIdText } from "../../model/owner.js";
import { type Mappings, toLazy } from "../../model/mappings.js";
import type { FileHead } from "../../model/rules.js";
import { unitHash } from "../../model/unit-hash.js";
import { type Permit, permitKey } from "../../rules/permits.js";
import { u32 } from "./batches.js";
import { listSources } from "../../model/sources.js";

/** Returns the numeric id of a user or a group. */
export type Accounts = (kind: AccountKind, account: string | number) => number;

interface Named {
  readonly owner: Owner;
  readonly path: string;
  readonly origin: Origin;
}

/** Yields the owners that rules name, and where; equal lists of many mappings once. */
function* namedOwners(services: readonly Service[], list: Mappings): Generator<Named> {
  for (const { name, owner, origin } of services) {
    if (owner !== undefined) yield { owner, path: `service ${name}`, origin };
  }
  const mappings = toLazy(list);
  const seen = new Set<Listeners>();
  for (let index = 0; index < mappings.length; index++) {
    const listeners = mappings.listenersAt(index);
    if (listeners === undefined || listeners === "anyone" || seen.has(listeners)) continue;
    seen.add(listeners);
    const mapping = mappings.at(index);
    if (mapping === undefined) continue;
    const { name, origin } = mapping;
    for (const owner of listeners) yield { owner, path: `mapping ${name}`, origin };
  }
}

/**
 * Finds the accounts that a configuration and these mappings name on this host. Throws
 * CONFIGURATION with all that it does not have.
 */
export function findAccounts(
  { services, wildcard }: Pick<FileHead, "services" | "wildcard">,
  mappings: Mappings,
  sources: readonly string[],
): Accounts {
  const known = new Map<string, number>();
  const problems: Problem[] = [];
  const users = Object.keys(wildcard?.users ?? {}).filter((user) => !isIdText(user));
  const file = sources.length === 0 ? "<argument>" : listSources(sources);
  const settings = users.map((user): Named => {
    return { owner: { user }, path: "wildcard.users", origin: { file, line: 0, column: 0 } };
  });
  for (const { owner, path, origin } of [...namedOwners(services, mappings), ...settings]) {
    for (const kind of ["user", "group"] as const) {
      const account = owner[kind];
      if (typeof account !== "string" || known.has(`${kind} ${account}`)) continue;
      const id = findAccount(kind, account);
      if (id !== undefined) {
        known.set(`${kind} ${account}`, id);
        continue;
      }
      const { file, line, column } = origin;
      problems.push({
        severity: "error",
        file,
        line,
        column,
        path,
        message: `this host has no ${kind} ${account}`,
        hint: `\`getent ${kind === "user" ? "passwd" : "group"}\` lists what it has. For a user that systemd makes while the unit runs (DynamicUser=), name the unit instead`,
      });
    }
  }
  if (problems.length > 0) throw configurationError(problems);
  return (kind, account) =>
    typeof account === "number" ? account : (known.get(`${kind} ${account}`) ?? ILM_ANYONE);
}

function recordOf({ unit, user, group }: Owner, accounts: Accounts): OwnerRecord {
  return {
    unit: unit === undefined ? 0n : unitHash(unit),
    uid: user === undefined ? ILM_ANYONE : accounts("user", user),
    gid: group === undefined ? ILM_ANYONE : accounts("group", group),
  };
}

/** The numbers of permits in a registry. Equal permits have one number, which never changes. */
export class PermitNumbers {
  readonly #map: BpfMap;
  readonly #accounts: Accounts;
  readonly #strangers: StrangerPolicy;
  readonly #numbers = new Map<string, number>();
  /** The numbers by contents, as they are in the map. */
  #present: Map<string, number> | undefined;

  constructor(map: BpfMap, accounts: Accounts, strangers: StrangerPolicy) {
    this.#map = map;
    this.#accounts = accounts;
    this.#strangers = strangers;
  }

  /** Returns the permit's number, adding it if it is new; 0 is anyone. */
  of(permit: Permit | null): number {
    if (permit === null) return 0;
    const key = permitKey(permit);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#put(this.#bytes(permit));
    this.#numbers.set(key, number);
    return number;
  }

  /** Returns the number of a permit that mappings give. Strangers may be welcome there. */
  ofMappings(permit: Permit | null): number {
    return this.#strangers === "refuse" ? this.of(permit) : 0;
  }

  #bytes({ root, owners }: Permit): Uint8Array {
    const records = new Uint8Array(ILM_OWNERS_MAX * ownerLayout.size);
    owners.forEach((owner, index) => {
      records.set(encode(ownerLayout, recordOf(owner, this.#accounts)), index * ownerLayout.size);
    });
    return encode(permitLayout, { count: owners.length, root: root ? 1 : 0, owners: records });
  }

  #put(bytes: Uint8Array): number {
    this.#present ??= new Map(
      this.#map.snapshot().map(([key, value]) => [textOf(value), decode(u32, key)]),
    );
    const text = textOf(bytes);
    const known = this.#present.get(text);
    if (known !== undefined) return known;
    const number = 1 + Math.max(0, ...this.#present.values());
    this.#map.update(encode(u32, number), bytes);
    this.#present.set(text, number);
    return number;
  }

  /**
   * Removes the permits that nobody has asked for. The caller makes sure that nothing refers to
   * them any more.
   */
  forgetOthers(): void {
    const kept = new Set(this.#numbers.values());
    for (const [key] of this.#map.snapshot()) {
      if (!kept.has(decode(u32, key))) this.#map.delete(key);
    }
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
