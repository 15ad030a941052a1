/**
 * podman and libvirt as they are, beside ilm: their NAT, published ports, and those who dial from
 * inside.
 */
import { expect, test } from "vitest";
import { Client } from "../support/client.js";
import { describeHost } from "../support/hosts.js";
import { addressesOf, families } from "../support/matrix.js";
import { eventually, must, words } from "../support/process.js";
import { describePublishedPort, webOf } from "../support/published.js";

describeHost(
  {
    title: "podman",
    tools: ["podman"],
    takes: families,
    container: async (stage) => await webOf(stage, "podman"),
    gateway: { 4: ["10.99.0.1"], 6: ["fd00:90d::1"] },
  },
  (stage) => {
    describePublishedPort(stage, { loopback: { 4: "container", 6: null }, inside: null });
  },
);

describeHost(
  {
    title: "libvirt",
    tools: ["libvirt"],
    takes: families,
    gateway: { 4: ["192.168.122.1"], 6: ["fd00:122::1"] },
    container: async ({ network: { server } }) => {
      const guest = await Client.make();
      await must(
        words(
          `ip link add vnet0 netns ${server.name} type veth peer name eth0 netns ${guest.name}`,
        ),
      );
      await server.must(words("ip link set vnet0 master virbr0 up"));
      await guest.must(words("ip addr add 192.168.122.2/24 dev eth0"));
      await guest.must(words("ip addr add fd00:122::2/64 dev eth0 nodad"));
      await guest.must(words("ip link set eth0 up"));
      await guest.must(words("ip route add default via 192.168.122.1"));
      await guest.must(words("ip -6 route add default via fd00:122::1"));
      await eventually("the bridge forwards what the guest sends", async () =>
        (await server.must(words("bridge link show dev vnet0"))).includes("state forwarding")
          ? true
          : null,
      );
      return guest;
    },
  },
  (stage) => {
    test("its dnsmasq keeps its guests' questions, and a mapping of port 53 has all others", async () => {
      const { network, lab, container } = stage;
      const { server, client } = network;
      await lab.open("dns", "tcp", "127.0.1.53", 53);
      const question = words("dig +tries=1 +noall +comments @192.168.122.1 guest.test");
      expect(await container.must(question)).toMatch(/status: [A-Z]+/);
      expect(await client.who("tcp", addressesOf[4].public, 53)).toBe("dns");
      expect((await server.ask(words("explain tcp 192.168.122.1:53 --json"))).json()).toMatchObject(
        { verdict: "existing" },
      );
    });
  },
);
