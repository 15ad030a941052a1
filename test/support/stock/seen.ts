/** What a daemon says of its connections, in the words of docs/daemons.md. */
import { addressesOf, families, type Family, type Protocol } from "../matrix.js";
import type { Namespace } from "../namespace.js";
import { eventually } from "../process.js";
import type { Answer, Own, Running, Stock } from "./types.js";

export interface Dial {
  readonly from: Namespace;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly dialled: string;
  readonly port: number;
}

/** One answer to what was dialled. */
export interface Heard extends Dial {
  readonly answer: Answer;
}

/** As daemons write it, in the one way in which the suites do. */
function plain(address: string): string {
  return address.includes(":") && !address.includes(".")
    ? new URL(`http://[${address}]`).hostname.slice(1, -1)
    : address;
}

const mapped = "::ffff:";

/** What an address is, in words; in its v4-mapped form it is said to be that. */
function called(address: string, known: Readonly<Record<string, string>>): string {
  const seen = plain(address);
  const word = known[seen.replace(mapped, "")] ?? seen;
  return seen.startsWith(mapped) ? `${word}, as \`${mapped}…\`` : word;
}

/** The one thing that is seen over both families, or each by its family. */
function overFamilies(seen: readonly (readonly [Family, string])[]): string {
  const of = (family: Family): string =>
    [...new Set(seen.filter(([at]) => at === family).map(([, word]) => word))].join(" or ");
  const [four, six] = [of(4), of(6)];
  if (four === "" && six === "") return "-";
  if (four === six || six === "") return four;
  return four === ""
    ? six
    : four.startsWith(six)
      ? `${six}; IPv4${four.slice(six.length)}`
      : `IPv4: ${four}; IPv6: ${six}`;
}

/** The local address that it tells clients of; `own`: its service's addresses. */
export function itself(daemon: Stock, own: Own, heard: readonly Heard[]): string {
  return overFamilies(
    heard.flatMap(({ answer, family, dialled, port }) => {
      if (answer.itself === undefined) return [];
      const { address, port: told } = answer.itself;
      const isOwn = address === own[family];
      const word = called(address, {
        [dialled]: "what was dialled",
        [own[family]]: "the service's address",
      });
      const right = told === undefined || told === (isOwn ? daemon.port : port);
      return [[family, right ? word : `${word}, port ${told}`] as const];
    }),
  );
}

/** The remote address that it tells clients of. */
export function peer(heard: readonly Heard[]): string {
  return overFamilies(
    heard.flatMap(({ answer, family }) => {
      const known = { [addressesOf[family].client]: "the client" };
      return answer.peer === undefined ? [] : [[family, called(answer.peer, known)] as const];
    }),
  );
}

/** How the client is named in what the daemon logs, which may come a little later. */
export async function logged(
  daemon: Stock,
  running: Running,
  heard: readonly Heard[],
): Promise<string> {
  if (daemon.logs !== true) return "-";
  const served = families.filter((family) => heard.some((one) => one.family === family));
  const each = served.map(async (family): Promise<readonly [Family, string]> => {
    const { client } = addressesOf[family];
    return await eventually(`${client} in the log`, () => {
      const log = running.log();
      if (!log.includes(client)) return null;
      const seen = log.includes(`${mapped}${client}`) ? `${mapped}${client}` : client;
      return [family, called(seen, { [client]: "the client" })] as const;
    });
  });
  return overFamilies(await Promise.all(each));
}

/** What each family is served. */
export function served(daemon: Stock, heard: readonly Heard[]): string {
  const seenOf = (family: Family): string =>
    daemon.protocols
      .flatMap((protocol) => {
        const own = heard.filter((one) => one.family === family && one.protocol === protocol);
        if (own.length === 0) return [];
        const word = protocol.toUpperCase();
        if (own.every(({ port }) => port === daemon.port)) return [`${word} (its own port only)`];
        return [
          protocol === "tcp" && daemon.lostToNat === true ? `${word} (not beside NAT)` : word,
        ];
      })
      .join(", ");
  const [four, six] = [seenOf(4), seenOf(6)];
  if (four === six) return `${four}: IPv4, IPv6`;
  return [["IPv4", four] as const, ["IPv6", six] as const]
    .filter(([, what]) => what !== "")
    .map(([label, what]) => `${what}: ${label}`)
    .join("; ");
}
