/**
 * Finds what keeps a packet from coming in, and answers from leaving: interfaces, routes, addresses
 * that are not used, and neighbours that do not find them. Pure.
 */
import { judgeSolicitation } from "../config/nft/packet.js";
import type { Route } from "../kernel/route.js";
import { familyOf, isLoopback4, type Address } from "../model/address.js";
import type { Packet } from "../model/decision.js";
import { nameOfDropper, remedyForDropper } from "./filtered.js";
import type { Obstacle, Way } from "./obstacle.js";

/** Finds that nothing comes in where the packet would. */
export function linkObstacles(way: Way): Obstacle[] {
  const { link, isLinkOnly, interfaceName: name } = way;
  if (link !== null && !(link.up && link.carrier)) {
    // By another one, an IPv4 address is reached all the same.
    return [{ ...stillLink(name, link.up), kind: "link", sure: isLinkOnly }];
  }
  const { ipv6Off, isIpv6OffAll } = way;
  const isOff = link === null ? isIpv6OffAll : ipv6Off.includes(name);
  if (!isOff) return [];
  const where = isIpv6OffAll ? "all" : inSysctl(name);
  return [
    {
      kind: "link",
      sure: isLinkOnly || isIpv6OffAll,
      message: `${isIpv6OffAll ? "all interfaces drop" : `the interface ${name} drops`} IPv6 (net.ipv6.conf.${inSysctl(ipv6Off[0] ?? name)}.disable_ipv6)`,
      remedy: `Switch it on, and add the addresses that went with it again: sysctl -w net.ipv6.conf.${where}.disable_ipv6=0`,
    },
  ];
}

function stillLink(name: string, isUp: boolean): Pick<Obstacle, "message" | "remedy"> {
  return isUp
    ? {
        message: `the interface ${name} has no carrier, so nothing comes in there`,
        remedy: `Its cable, or what is at the other end, is missing: \`ip link show ${name}\`.`,
      }
    : {
        message: `the interface ${name} is down, so nothing comes in there`,
        remedy: `Bring it up: ip link set ${name} up`,
      };
}

/** Finds that there is none of the interfaces that a mapping names, such as a tunnel's. */
export function missingInterface(names: readonly string[]): Obstacle {
  return {
    kind: "link",
    sure: false,
    message: `there is no interface ${names.join(" or ")} now`,
    remedy: "The mapping works as soon as it comes; `ip link` shows those that there are.",
  };
}

/** Returns an interface's name as it is written in the name of a setting: dots divide that. */
function inSysctl(name: string): string {
  return name.replaceAll(".", "/");
}

export function routeObstacle(packet: Packet, way: Way): Obstacle[] {
  const { local, remote } = packet;
  const { route, interfaceName, routedTo, at } = way;
  const source = way.source ?? remote;
  const ip = familyOf(local) === 6 ? "ip -6" : "ip";
  switch (route.type) {
    case "local":
      return [];
    case "source":
      if (isLoopback4(local)) {
        return [
          {
            kind: "source",
            sure: true,
            message: `the kernel drops what comes in on ${interfaceName} for ${local}: only the machine itself reaches 127.0.0.0/8`,
            remedy: `Dial an address of this host. Where NAT leads packets to ${local}: sysctl -w net.ipv4.conf.${inSysctl(interfaceName)}.route_localnet=1`,
          },
        ];
      }
      return [
        {
          kind: "source",
          sure: true,
          message: `the kernel drops what comes from ${source} to ${local} on ${interfaceName}, ${familyOf(local) === 6 ? "" : `for its source (a martian, or net.ipv4.conf.${inSysctl(interfaceName)}.rp_filter) or `}by a rule (\`${ip} rule\`)`,
          remedy: `${familyOf(local) === 6 ? "" : remedyForSource(source, interfaceName)}Have the table of local addresses asked first: ${ip} rule add pref 0 lookup local`,
        },
      ];
    default:
      if (at !== null) return [unused(at)];
      return [way.isFloating ? away(local) : notHere(local, describeRoute(route.type, routedTo))];
  }

  /** Of an address that an interface has, and that is not the host's all the same. */
  function unused(place: NonNullable<Way["at"]>): Obstacle {
    const { interfaceName: on, duplicate, up, carrier, prefixLength } = place;
    const here = { kind: "address", sure: true } as const;
    if (!up) {
      return {
        ...here,
        message: `${local} is on ${on}, which is down, so this host does not use it`,
        remedy: `Bring the interface up: ip link set ${on} up`,
      };
    }
    if (duplicate === "taken") {
      return {
        ...here,
        message: `${local} is on ${on}, and another host on that link had it first (dadfailed), so this host does not use it`,
        remedy: `Take it from the other host, then add it again: ip addr del ${local}/${prefixLength} dev ${on} && ip addr add ${local}/${prefixLength} dev ${on}`,
      };
    }
    if (duplicate === "asking") {
      return {
        ...here,
        message: `${local} is on ${on}, and is not used before it is sure that no other host has it (tentative)`,
        remedy: carrier
          ? `That takes a second or two. Where addresses are known to be free: sysctl -w net.ipv6.conf.${inSysctl(on)}.accept_dad=0`
          : `It cannot be made sure while ${on} has no carrier: \`ip link show ${on}\`.`,
      };
    }
    return {
      kind: "route",
      sure: true,
      message: `${local} is an address of ${on}, and a rule (\`${ip} rule\`) comes before the table of local addresses: ${describeRoute(route.type, routedTo)}`,
      remedy: `Have that table asked first: ${ip} rule add pref 0 lookup local`,
    };
  }
}

