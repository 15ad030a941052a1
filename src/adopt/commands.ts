/** The commands by which daemons are restarted, and the steps of a plan in words. Pure. */
import type { AdoptedService, Plan, Restart } from "./service.js";

export type Command = readonly [string, ...string[]];

/** Returns the commands that restart a daemon, in order; none when that is not known. */
export function restartCommands(restart: Restart): readonly Command[] {
  switch (restart.kind) {
    case "unit":
      return [["systemctl", "restart", restart.unit]];
    case "sockets": {
      // systemd restarts no socket unit whose service runs.
      const all = [...restart.sockets, ...restart.services] as const;
      return [
        ["systemctl", "stop", ...all],
        ["systemctl", "start", ...all],
      ];
    }
    case "to-socket":
      return [
        ["systemctl", "daemon-reload"],
        ["systemctl", "stop", restart.unit],
        ["systemctl", "enable", "--quiet", "--now", restart.socket],
        ["systemctl", "start", restart.unit],
      ];
    case "from-socket":
      return [
        ["systemctl", "disable", "--quiet", "--now", restart.socket],
        ["systemctl", "stop", restart.unit],
        ["rm", "-f", `/etc/systemd/system/${restart.socket}`],
        ["systemctl", "daemon-reload"],
        ["systemctl", "start", restart.unit],
      ];
    case "command":
      return [["sh", "-c", restart.command]];
    case "unknown":
      return [];
  }
}

/** Returns how a daemon is restarted on the way back from a move. */
export function reverse(restart: Restart): Restart {
  if (restart.kind === "to-socket") return { ...restart, kind: "from-socket" };
  return restart.kind === "from-socket" ? { ...restart, kind: "to-socket" } : restart;
}

/** Shows a command as a shell takes it. */
export function commandText(command: Command): string {
  const [program, flag, ...rest] = command;
  if (program === "sh" && flag === "-c") return rest.join(" ");
  return command.map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[A-Za-z0-9._:/@=,%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export interface StepOptions {
  readonly way: "adopt" | "undo";
  readonly spareSshPort: number;
}

/** Says what is done for each service, in their order, with the exact commands. */
export function planSteps({ services }: Plan, options: StepOptions): string[] {
  const from = options.way === "adopt" ? "wildcard" : "private";
  return services
    .filter((service) => service.place === from && isRestartable(service))
    .map((service) => `${service.name}: ${serviceStep(service, options)}`);
}

/** Returns who would be moved if it were known how to restart them, each with what to do. */
export function planStuck({ services }: Plan, { way }: Pick<StepOptions, "way">): string[] {
  const from = way === "adopt" ? "wildcard" : "private";
  return services
    .filter((service) => service.place === from && !isRestartable(service))
    .map(({ name }) => `${name}: ${noRestart(name)}`);
}

/** Says what is missing where a service cannot be restarted. */
export function noRestart(name: string): string {
  return `no command is known that restarts it; give one: --restart ${name}=COMMAND`;
}

function isRestartable({ restart }: AdoptedService): boolean {
  return restartCommands(restart).length > 0;
}

function serviceStep({ restart, isSsh }: AdoptedService, options: StepOptions): string {
  const restarted = restartCommands(restart).map(commandText).join(" && ");
  return isSsh
    ? `start a second sshd on port ${options.spareSshPort}; ${restarted}; end the second sshd after a new login`
    : restarted;
}
