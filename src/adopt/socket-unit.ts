/** Socket units that adopting writes, so that a service starts with its first connection. */
import { IlmError } from "../errors.js";
import { Folder } from "../kernel/folder.js";
import type { Address } from "../model/address.js";
import type { AdoptedPort } from "./service.js";

const FOLDER = "/etc/systemd/system";
/** The first line, by which a unit is known to be ours. */
const FIRST = "# Written by `ilm adopt --socket-units`; `ilm adopt --undo` removes it.";

/** Returns where the unit of this name is. */
function socketUnitPath(socket: string): string {
  return `${FOLDER}/${socket}`;
}

export function socketUnitText(
  service: string,
  addresses: readonly Address[],
  ports: readonly AdoptedPort[],
  reuseport: boolean,
): string {
  const listens = ports.flatMap(({ protocol, port, families }) =>
    addresses
      .filter((address) => families.includes(address.includes(":") ? 6 : 4))
      .map((address) => {
        const kind = protocol === "tcp" ? "ListenStream" : "ListenDatagram";
        return `${kind}=${address.includes(":") ? `[${address}]` : address}:${port}`;
      }),
  );
  return [
    FIRST,
    "[Unit]",
    `Description=Sockets of ${service} on its own addresses`,
    "",
    "[Socket]",
    ...listens,
    // The addresses may not be on lo yet when the host starts.
    "FreeBind=yes",
    "Accept=no",
    ...(reuseport ? ["ReusePort=yes"] : []),
    "",
    "[Install]",
    "WantedBy=sockets.target",
    "",
  ].join("\n");
}

/** Reports whether the unit of this name is one that adopting has written. */
export function isOwnSocketUnit(socket: string): boolean {
  const text = readUnit(socket);
  return text?.startsWith(`${FIRST}\n`) === true;
}

function readUnit(socket: string): string | undefined {
  const folder = Folder.open(FOLDER);
  try {
    return folder?.readText(socket);
  } catch (error) {
    // A unit may be a link, such as one to /dev/null: that is not ours.
    if (error instanceof IlmError && error.code === "UNSAFE_PATH") return undefined;
    throw error;
  } finally {
    folder?.close();
  }
}

/** Throws USAGE when somebody else's unit has this name. */
export function refuseOthersSocketUnit(socket: string): void {
  const folder = Folder.open(FOLDER);
  try {
    if (folder?.has(socket) !== true || isOwnSocketUnit(socket)) return;
  } finally {
    folder?.close();
  }
  throw new IlmError("USAGE", `${socketUnitPath(socket)} exists, and adopt did not write it`, {
    remedy: "Nothing was changed. Rename it, or leave out --socket-units for this service.",
  });
}

/** Writes the unit. Throws USAGE when somebody else's has this name. */
export async function writeSocketUnit(socket: string, text: string): Promise<void> {
  refuseOthersSocketUnit(socket);
  const folder = Folder.open(FOLDER);
  if (folder === undefined) {
    throw new IlmError("NOT_FOUND", `${FOLDER} does not exist`, {
      remedy: "Socket units need systemd.",
    });
  }
  try {
    await folder.replaceText(socket, text, 0o644);
  } finally {
    folder.close();
  }
}
