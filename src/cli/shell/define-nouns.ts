/** Defines the commands that look and never change anything. */
import { Argument, Option } from "commander";
import { auditKinds } from "../../model/audit.js";
import type { AuditOptions } from "../commands/audit.js";
import { shownVerdicts } from "./decision-filter.js";
import {
  differencesOptions,
  fileOption,
  groups,
  limitOption,
  MAPPING_WORDS,
  mappingsArgument,
  namesOption,
  type Define,
} from "./define.js";
import { TIMES } from "./seconds.js";
import type { AddressOptions } from "../commands/address.js";
import type { DiffOptions } from "../commands/diff.js";
import type { ExplainOptions } from "../commands/explain.js";
import type { ExportOptions } from "../commands/export.js";
import type { HistoryOptions } from "../commands/history.js";
import type { ImportOptions } from "../commands/import.js";
import type { ListenersOptions } from "../commands/listeners.js";
import type { LimitOptions } from "./limit.js";
import type { SourceOptions } from "./load.js";
import type { MappingsOptions } from "../commands/mappings.js";
import type { StatusOptions } from "../commands/status.js";
import type { TimeoutOptions } from "../commands/wait.js";
import { metricsLimitOption } from "./metrics-options.js";
import { sortOrders } from "../../daemon/sort.js";
import type { MetricsOptions } from "../commands/metrics.js";
import type { MonitorOptions } from "../commands/monitor.js";