function remedyForSource(source: Address, interfaceName: string): string {
  return `Is there a route back to ${source} by ${interfaceName}? (\`ip route get ${source}\`.) With several uplinks: sysctl -w net.ipv4.conf.${inSysctl(interfaceName)}.rp_filter=2. `;
}

function away(local: Address): Obstacle {
  return {
    kind: "away",
    sure: false,
    message: `${local} is not here now, which it is at times (floating)`,
    remedy: "The mapping works as soon as it comes.",
  };
}

function notHere(local: Address, becomes: string): Obstacle {
  const prefix = `${local}/${familyOf(local) === 6 ? 128 : 32}`;
  return {
    kind: "route",
    sure: true,
    message: `${local} is not an address of this host: ${becomes}, and no socket here gets it`,
    remedy: `Add it to an interface; or, for one that is routed to this host, write anyip: ["${prefix}"] in the configuration (by hand: ip route add local ${prefix} dev lo).`,
  };
}

/**
 * Finds that neighbours on the link, routers too, do not hear which hardware address to send to. A
 * router that has a route to the address by this host does not ask for it.
 */
export function neighbourObstacles({ local }: Packet, way: Way): Obstacle[] {
  const { resolution, interfaceName: name, link, isThere, firewall } = way;
  if (link === null || way.route.type !== "local") return [];
  if (resolution !== "answered") {
    return [{ ...unanswered(local, name, resolution), kind: "neighbour", sure: false }];
  }
  if (familyOf(local) === 4 || !link.resolves || !isThere) return [];
  const drop = judgeSolicitation(firewall.chains, local, name);
  if (drop === undefined) return [];
  return [
    {
      kind: "firewall",
      sure: true,
      message: `${nameOfDropper(drop)} drops ICMPv6, by which neighbours, routers too, find the IPv6 addresses of this host`,
      remedy: remedyForDropper(drop, { iptables: "-p ipv6-icmp", nft: "meta l4proto ipv6-icmp" }),
    },
  ];
}

function unanswered(
  local: Address,
  name: string,
  resolution: Exclude<Way["resolution"], "answered">,
): Pick<Obstacle, "message" | "remedy"> {
  const setting = `sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.${inSysctl(name)}.arp_ignore=0`;
  const only = "neighbours, routers too, find it only by a route or an entry of their own";
  switch (resolution) {
    case "silent":
      return {
        message: `this host does not answer ARP on ${name} (arp_ignore is 8): ${only}`,
        remedy: setting,
      };
    case "ignored":
      return {
        message: `this host does not answer ARP on ${name} for ${local}, which is elsewhere (arp_ignore): ${only}`,
        remedy: `Put it there, too (ip addr add ${local}/32 dev ${name}), or: ${setting}`,
      };
    case "elsewhere":
      return {
        message: `this host does not tell neighbours on ${name} of ${local}, which is elsewhere: ${only}`,
        remedy: `Put it there, too: ip addr add ${local}/128 dev ${name} nodad`,
      };
  }
}

/** Finds that answers do not leave. */
export function backObstacle({ local }: Packet, { back, source, isSourceOne }: Way): Obstacle[] {
  const types: readonly Route["type"][] = ["none", "unreachable", "blackhole", "prohibit"];
  if (back === null || source === null || !types.includes(back.type)) return [];
  const ip = familyOf(local) === 6 ? "ip -6" : "ip";
  const what = back.type === "none" ? "there is none" : `it is of the type ${back.type}`;
  return [
    {
      kind: "back",
      sure: isSourceOne,
      message: `answers from ${local} to ${source} do not leave, for want of a route: ${what}`,
      remedy: `Add one, such as \`${ip} route add default via ROUTER\`; \`${ip} route get ${source} from ${local}\` shows the route, and \`${ip} rule\` which tables are asked.`,
    },
  ];
}

function describeRoute(type: Route["type"], routedTo: string | null): string {
  switch (type) {
    case "none":
      return "there is no route to it";
    case "unicast":
      return `what is sent to it is routed on${routedTo === null ? "" : ` to ${routedTo}`} or dropped`;
    default:
      return `its route is of the type ${type}`;
  }
}
