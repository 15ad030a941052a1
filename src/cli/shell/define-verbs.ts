/** Defines the commands that change the active rules. */
import { Argument, Option } from "commander";
import type { AdoptCommandOptions } from "../commands/adopt.js";
import type { AddOptions } from "../commands/add.js";
import type { DrainOptions } from "../commands/drain.js";
import { collect } from "./collect.js";
import {
  confirmOption,
  differencesOptions,
  dryRunOption,
  fileOption,
  groups,
  MAPPING_WORDS,
  mappingsArgument,
  overNewerOption,
  replaceOption,
  timingOption,
  waitOption,
  type Define,
} from "./define.js";
import { TIMES } from "./seconds.js";
import { metricsLimitOption, metricsOption } from "./metrics-options.js";
import type { RunOptions } from "../commands/run.js";
import type { ApplyCommandOptions } from "../commands/apply.js";
import type { RollbackOptions } from "../commands/rollback.js";
import type { ConfirmCommandOptions } from "../commands/confirm.js";
import type { RemoveOptions } from "../commands/remove.js";
import type { TimingOptions } from "./timing.js";
import type { WaitOptions } from "./wait.js";

export function defineVerbs(define: Define): void {
  define({
    name: "run",
    group: groups.change,
    summary:
      "activate rules, then keep running: follow listeners and the file, serve the API and metrics",
    description: [
      "The file (or folder, or each of several) is re-read when it changes and on SIGHUP; if it is wrong, the active rules stay, and the log and `ilm status` say so. If it is wrong at the start, `run` begins with the last version that was right, of which it keeps a copy below /var/lib/ilm, and goes on following the file; without a copy it ends with status 3. If the host runs short of something (file descriptors, memory, disk space, a file system that answers), `run` tries again by itself. SIGTERM and SIGINT end the daemon and leave the rules active. Without a file or mappings it keeps the rules that are already active.",
      "While it runs, it makes all changes: other commands hand theirs to it. A file applied that way is the one it follows from then on. It serves the API and /metrics on /run/ilm/ilm.sock (/run/ilm/NETNS.sock in a network namespace that is not the host's own), for root and for members of the groups that --readers and --writers name, and notifies systemd when it is ready. The log goes to standard error; with --json each line is one object.",
      "It gives up all capabilities but CAP_NET_ADMIN and CAP_SYS_ADMIN: it starts again with these, as the same process. So it reads a file that root could read without capabilities; --keep CAP_DAC_READ_SEARCH lets it read all.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [
      new Option(
        "-f, --file <FILE>",
        "configuration: a file, or a folder of files; several are read as one",
      ).argParser(collect),
      new Option(
        "--readers <GROUP>",
        "members of this group may read over the API: `ilm status`, `ilm mappings`, metrics and events",
      ),
      new Option(
        "--writers <GROUP>",
        "members of this group may read and change over the API: also `ilm apply`, add, remove, drain, off, on and unload",
      ),
      new Option(
        "--keep <CAPABILITIES>",
        "capabilities to keep as well, separated by commas; `all` gives up none",
      ),
      metricsOption(),
      metricsLimitOption(),
      replaceOption(),
      overNewerOption(),
    ],
    examples: [
      { command: "ilm run -f /etc/ilm/ilm.yaml", purpose: "as a service does" },
      {
        command: "ilm run tcp:8080=127.0.1.10:80 'udp:53=[fd5e:ed00::53]'",
        purpose: "without a file",
      },
      {
        command: "ilm run -f /etc/ilm/ilm.yaml --readers monitoring --writers deploy",
        purpose: "with rights for two groups",
      },
      {
        command: "ilm run -f /etc/ilm/ilm.yaml --metrics 127.0.0.1:9465",
        purpose: "with metrics that Prometheus can scrape",
      },
      {
        command: "curl --unix-socket /run/ilm/ilm.sock http://ilm/metrics",
        purpose: "the metrics of the host's own daemon",
      },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/run.js")).run(
          context,
          options as RunOptions,
          mappings as string[],
        ),
  });
  define({
    name: "apply",
    group: groups.change,
    summary: "apply a configuration in one atomic step, then exit",
    description: [
      "The rules stay active after it exits; no daemon is needed. Mappings added at run time stay too, also when an earlier version of ilm added them.",
      "The file may be a pipe, such as the shell's <(...); the command gives up when the pipe is silent for 30 seconds.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [
      fileOption(),
      replaceOption(),
      dryRunOption(),
      ...differencesOptions("with --dry-run: "),
      confirmOption(),
      waitOption(),
      timingOption(),
      overNewerOption(),
    ],
    examples: [
      { command: "ilm apply -f /etc/ilm/ilm.yaml", purpose: "a file" },
      { command: "generate-rules | ilm apply -f -", purpose: "from another program" },
      { command: "ilm apply tcp:80=127.0.1.10 tcp:443=127.0.1.10", purpose: "without a file" },
      {
        command: "ilm apply -f new.yaml --confirm 60",
        purpose: "when the change may lock you out: it goes back unless `ilm confirm` comes",
      },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/apply.js")).apply(
          context,
          options as ApplyCommandOptions,
          mappings as string[],
        ),
  });
  define({
    name: "adopt",
    group: groups.change,
    summary: "move the daemons that listen on every address to addresses of their own",
    description: [
      "Looks at what listens on this host, writes a configuration with a service for each systemd unit (or user), its ports and `wildcard: rewrite`, and restarts the daemons one after the other. New connections wait during a restart: nobody is refused. SSH comes last, with a second sshd until a new login was seen. What it leaves alone is listed with the reason.",
      "--undo goes the same way back. An interrupted run is continued by running the command again. See docs/adopt.md.",
    ],
    arguments: [
      new Argument("[NAME...]", "only these units, users or services; default: all that can be"),
    ],
    options: [
      new Option(
        "-f, --file <FILE>",
        "the configuration to write (default: /etc/ilm/ilm.yaml); one that others have written or changed is refused",
      ),
      new Option(
        "--dry-run",
        "change nothing: print the configuration, the steps, and what is left alone",
      ),
      new Option("--undo", "move them back, and take them out of the file"),
      new Option(
        "--lines",
        "change nothing: print what to write into each daemon's own configuration, so that it listens on its own addresses by itself",
      ),
      new Option(
        "--restart <NAME=COMMAND...>",
        "how to restart what is no systemd unit, e.g. app=/opt/app/restart.sh",
      ),
      new Option(
        "--socket-units <NAME...>",
        "write a socket unit for these, so that they start with the first connection; the daemon has to take its sockets from systemd (sd_listen_fds)",
      ),
      new Option(
        "--drain <TIME>",
        `how long open connections get to end before a restart (${TIMES}; default: 3)`,
      ),
      new Option(
        "--start-timeout <TIME>",
        "how long a restarted daemon gets to listen again, before it is taken back (default: 60)",
      ),
      new Option(
        "--spare-ssh-port <PORT>",
        "the port of the second sshd (default: the first free one from 2222 on)",
      ),
      new Option(
        "--login-timeout <TIME>",
        "how long to wait for a new login over SSH; without one, the second sshd stays (default: 300)",
      ),
    ],
    examples: [
      { command: "ilm adopt --dry-run", purpose: "what would be done" },
      { command: "ilm adopt nginx redis-server", purpose: "begin with two of them" },
      { command: "ilm adopt", purpose: "all of them" },
      { command: "ilm adopt --undo", purpose: "leave the host as it was" },
    ],
    task:
      ([names], options) =>
      async (context) =>
        (await import("../commands/adopt.js")).adopt(
          context,
          options as AdoptCommandOptions,
          names as string[],
        ),
  });
  define({
    name: "reload",
    group: groups.change,
    summary: "have the running `ilm run` read its file again, and wait for it",
    description: [
      "The daemon does so by itself when the file changes. This waits until the rules are active, says what has changed, and ends with status 3 when the file is wrong: then the active rules stay. It is what systemd calls (`systemctl reload ilm`).",
    ],
    options: [timingOption()],
    examples: [{ command: "ilm reload", purpose: "after a change, to hear whether it is right" }],
    task: (_operands, options) => async (context) =>
      (await import("../commands/reload.js")).reload(context, options as TimingOptions),
  });
  define({
    name: "add",
    group: groups.change,
    summary: "add mappings at run time",
    description: [
      "They are kept beside the file's mappings, survive reloads and restarts of the daemon, and last until `ilm remove` or `ilm unload`. A mapping that ties with another is refused.",
      "With --for, the kernel passes them over from then on, and connections go where they would without them; no process is needed for that. The next change, or a running `ilm run`, then removes them.",
      MAPPING_WORDS,
    ],
    arguments: [new Argument("<MAPPING...>", "e.g. tcp:8080=127.0.1.10:80")],
    options: [
      new Option("--replace", "replace a mapping of the same name that was added before"),
      new Option(
        "--for <TIME>",
        `let them end by themselves after this time (${TIMES}); with --replace, from now on again`,
      ),
      dryRunOption(),
      ...differencesOptions("with --dry-run: "),
      confirmOption(),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm add tcp:8080=127.0.1.10:80", purpose: "one more port for a daemon" },
      {
        command: "ilm add --replace tcp:8080=127.0.1.11:80",
        purpose: "to another daemon, without interruption",
      },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/add.js")).add(
          context,
          options as AddOptions,
          mappings as string[],
        ),
  });
  define({
    name: "remove",
    group: groups.change,
    summary: "remove mappings that were added at run time",
    description: [
      "Takes their names, or the text that they were added with. To remove a mapping of a file, edit the file.",
    ],
    arguments: [new Argument("<NAME...>", "as `ilm mappings` shows it, e.g. tcp:8080")],
    options: [
      dryRunOption(),
      ...differencesOptions("with --dry-run: "),
      confirmOption(),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm remove tcp:8080", purpose: "the mapping that `ilm add tcp:8080=...` added" },
    ],
    task:
      ([names], options) =>
      async (context) =>
        (await import("../commands/remove.js")).remove(
          context,
          options as RemoveOptions,
          names as string[],
        ),
  });
  define({
    name: "drain",
    group: groups.change,
    summary: "let a destination get nobody new, so that it empties",
    description: [
      "New connections go to the other destinations of each mapping at once. Connections that it has go on, and so do UDP clients that it has served, until both ends have been silent for 300 seconds. It is refused where nobody would be left, unless --force is given. It lasts until `ilm undrain` or `ilm unload`, through changes of the file, restarts of the daemon and upgrades. Without a destination it lists what is drained.",
      "With --until-idle it waits for connections however they came, as `ilm mappings --connections` counts them: those that were accepted before ilm knew the listener are not seen. When the time is over the destination stays drained.",
    ],
    arguments: [
      new Argument(
        "[DESTINATION...]",
        "an address or a service, with or without the daemon's port, perhaps with the protocol in front: web, web:8080, 127.0.1.10:80, udp:web",
      ),
    ],
    options: [
      new Option(
        "--force",
        "also where nobody would be left: new connections then end as if nobody listened (`miss`)",
      ),
      new Option(
        "--until-idle",
        "wait until no connection and no UDP client is left there, for root only",
      ),
      new Option(
        "--timeout <TIME>",
        `with --until-idle: give up after this long (${TIMES}), with status 1`,
      ),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm drain web:8080", purpose: "before the daemon is stopped" },
      {
        command: "ilm drain --until-idle --timeout 60 web:8080",
        purpose: "and wait until everybody has gone",
      },
      { command: "ilm drain", purpose: "what is drained" },
    ],
    task:
      ([destinations], options) =>
      async (context) =>
        (await import("../commands/drain.js")).drain(
          context,
          options as DrainOptions,
          destinations as string[],
        ),
  });
  define({
    name: "undrain",
    group: groups.change,
    summary: "let a drained destination get new connections again",
    description: ["Takes what `ilm drain` was given, as `ilm drain` without arguments lists it."],
    arguments: [new Argument("<DESTINATION...>", "as `ilm drain` lists it")],
    options: [waitOption(), timingOption()],
    examples: [{ command: "ilm undrain web:8080", purpose: "after `ilm drain web:8080`" }],
    task:
      ([destinations], options) =>
      async (context) =>
        (await import("../commands/undrain.js")).undrain(
          context,
          options as DrainOptions,
          destinations as string[],
        ),
  });
  define({
    name: "rollback",
    group: groups.change,
    summary: "make the rules of an earlier change active again",
    description: [
      "Without a number, those before the last change; with one, those after that change, as `ilm history` lists them: mappings of files and those added at run time, and whether ilm is off. It is a change like any other, and can be taken back itself. The files stay as they are: a running daemon applies them again when they change, or by `ilm reload`; one that starts with the text that was turned away stays with the rollback, and says so.",
      "While a change waits for `ilm confirm`, a rollback without a number takes it back; once it has gone back, there is nothing left to take back, and a number is needed.",
    ],
    arguments: [new Argument("[NUMBER]", "the change whose rules are wanted")],
    options: [
      dryRunOption(),
      ...differencesOptions("with --dry-run: "),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm rollback", purpose: "take the last change back" },
      { command: "ilm rollback 1 --dry-run", purpose: "what would differ from now" },
    ],
    task:
      ([number], options) =>
      async (context) =>
        (await import("../commands/rollback.js")).rollback(
          context,
          options as RollbackOptions,
          number as string | undefined,
        ),
  });
  define({
    name: "confirm",
    group: groups.change,
    summary: "keep a change that was made with --confirm",
    description: [
      "Without this the rules before the change decide again once its time is over; the kernel's programs see to that by themselves. `status` shows until when. After that time this fails, and says so.",
      "Until the change is decided about, no other can be made, except off, on, unload, and a rollback, which takes it back. `ilm history` tells how it ended. A running `ilm run` leaves its file alone until then.",
    ],
    options: [
      new Option("--back", "take the change back now, instead of keeping it"),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm confirm", purpose: "all is well after `ilm apply --confirm 60`" },
      { command: "ilm confirm --back", purpose: "it is not" },
    ],
    task: (_, options) => async (context) =>
      (await import("../commands/confirm.js")).confirm(context, options as ConfirmCommandOptions),
  });
  define({
    name: "off",
    group: groups.change,
    summary: "switch all mappings off at once, and keep everything for `ilm on`",
    description: [
      "New connections and datagrams go where they would without ilm; established connections continue. Rules, counters and known listeners stay, and rules can still be changed. ilm stays off until `ilm on`, even when a daemon starts or re-reads its file; `status` shows it.",
    ],
    examples: [
      { command: "ilm off", purpose: "find out whether ilm is the cause; `ilm on` goes back" },
    ],
    options: [waitOption(), timingOption()],
    task: (_, options) => async (context) =>
      (await import("../commands/off.js")).off(context, options as WaitOptions & TimingOptions),
  });
  define({
    name: "on",
    group: groups.change,
    summary: "switch the mappings on again, after `ilm off`",
    description: ["Uses the rules that are active now, including changes made while ilm was off."],
    examples: [{ command: "ilm on", purpose: "after `ilm off`" }],
    options: [waitOption(), timingOption()],
    task: (_, options) => async (context) =>
      (await import("../commands/on.js")).on(context, options as WaitOptions & TimingOptions),
  });
  define({
    name: "unload",
    group: groups.change,
    summary: "detach and remove everything",
    description: [
      "Programs, maps, links, files, and the addresses that ilm put on lo. A running daemon ends too. Of the host's own network namespace, the history stays on disk: `ilm rollback` makes the rules active again.",
    ],
    options: [waitOption(), timingOption()],
    examples: [{ command: "ilm unload", purpose: "leave the kernel as if ilm had never run" }],
    task: (_, options) => async (context) =>
      (await import("../commands/unload.js")).unload(
        context,
        options as WaitOptions & TimingOptions,
      ),
  });
}
