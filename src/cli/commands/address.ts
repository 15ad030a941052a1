/** `ilm address`: prints the addresses of services, or those that a service would get by itself. */
import { IlmError } from "../../errors.js";
import type { Address, Prefix } from "../../model/address.js";
import type { Service } from "../../model/mapping.js";
import { parseServiceName } from "../../config/given-name.js";
import { ownIpv4, ownIpv6, ulaOfMachine } from "../../config/own-address.js";
import type { AddressJson } from "../../json/address.js";
import { published } from "../../json/published.js";
import { renderTable } from "../render/table.js";
import { print, type Context } from "../shell/context.js";
import type { SourceOptions } from "../shell/load.js";
import { refuseNamesAsJson } from "../shell/names.js";
import { readServices } from "../shell/services.js";
import { usageError } from "../shell/usage-error.js";

export interface ServiceAddresses {
  readonly service: string;
  readonly addresses: readonly Address[];
  /** False when no such service is defined. */
  readonly defined: boolean;
}

/**
 * Prints the addresses of the services of these names; of all when there are no names. For a name
 * that is not defined, prints what `address: auto` would give. Throws USAGE, and NOT_FOUND when the
 * host has no prefix of its own.
 */
export interface AddressOptions extends SourceOptions {
  /** Print names only, one on a line. */
  readonly names?: boolean;
}

export async function address(
  context: Context,
  options: AddressOptions,
  names: readonly string[],
): Promise<void> {
  refuseNamesAsJson(context, options.names);
  for (const name of names) {
    const parsed = parseServiceName(name);
    if (!parsed.ok) throw usageError("NAME", parsed.reason, parsed.hint);
  }
  const { services, ula } = await readServices(context, options);
  const known = new Map(services.map((service) => [service.name, service]));
  const wanted = names.length === 0 ? [...known.keys()] : [...new Set(names)];
  const isUnknown = wanted.some((name) => !known.has(name));
  const prefix = isUnknown ? (ula ?? (await prefixOfHost(context))) : null;
  const found = wanted.map((name) => addressesOf(name, known.get(name), prefix));
  for (const { service, defined } of found) {
    if (!defined) {
      context.note(
        `there is no service ${service}; these are the addresses that \`address: auto\` would give it\n`,
      );
    }
  }
  await print(context, published<AddressJson>()(found), () =>
    options.names === true
      ? found.map(({ service }) => `${service}\n`).join("")
      : render(context, found, names),
  );
}

function addressesOf(
  name: string,
  service: Service | undefined,
  prefix: Prefix | null,
): ServiceAddresses {
  if (service !== undefined) return { service: name, addresses: service.addresses, defined: true };
  const addresses = [ownIpv4(name), ...(prefix === null ? [] : [ownIpv6(name, prefix)])];
  return { service: name, addresses, defined: false };
}

async function prefixOfHost({ reach }: Context): Promise<Prefix> {
  const id = await reach.machineId();
  if (id !== null) return ulaOfMachine(id);
  throw new IlmError(
    "NOT_FOUND",
    "this host has no machine id (/etc/machine-id) to derive the prefix of its own IPv6 addresses from",
    { remedy: "Write `ula:` with a /48 of fd00::/8 in the configuration, and give it with `-f`." },
  );
}

/** Renders the addresses of a single name one on a line, for scripts, and otherwise a table. */
function render(
  { width, colours }: Context,
  found: readonly ServiceAddresses[],
  names: readonly string[],
): string {
  if (names.length === 1) return found.flatMap(({ addresses }) => addresses).join("\n") + "\n";
  if (found.length === 0) return "no services\n";
  const columns = [
    { heading: "SERVICE", shrink: true },
    { heading: "ADDRESSES", shrink: true },
  ];
  const rows = found.map(({ service, addresses }) => [service, addresses.join("\n")]);
  return renderTable(columns, rows, { width, paintHeading: colours.bold });
}
