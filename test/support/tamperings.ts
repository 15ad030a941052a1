/** What is ours and another program removes, each by commands of a shell. */
import type { Protocol } from "./matrix.js";

export interface Tampering {
  readonly what: string;
  /** In a shell: $PINS is the folder of the namespace's pins. */
  readonly how: string;
  /** What `status` says of it. */
  readonly seen: RegExp;
  /** Whose dials fail until it is put back; of everybody else none does. */
  readonly stops?: readonly Protocol[];
}

/** The link that is pinned there. */
export const detach = (pin: string): string => `bpftool link detach pinned $PINS/${pin}`;
/** A program on the root cgroup. */
export const hook = (name: string): string => detach(`registry-*/link_${name}`);

export const tamperings: readonly Tampering[] = [
  {
    what: "the sk_lookup link is detached",
    how: detach("lookup"),
    seen: /DETACHED[^]*the sk_lookup program is not attached/,
    stops: ["tcp"],
  },
  {
    what: "cgroup/sockops is detached",
    how: hook("sockops"),
    seen: /cgroup\/sockops is not attached/,
  },
  {
    what: "cgroup/sendmsg4 and sendmsg6 are detached",
    how: `${hook("sendmsg4")}; ${hook("sendmsg6")}`,
    seen: /cgroup\/sendmsg6 is not attached/,
    stops: ["udp"],
  },
  {
    what: "cgroup/deliver is detached",
    how: hook("deliver"),
    seen: /cgroup\/deliver is not attached/,
    stops: ["udp"],
  },
  {
    what: "the pin of cgroup/post_bind4 is removed",
    how: "rm $PINS/registry-*/link_post_bind4",
    seen: /cgroup\/post_bind4 is not attached/,
  },
  {
    what: "ingress is taken off an interface",
    how: "for link in $PINS/registry-*/interfaces/ingress-*; do bpftool link detach pinned $link; done",
    seen: /up0[^]*are not handed over/,
    stops: ["udp"],
  },
  {
    what: "egress is taken off an interface",
    how: "for link in $PINS/registry-*/interfaces/egress-*; do bpftool link detach pinned $link; done",
    seen: /up0/,
    stops: ["udp"],
  },
  {
    what: "the pins of egress on an interface are removed",
    how: "rm $PINS/registry-*/interfaces/egress-*",
    seen: /up0/,
    stops: ["udp"],
  },
  {
    what: "a service's address is taken from lo",
    how: "ip addr del fd5e:ed00::10/128 dev lo",
    seen: /fd5e:ed00::10/,
  },
  {
    what: "lo goes down and up",
    how: "ip link set lo down; ip link set lo up",
    seen: /fd5e:ed00::10/,
  },
];
