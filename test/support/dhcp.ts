/**
 * A network whose addresses come from a router: dnsmasq for DHCP and advertisements, and udhcpc as
 * its client.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Namespace } from "./namespace.js";
import { hostsTree } from "./paths.js";
import { type Background, eventually } from "./process.js";

/** The router's own prefix of IPv4. */
const NETWORK = "192.0.2";

/** Tells the clients of an interface which addresses they have. */
export class Router {
  readonly #namespace: Namespace;
  readonly #device: string;
  readonly #leases: string;
  #process: Background | null = null;

  constructor(namespace: Namespace, device: string) {
    this.#namespace = namespace;
    this.#device = device;
    this.#leases = join(namespace.folder, `leases-${device}`);
  }

  /** Gives out the one IPv4 address, and advertises the IPv6 prefix, from now on. */
  async give(last: number, prefix: string): Promise<void> {
    await this.#process?.stop();
    await this.#namespace.must([
      "ip",
      "addr",
      "add",
      `${prefix}1/64`,
      "dev",
      this.#device,
      "nodad",
    ]);
    writeFileSync(this.#leases, "");
    const address = `${NETWORK}.${last}`;
    this.#process = this.#namespace.start([
      "dnsmasq",
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--port=0",
      "--user=root",
      `--interface=${this.#device}`,
      `--dhcp-leasefile=${this.#leases}`,
      `--pid-file=${join(this.#namespace.folder, "dnsmasq.pid")}`,
      "--dhcp-authoritative",
      "--no-ping",
      `--dhcp-range=${address},${address},2m`,
      `--dhcp-range=${prefix},ra-only,64,10m`,
      "--enable-ra",
      `--ra-param=${this.#device},4,600`,
      "--log-facility=-",
    ]);
  }
}

/** udhcpc, as a distribution runs it, on an interface of the namespace. */
export class DhcpClient {
  readonly #process: Background;

  private constructor(process: Background) {
    this.#process = process;
  }

  static start(namespace: Namespace, device: string): DhcpClient {
    const script = join(namespace.folder, "udhcpc.sh");
    writeFileSync(
      script,
      `#!/bin/sh
case $1 in
  deconfig) ip -4 addr flush dev "$interface" ;;
  bound | renew) ip -4 addr flush dev "$interface"; ip addr add "$ip/$mask" dev "$interface" ;;
esac
`,
    );
    chmodSync(script, 0o755);
    const busybox = `${hostsTree}/usr/bin/busybox`;
    return new DhcpClient(
      namespace.start([busybox, "udhcpc", "-f", "-i", device, "-s", script, "-t", "20", "-T", "1"]),
    );
  }

  /** Asks for its address again. */
  renew(): void {
    this.#process.signal("SIGUSR1");
  }

  /** Gives it back. */
  release(): void {
    this.#process.signal("SIGUSR2");
  }
}

/** Waits until the namespace has an address on the interface that is usable. */
export async function untilAddress(
  namespace: Namespace,
  device: string,
  isWanted: (address: string) => boolean,
): Promise<string> {
  return await eventually(`an address on ${device}`, async () => {
    const shown = JSON.parse(await namespace.must(["ip", "-j", "addr", "show", "dev", device])) as {
      readonly addr_info?: readonly { readonly local: string; readonly tentative?: boolean }[];
    }[];
    const found = (shown[0]?.addr_info ?? []).find(
      ({ local, tentative }) => tentative !== true && isWanted(local),
    );
    return found?.local ?? null;
  });
}
