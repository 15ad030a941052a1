/** What is known of programs and ports without asking them. Plain data. */

/** Units that are a part of the system, which depends on them as they are. */
export const hostsOwn =
  /^(?:systemd-[a-z-]+|init|dbus|NetworkManager|ModemManager|wpa_supplicant|iwd|dhcpcd|ifup@.+|networking|docker|containerd|libvirtd|virtnetworkd|lxc-net)\.(?:service|scope)$/;

/** UDP ports on which daemons take broadcasts or what is for a group, and why that matters. */
export const receiverPorts: ReadonlyMap<number, string> = new Map([
  [67, "it takes broadcasts (DHCP), which reach no other address"],
  [68, "it takes broadcasts (a DHCP client), which reach no other address"],
  [137, "it takes broadcasts (NetBIOS), which reach no other address"],
  [138, "it takes broadcasts (NetBIOS), which reach no other address"],
  [427, "it takes multicast (SLP), which reaches no other address"],
  [520, "it takes broadcasts (RIP), which reach no other address"],
  [546, "it takes multicast (a DHCPv6 client), which reaches no other address"],
  [547, "it takes multicast (DHCPv6), which reaches no other address"],
  [1900, "it takes multicast (SSDP), which reaches no other address"],
  [3702, "it takes multicast (WS-Discovery), which reaches no other address"],
  [5353, "it takes multicast (mDNS), which reaches no other address"],
  [5355, "it takes multicast (LLMNR), which reaches no other address"],
]);

/** Programs that send the first datagram from the port they listen on; null: at any port. */
const firstSpeakers: readonly (readonly [RegExp, readonly number[] | null])[] = [
  [/^ntpd$/, [123]],
  [/^(?:charon|charon-systemd|pluto|iked|racoon)$/, [500, 4500]],
  [/^(?:tincd|zerotier-one|tailscaled|nebula|wireguard-go)$/, null],
  [/^(?:consul|serf|nomad|corosync)$/, null],
  [/^(?:kamailio|opensips|asterisk|freeswitch)$/, null],
  [/^(?:transmission-da|qbittorrent|qbittorrent-nox|deluged|syncthing)$/, null],
];

/** Says why a UDP daemon is left alone, or null when nothing is known against it. */
export function speaksFirst(command: string, port: number): string | null {
  const speaks = firstSpeakers.some(
    ([name, ports]) => name.test(command) && (ports === null || ports.includes(port)),
  );
  return speaks
    ? "it sends from this port unasked, and what it sends would leave from a private address"
    : null;
}
