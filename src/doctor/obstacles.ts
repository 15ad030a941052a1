/**
 * Finds what keeps a packet from the decision, or may. This is done apart from the program, which
 * only sees packets that got that far. Pure.
 */
import type { Packet } from "../model/decision.js";
import { backObstacle, linkObstacles, neighbourObstacles, routeObstacle } from "./arriving.js";
import { conntrackObstacle, firewallObstacles } from "./filtered.js";
import type { Ingress, Obstacle, Way } from "./obstacle.js";
import { lookupDetached, switchedOff, overtakenWarning, uncoveredWarning } from "./warnings.js";

/** Finds obstacles on the way. `ingress` is null where sk_lookup selects. */
export function findObstacles(packet: Packet, way: Way, ingress: Ingress | null): Obstacle[] {
  const { interfaceName: name } = way;
  return [
    ...linkObstacles(way),
    ...routeObstacle(packet, way),
    ...neighbourObstacles(packet, way),
    ...(way.xdp
      ? [
          {
            kind: "program" as const,
            sure: false,
            message: `an XDP program on ${name} sees every packet first, and may drop it or send it elsewhere`,
            remedy: `\`ip link show ${name}\` names it.`,
          },
        ]
      : []),
    ...firewallObstacles(packet, way),
    ...conntrackObstacle(packet, way),
    ...backObstacle(packet, way),
    ...(ingress === null ? [] : ingressObstacles(name, ingress)),
    ...(way.off ? [{ ...switchedOff, sure: true }] : []),
    // What ingress hands over does not need sk_lookup.
    ...(way.detached && ingress === null
      ? [{ kind: "detached" as const, sure: true, ...lookupDetached }]
      : []),
    ...(way.otherPrograms.length === 0
      ? []
      : [
          {
            kind: "program" as const,
            sure: false,
            message: `${way.otherPrograms.join(", ")} (not ilm's) ${way.otherPrograms.length === 1 ? "selects" : "select"} sockets too, and the last program that selects one wins`,
            remedy:
              "Make sure that they do not handle the same ports; `bpftool link show` lists them.",
          },
        ]),
  ];
}

function ingressObstacles(name: string, { overtaken, uncovered }: Ingress): Obstacle[] {
  const found: Obstacle[] = [];
  if (uncovered.includes(name)) {
    const { message, remedy } = uncoveredWarning([name]);
    found.push({ kind: "interface", sure: true, message, remedy });
  }
  for (const one of overtaken) {
    if (one.interface !== name || one.direction !== "ingress") continue;
    const { message, remedy } = overtakenWarning(one);
    found.push({ kind: "program", sure: false, message, remedy });
  }
  return found;
}
