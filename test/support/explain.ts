/** What `ilm explain --json` says. */
import { endpoint, type Protocol } from "./matrix.js";
import type { Server } from "./server.js";

export interface Explained {
  readonly verdict: string;
  readonly decision: string;
  readonly obstacles: readonly {
    readonly kind: string;
    readonly sure: boolean;
    readonly message: string;
    readonly remedy: string;
  }[];
  readonly listener: { readonly address: string } | null;
  readonly steps: readonly string[];
}

export async function explain(
  server: Server,
  protocol: Protocol,
  address: string,
  port: number,
  ...more: readonly string[]
): Promise<Explained> {
  const command = ["explain", protocol, endpoint(address, port), ...more, "--json"];
  return JSON.parse((await server.ask(command)).stdout) as Explained;
}
