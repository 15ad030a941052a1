/** Defines the commands that change the active rules. */
import { Argument, Option } from "commander";
import type { AddOptions } from "../commands/add.js";
import {
  dryRunOption,
  fileOption,
  groups,
  MAPPING_WORDS,
  mappingsArgument,
  overNewerOption,
  timingOption,
  waitOption,
  type Define,
} from "./define.js";
import type { ApplyOptions } from "../../dataplane/types.js";
import type { SourceOptions } from "./load.js";
import type { ApplyCommandOptions } from "../commands/apply.js";
import type { RemoveOptions } from "../commands/remove.js";
import type { TimingOptions } from "./timing.js";
import type { WaitOptions } from "./wait.js";

export function defineVerbs(define: Define): void {
  define({
    name: "run",
    group: groups.change,
    summary: "put rules in force, then stay: follow listeners and the file, serve API and metrics",
    description: [
      "The file (or folder) is read again when it changes and on SIGHUP; when it is wrong then, the rules in force stay, and the log and `ilm status` say so. What fails because the host is short of something (descriptors, memory, room, a file system that answers) is tried again by itself. SIGTERM and SIGINT end the daemon and leave the rules in force. Without a file and mappings it goes on with what is in force.",
      "While it is at work it alone writes: apply, add, remove and unload hand their change to it. A file that is applied that way is the one it follows from then on. It serves the API and /metrics on /run/ilm/NETNS.sock, for root only, and tells systemd when it is ready. The log goes to standard error; with --json each line is one object.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [
      new Option("-f, --file <FILE>", "configuration: a file, or a folder of files"),
      overNewerOption(),
    ],
    examples: [
      { command: "ilm run -f /etc/ilm/ilm.yaml", purpose: "as a service does" },
      {
        command: "ilm run tcp:8080=127.0.1.10:80 'udp:53=[fd5e:ed00::53]'",
        purpose: "without a file",
      },
      {
        command: "curl --unix-socket /run/ilm/4026531840.sock http://ilm/metrics",
        purpose: "the metrics of a daemon; `ilm status` shows the number",
      },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/run.js")).run(
          context,
          options as SourceOptions & ApplyOptions,
          mappings as string[],
        ),
  });
  define({
    name: "apply",
    group: groups.change,
    summary: "make the kernel do what the file says, in one atomic step, then exit",
    description: [
      "What it puts in force stays after it exits; no daemon is needed. Mappings added at run time stay too, also when an earlier version of ilm added them.",
      "The file may be a pipe, such as the shell's <(...), which is given up when nothing comes out of it for 30 seconds.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [fileOption(), dryRunOption(), waitOption(), timingOption(), overNewerOption()],
    examples: [
      { command: "ilm apply -f /etc/ilm/ilm.yaml", purpose: "a file" },
      { command: "generate-rules | ilm apply -f -", purpose: "from another program" },
      { command: "ilm apply tcp:80=127.0.1.10 tcp:443=127.0.1.10", purpose: "without a file" },
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
    name: "add",
    group: groups.change,
    summary: "add mappings at run time",
    description: [
      "They live beside the file's, survive reloads and restarts of the daemon, and go with `ilm remove` or `ilm unload`. A mapping that ties with another is refused.",
      MAPPING_WORDS,
    ],
    arguments: [new Argument("<MAPPING...>", "e.g. tcp:8080=127.0.1.10:80")],
    options: [
      new Option("--replace", "take the place of a mapping of the same name that was added before"),
      dryRunOption(),
      waitOption(),
      timingOption(),
    ],
    examples: [
      { command: "ilm add tcp:8080=127.0.1.10:80", purpose: "one more port for a daemon" },
      {
        command: "ilm add --replace tcp:8080=127.0.1.11:80",
        purpose: "to another daemon, without a gap",
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
      "By name, or by the very text that they were added with. Mappings of a file are removed in the file.",
    ],
    arguments: [new Argument("<NAME...>", "as `ilm mappings` shows it, e.g. tcp:8080")],
    options: [dryRunOption(), waitOption(), timingOption()],
    examples: [{ command: "ilm remove tcp:8080", purpose: "what `ilm add tcp:8080=...` added" }],
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
    name: "off",
    group: groups.change,
    summary: "stop deciding at once, and keep everything for `ilm on`",
    description: [
      "New connections and datagrams go where they would without ilm; connections that were made go on. Rules, counters and what is known of listeners stay, and rules may be changed. It stays so until `ilm on`, also when a daemon starts or reads its file again; `status` says it.",
    ],
    examples: [
      { command: "ilm off", purpose: "is it ilm? Look without, and go back with `ilm on`" },
    ],
    options: [waitOption(), timingOption()],
    task: (_, options) => async (context) =>
      (await import("../commands/off.js")).off(context, options as WaitOptions & TimingOptions),
  });
  define({
    name: "on",
    group: groups.change,
    summary: "decide again, as before `ilm off`",
    description: ["By the rules that are in force now."],
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
      "Programs, maps, links, files, and the addresses that ilm put on lo. A daemon that is at work ends with it.",
    ],
    options: [waitOption(), timingOption()],
    examples: [{ command: "ilm unload", purpose: "as if ilm had never been there" }],
    task: (_, options) => async (context) =>
      (await import("../commands/unload.js")).unload(
        context,
        options as WaitOptions & TimingOptions,
      ),
  });
}
