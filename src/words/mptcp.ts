/** Remedies for a daemon that listens with MPTCP, which a socket map refuses, in words. Pure. */
import type { Rules } from "../model/rules.js";

export const LOAD_MODULE =
  "load the kernel module ilm_lookup, whose engine reaches it (kmod/README.md)";

/** Returns an imperative sentence without its full stop. */
export function mptcpRemedy({ file }: Rules): string {
  return file.mptcp === "off"
    ? "Restart the daemon: with `mptcp: off` it listens with plain TCP from its next start, if it falls back as Go's programs do"
    : "Add `mptcp: off` to the configuration, apply it and restart the daemon, which then listens with plain TCP; or set it for that daemon alone (a Go program: GODEBUG=multipathtcp=0; systemd: SocketProtocol=tcp), or to all with `sysctl net.mptcp.enabled=0`";
}
