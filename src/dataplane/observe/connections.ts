/** Counts the connections that destinations' listeners accepted, from the kernel's own tables. */
import { connectionLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import { addressFromBytes } from "../../model/address.js";
import type { Connections } from "../../model/connection.js";

/**
 * Counts the listing's records. Records that are alike become one value: a hundred thousand
 * connections of some clients are few.
 */
export function countConnections(records: Uint8Array): Connections[] {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
  const counts = new Map<string, number>();
  for (let at = 0; at < bytes.length; at += connectionLayout.size) {
    const key = bytes.toString("latin1", at, at + connectionLayout.size);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => {
    const record = decode(connectionLayout, Buffer.from(key, "latin1"));
    return {
      dialled: { address: addressFromBytes(record.dialled), port: record.dialledPort },
      client: addressFromBytes(record.client),
      daemon: { address: addressFromBytes(record.address), port: record.port },
      count,
    };
  });
}