export function defineNouns(define: Define): void {
  define({
    name: "status",
    group: groups.look,
    summary: "show whether rules are active, since when, and any warnings",
    description: [
      "Ends with status 0 even when nothing is loaded; with --check, only when rules decide, nobody is refused who may dial a mapping, and there is no warning: each mapping has a listener that does not hang and is not drained, over each family of which it has a destination's address. A mapping of which one of several destinations is down is shown as degraded, and is no failure.",
    ],
    options: [new Option("--check", "end with status 1 unless all is well, for monitoring")],
    examples: [
      { command: "ilm status", purpose: "the state of this network namespace" },
      { command: "ilm status --check > /dev/null || alert", purpose: "from a monitoring system" },
      { command: "ilm status --json | jq .generation", purpose: "the same for a script" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/status.js")).status(context, options as StatusOptions),
  });
  define({
    name: "mappings",
    group: groups.look,
    summary:
      "show the active mappings, their counters, and which listener would get a connection now",
    description: [
      "Counters count lookups, not packets: for UDP, ICMP errors and GRO look up too. They continue across changes as long as a mapping keeps its name and protocol.",
      "--rate reads the counters twice, and shows what was counted in a second instead of in all. If the rules change in between, mappings whose counters may have begun anew have no rate (`?`).",
      "--sort begins with the largest number; what is alike stays in the order of the rules, which is the configuration's, with what was added at run time last. `rate` is that of `selected`.",
      "OPEN, with --connections, and for root where mappings are named, is how many connections of TCP and clients of UDP each destination has now. The kernel itself notes which listener accepted a connection. Those that were accepted before ilm knew the listener are not counted; MPTCP counts subflows.",
    ],
    arguments: [new Argument("[NAME...]", "only the mappings with these names")],
    options: [
      new Option("--protocol <PROTOCOL>", "only mappings for tcp, or for udp").choices([
        "tcp",
        "udp",
      ]),
      new Option(
        "--on <PREFIX>",
        "only mappings for this dialled address, or for one of this prefix; those for every address, too",
      ),
      new Option("--port <PORT>", "only mappings for this port, or one of a range: 8000-8099"),
      new Option(
        "--to <DESTINATION>",
        "only mappings that lead there: an address or a service, with or without a port",
      ),
      limitOption("show at most this many, from the first"),
      new Option("--sort <ORDER>", "in this order (default: rules)").choices(sortOrders),
      new Option(
        "--rate [SECONDS]",
        "measure how often each is used in a second, for this long (default: 1)",
      ),
      new Option(
        "--down",
        "only mappings that give nothing new to anyone: all of it, or over one family",
      ),
      new Option("--degraded", "only mappings of which one of several destinations is down"),
      new Option("--added", "only mappings that were added at run time"),
      new Option("--connections", "count what is open at each destination"),
      namesOption(),
    ],
    examples: [
      { command: "ilm mappings", purpose: "as a table" },
      { command: "ilm mappings --port 443 --to web", purpose: "those of a port to a service" },
      { command: "ilm mappings --on 203.0.113.5", purpose: "those that may decide for an address" },
      { command: "ilm mappings --down", purpose: "mappings that serve nobody, be it over IPv6" },
      { command: "ilm mappings --connections", purpose: "with what is open at each destination" },
      { command: "ilm mappings --sort rate --limit 10", purpose: "the ten that are used most now" },
    ],
    task:
      ([names], options) =>
      async (context) =>
        (await import("../commands/mappings.js")).mappings(
          context,
          options as MappingsOptions,
          names as string[],
        ),
  });
  define({
    name: "wait",
    group: groups.look,
    summary: "wait until mappings have a listener",
    description: [
      "A mapping is waited for until it is served as `ilm mappings --down` and `ilm status --check` understand it: somebody listens who gets what is dialled, over each family that it has a destination's address of. A service is waited for by itself, whoever else its mappings lead to: until somebody listens at each of its addresses that mappings lead to, also while it is drained.",
      "Ends with status 0 as soon as all are there at once, and with status 1 when the time is over: then it says which are not. A name that there is not, and a mapping that refuses on purpose (`to: none`) and so never has a listener, are errors of the command line (status 2).",
    ],
    arguments: [new Argument("<NAME...>", "mappings or services")],
    options: [new Option("--timeout <TIME>", `give up after this long (${TIMES}; default: 30)`)],
    examples: [
      {
        command: "systemctl restart nginx && ilm wait web",
        purpose: "until the service web is served again",
      },
      { command: "ilm wait tcp:443 --timeout 5", purpose: "a mapping, for five seconds at most" },
    ],
    task:
      ([names], options) =>
      async (context) =>
        (await import("../commands/wait.js")).wait(
          context,
          options as TimeoutOptions,
          names as string[],
        ),
  });
  define({
    name: "history",
    group: groups.look,
    summary: "show the changes of the rules: when, by whom, from what, and what changed",
    description: [
      "The latest first; `active` marks the rules that are active now. With a number, one change in full, mapping by mapping. The last 100 changes are kept, with their rules in at most 64 MiB: below /var/lib/ilm/history, over boots, and for other network namespaces than the host's own below /run/ilm, as long as they have rules. `ilm rollback` returns to one. It takes root.",
    ],
    arguments: [new Argument("[NUMBER]", "show this change in full")],
    options: [
      limitOption("show at most this many changes (default: 20); of one, this many of each kind"),
      new Option("--summary", "of one change, show how much differs, in one line"),
    ],
    examples: [
      { command: "ilm history", purpose: "what changed, and who changed it" },
      { command: "ilm history 1", purpose: "one change, mapping by mapping" },
    ],
    task:
      ([number], options) =>
      async (context) =>
        (await import("../commands/history.js")).history(
          context,
          options as HistoryOptions,
          number as string | undefined,
        ),
  });
  define({
    name: "export",
    group: groups.look,
    summary: "print what is active as a configuration that `apply` takes",
    description: [
      "Services, settings and mappings, in YAML; in JSON with --json. What is published is written as mappings, and addresses from `auto` as they are. Mappings added at run time come last, below a comment.",
    ],
    options: [
      new Option("--file-only", "leave out mappings that were added at run time"),
      new Option("--runtime", "only the mappings that were added at run time, with the services"),
      new Option("--ndjson", "one mapping on a line, which `apply` reads fastest, for many"),
    ],
    examples: [
      { command: "ilm export > now.yaml", purpose: "keep what is active" },
      { command: "ilm export --ndjson > now.ndjson", purpose: "many mappings" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/export.js")).exportRules(context, options as ExportOptions),
  });
  define({
    name: "listeners",
    group: groups.look,
    summary: "show who listens where, and which mappings lead there",
    description: [
      "Listening TCP and bound, unconnected UDP sockets, from the kernel's own tables.",
    ],
    options: [
      new Option("--mapped", "only listeners that a mapping leads to"),
      limitOption("show at most this many, from the first"),
    ],
    examples: [
      { command: "ilm listeners", purpose: "every listener of this network namespace" },
      { command: "ilm listeners --mapped", purpose: "only those with mappings" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/listeners.js")).listeners(context, options as ListenersOptions),
  });
  define({
    name: "flows",
    group: groups.look,
    summary: "show the UDP clients that mappings brought to daemons, and what each dialled",
    description: [
      "Replies to a client leave from the address that it dialled. A flow lives while either end sends, and 300 seconds longer; when the table is full, the oldest are evicted. `ilm status` counts them.",
    ],
    options: [limitOption("show at most this many, the latest")],
    examples: [
      { command: "ilm flows", purpose: "the latest first" },
      {
        command: "ilm flows --json | jq -r '.[].dialled.address' | sort | uniq -c",
        purpose: "clients by the address that they dialled",
      },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/flows.js")).flows(context, options as LimitOptions),
  });
  define({
    name: "metrics",
    group: groups.look,
    summary: "print the metrics in the text format of Prometheus",
    description: [
      "From the running `ilm run`, or without one from the kernel itself; then what only a daemon knows is not there: reloads, its process. `ilm run --metrics` serves the same for Prometheus.",
    ],
    options: [metricsLimitOption()],
    examples: [
      { command: "ilm metrics", purpose: "the page" },
      {
        command: "ilm metrics > /var/lib/prometheus/node-exporter/ilm.prom",
        purpose: "for node_exporter's textfile collector",
      },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/metrics.js")).metrics(context, options as MetricsOptions),
  });
  define({
    name: "explain",
    group: groups.look,
    summary: "show step by step what becomes of a packet, by the active rules or those of a file",
    description: [
      "Runs the program itself on a made-up packet; nothing is sent, and nothing is counted. It also checks routes, source filters, nftables and iptables rules, and other BPF programs: if one of them surely stops the packet, the verdict is `blocked`.",
      "With -f, it tells what the rules of a configuration decide, on any machine: that needs neither root nor BPF, and looks at nothing but the file. Who listens is then unknown, unless --listening says so.",
      "With - in the place of the protocol, it answers the lines of standard input, one after the other: `tcp 203.0.113.5:443 from 198.51.100.7:5555 by eth0 expect web`, of which only protocol, address and port are needed, or the same as JSON: protocol, dialled, from, interface, expect.",
      "What is expected is the name of the mapping by which a destination gets the packet; that destination, as a service or an address, with or without a port; none, for no mapping; or refused, for a mapping that refuses on purpose (to: none). A word that names both a mapping and a service has to be right for both; mapping:web and service:web say which is meant. A packet that nobody gets is never that of a mapping or a service, unless the mapping refuses on purpose. With -f, the destination is the first one, provided that it listens. Ends with status 1 when an answer is not as expected; a list without a question is an error.",
    ],
    arguments: [
      new Argument("<PROTOCOL>", "tcp or udp, or - for a list on standard input").choices([
        "tcp",
        "udp",
        "-",
      ]),
      new Argument("[ADDRESS:PORT]", "what the client dials: 203.0.113.5:443 or [2001:db8::5]:443"),
    ],
    options: [
      fileOption(),
      new Option(
        "--from <ADDRESS:PORT>",
        "the client (default: 198.51.100.7 or 2001:db8:ffff::7, with any port)",
      ),
      new Option(
        "--interface <NAME>",
        "the interface that the packet comes in on (default: the one that has the address; with -f, none that is known)",
      ),
      new Option(
        "--listening <ADDRESS:PORT>",
        "with -f: answer as if only this listened, or only these when given several times",
      ).argParser<string[] | undefined>((text, others) => [...(others ?? []), text]),
      new Option("--expect <WHAT>", "end with status 1 unless this is the answer, for tests"),
    ],
    examples: [
      { command: "ilm explain tcp 203.0.113.5:443", purpose: "who gets a connection to this port" },
      {
        command:
          "ilm explain udp '[2001:db8::5]:53' --from '[2001:db8:9::1]:5555' --interface eth0",
        purpose: "with everything said",
      },
      {
        command: "ilm explain -f ilm.yaml tcp 203.0.113.5:443 --expect web",
        purpose: "a test of a configuration that is not active",
      },
      {
        command: "ilm explain -f ilm.yaml - < expected.txt",
        purpose: "many of them",
      },
    ],
    task:
      ([protocol, dialled], options) =>
      async (context) =>
        (await import("../commands/explain.js")).explain(
          context,
          protocol as string,
          dialled as string | undefined,
          options as ExplainOptions,
        ),
  });
  define({
    name: "monitor",
    group: groups.look,
    summary: "show decisions as they are made",
    description: [
      "One line for each lookup of a managed port, or two on a narrow terminal: time, verdict, client, what was dialled, mapping and destination. Ctrl-C ends it, and standard error says what became of all decisions. It costs nothing while it is not running. With --json each line is one object.",
      "The kernel chooses, so that what the options leave out costs next to nothing, and hands out no more than --rate. What comes faster than that, or than the output is read, is dropped and counted. Up to 16 can watch at once, each what it wants.",
    ],
    options: [
      new Option("--protocol <PROTOCOL>", "only decisions for tcp, or for udp").choices([
        "tcp",
        "udp",
      ]),
      new Option("--on <PREFIX>", "only what was dialled at this address, or inside this prefix"),
      new Option("--port <PORT>", "only what was dialled at this port, or in this range"),
      new Option("--from <PREFIX>", "only clients with this address, or inside this prefix"),
      new Option("--mapping <MAPPING...>", "only decisions of the mappings with these names"),
      new Option("--verdict <VERDICT...>", "only decisions that came to this").choices(
        shownVerdicts,
      ),
      new Option("--sample <N>", "show one of N of these decisions, chosen at random"),
      new Option("--rate <N>", "show at most this many a second (default: 2000)"),
      new Option("--count <N>", "end after this many decisions"),
      new Option("--seconds <N>", "end after this many seconds"),
      new Option("--summary", "with --json, print the counts of all decisions on the last line"),
    ],
    examples: [
      { command: "ilm monitor", purpose: "until Ctrl-C" },
      {
        command: "ilm monitor --port 443 --from 198.51.100.0/24 --verdict missed rejected",
        purpose: "clients of one network that found nobody",
      },
      { command: "ilm monitor --json --count 10", purpose: "ten decisions, for a script" },
      { command: "ilm monitor --sample 100 --seconds 5", purpose: "of a flood, one of a hundred" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/monitor.js")).monitor(context, options as MonitorOptions),
  });
  define({
    name: "audit",
    group: groups.look,
    summary: "show who listens where it should not, who is missing, and what was refused",
    description: [
      "Lists listeners on every address, with the policy that applies to them; strangers on services' addresses and on mapped ports; services and mappings that nobody serves, or whose addresses this host does not have; privileges for low ports that are not needed any more; and what was refused within a day. Each finding has a remedy.",
      "Only reports; changes nothing. Ends with status 1 when there is a finding, of the given kinds if any are given.",
    ],
    options: [
      new Option("--kind <KIND...>", "only findings of these kinds").choices(auditKinds),
      limitOption("show at most this many, from the first"),
    ],
    examples: [
      { command: "ilm audit", purpose: "each finding with its remedy" },
      {
        command: "ilm audit --json --kind refused foreign-address mapped-port",
        purpose:
          "for monitoring: status 1 when somebody sits, or tried to sit, where others belong",
      },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/audit.js")).audit(context, options as AuditOptions),
  });
  define({
    name: "doctor",
    group: groups.look,
    summary: "check kernel, privileges, mounts and neighbours, each with its remedy",
    description: ["Ends with status 1 when there is an error; warnings alone are status 0."],
    examples: [
      {
        command: "ilm doctor",
        purpose: "before the first start, and whenever something looks wrong",
      },
    ],
    task: () => async (context) => (await import("../commands/doctor.js")).doctor(context),
  });
  define({
    name: "address",
    group: groups.look,
    summary: "show the addresses of services, also those that address: auto would give",
    description: [
      "The services are those of the file, or else of the active rules. For a name that is not among them, it shows what `address: auto` would give, and says so on standard error. The addresses of a single name are one on a line, for scripts.",
    ],
    arguments: [new Argument("[NAME...]", "only the services of these names")],
    options: [fileOption(), namesOption()],
    examples: [
      { command: "ilm address", purpose: "every service of the active rules" },
      { command: "ilm address web", purpose: "the addresses of one, for a script" },
      { command: "ilm address -f ilm.yaml web new", purpose: "before the file is applied" },
    ],
    task:
      ([names], options) =>
      async (context) =>
        (await import("../commands/address.js")).address(
          context,
          options as AddressOptions,
          names as string[],
        ),
  });
  define({
    name: "hosts",
    group: groups.look,
    summary: "print the addresses of services as lines of /etc/hosts",
    description: [
      "The services are those of the file, or else of the active rules. Nothing is written to /etc/hosts.",
    ],
    options: [fileOption()],
    examples: [
      { command: "ilm hosts", purpose: "the services of the active rules" },
      { command: "ilm hosts -f /etc/ilm/ilm.yaml", purpose: "those of a file" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/hosts.js")).hosts(context, options as SourceOptions),
  });
  define({
    name: "check",
    group: groups.look,
    summary: "check a configuration without touching anything",
    description: [
      "Shows every error at once, with file, line, column and a correction. Needs no privileges. Ends with status 3 when there is an error.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [fileOption()],
    examples: [
      { command: "ilm check -f /etc/ilm/ilm.yaml", purpose: "a file" },
      { command: "ilm check -f /etc/ilm/conf.d", purpose: "a folder of files" },
      { command: "ilm check tcp:8080=127.0.1.10:80", purpose: "a mapping as an argument" },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/check.js")).check(
          context,
          options as SourceOptions,
          mappings as string[],
        ),
  });
  define({
    name: "diff",
    group: groups.look,
    summary: "show what apply would change",
    description: [
      "Ends with status 0 when nothing would change, and 1 when something would.",
      "With --against, it compares two configurations. That needs neither root nor BPF, and looks at nothing but the files.",
      MAPPING_WORDS,
    ],
    arguments: [mappingsArgument()],
    options: [
      fileOption(),
      new Option(
        "--against <FILE>",
        "compare with this configuration, and not with the active rules",
      ),
      ...differencesOptions(),
    ],
    examples: [
      { command: "ilm diff -f /etc/ilm/ilm.yaml", purpose: "before applying a file" },
      {
        command: "git show HEAD:ilm.yaml | ilm diff --against - -f ilm.yaml",
        purpose: "what changed since the last commit",
      },
    ],
    task:
      ([mappings], options) =>
      async (context) =>
        (await import("../commands/diff.js")).diff(
          context,
          options as DiffOptions,
          mappings as string[],
        ),
  });
  define({
    name: "import",
    group: groups.look,
    summary: "print the rules of tubular, nftables or iptables as a configuration",
    description: [
      "Prints what mappings can express, and lists the rest on standard error, with the reason: then it ends with status 1. Input that is not what FORMAT says is status 2. Activates nothing.",
      "From nftables and iptables it takes redirections to this host that mappings decide exactly as NAT does: what an earlier rule exempts, and what the host dials itself, stays as it is. It names the rules to remove afterwards.",
    ],
    arguments: [
      new Argument("<FORMAT>", "where the rules come from").choices(["tubular", "nft"]),
      new Argument(
        "[FILE...]",
        "bindings as JSON; nft: what `nft -j list ruleset`, iptables-save and ip6tables-save print, default: ask them",
      ),
    ],
    options: [
      new Option(
        "--label <LABEL=DESTINATION...>",
        "where a label of tubular leads, e.g. web=127.0.1.10:80",
      ),
    ],
    examples: [
      {
        command: "ilm import tubular bindings.json --label web=127.0.1.10:80 > ilm.yaml",
        purpose: "bindings of tubular",
      },
      {
        command: "ilm import nft > ilm.yaml",
        purpose: "redirections of nftables and iptables on this host",
      },
      {
        command: "ilm import nft ruleset.json iptables.txt > ilm.yaml",
        purpose: "the same, from what nft and iptables-save printed",
      },
    ],
    task:
      ([format, files], options) =>
      async (context) =>
        (await import("../commands/import.js")).importRules(
          context,
          format as "tubular" | "nft",
          files as readonly string[],
          options as ImportOptions,
        ),
  });
}
