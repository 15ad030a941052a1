/**
 * The words by which users of other programs ask for what our commands do. None leads to what
 * destroys, and what interrupts is named with what it does.
 */

const show =
  "`ilm mappings` shows the mappings, `ilm listeners` who listens, `ilm status` the state.";
const state = "`ilm status` shows the state, `ilm doctor` checks the host.";
const counters = "`ilm mappings` shows the counters, and `ilm metrics` prints them for Prometheus.";
const listeners = "`ilm listeners` shows who listens where.";
const addresses = "`ilm address` shows the services with their addresses.";
const check = "`ilm check -f FILE` checks a configuration.";
const remove = "`ilm remove NAME` removes a mapping that `ilm add` added.";
const empty = `\`ilm mappings --added\` shows what was added at run time, and ${remove}`;
const add = "`ilm add MAPPING` adds a mapping, such as tcp:8080=127.0.1.10:80.";
const edit =
  "The configuration is a file: edit it, and `ilm apply -f FILE` activates it; `ilm run` follows it.";
const follow = "`ilm run -f FILE` activates a configuration and follows it.";
const apply = "`ilm apply -f FILE` activates a configuration.";
const reload = "`ilm reload` has a running `ilm run` read its file again.";
const off = "`ilm off` switches the mappings off, and `ilm on` switches them on again.";
const on = "`ilm on` switches the mappings on again, after `ilm off`.";
const decisions = "`ilm monitor` shows decisions as they are made.";
const history = "`ilm history` shows the changes: when, who and what.";
const back = "`ilm history` shows the changes, and `ilm rollback` returns to one.";
const keep = "`ilm export > FILE` keeps what is active, as a configuration.";
const confirm = "`ilm confirm` keeps a change that was made with --confirm.";
const explain = "`ilm explain` shows where a connection goes, and why.";
const flows =
  "`ilm flows` shows UDP clients; `ilm mappings --connections` counts the connections of TCP.";
const first =
  "`ilm adopt --dry-run` shows the configuration that it would write for what listens here.";
const importRules =
  "`ilm import` prints rules of nftables, iptables or tubular as a configuration.";
const dryRun = "`ilm diff` shows what `ilm apply` would change, and changes nothing.";
const help = "`ilm help COMMAND` shows help for a command.";

/** The words that ask for the same, by the sentence that answers them. */
const asked: readonly (readonly [answer: string, words: string])[] = [
  [show, "list ls show get view display rules rule maps ps"],
  [state, "info state health"],
  [counters, "counters stats statistics top"],
  [listeners, "sockets ports who netstat ss processes"],
  [addresses, "services addresses addr ip"],
  [check, "validate verify test lint config configtest"],
  [remove, "rm del delete unmap"],
  [empty, "flush clear reset clean cleanup purge prune wipe"],
  [add, "create new insert append map forward expose publish"],
  [edit, "edit modify change rename"],
  [follow, "start daemon serve follow"],
  [apply, "load set update activate use"],
  [reload, "restart refresh"],
  [off, "stop disable deactivate pause suspend halt kill uninstall destroy teardown erase"],
  [on, "enable resume unpause up"],
  ["`ilm mappings --down` shows mappings that have no listener.", "down"],
  [decisions, "tail watch events sniff capture tcpdump"],
  [`${decisions} ${history}`, "log logs journal"],
  [history, "changes changelog"],
  [back, "undo revert restore back"],
  [keep, "save backup dump print cat write store"],
  [confirm, "commit keep accept"],
  [explain, "trace why route debug lookup resolve query ask find which"],
  [flows, "connections sessions conntrack clients"],
  [first, "init setup generate discover scan migrate"],
  [importRules, "convert translate"],
  [dryRun, "plan compare dry-run"],
  [help, "man usage commands"],
  ["`ilm --version` shows the version.", "version"],
];

const answers = new Map(
  asked.flatMap(([answer, words]) => words.split(" ").map((word) => [word, answer] as const)),
);

/** The commands that interrupt or move something, each with what to know of it. */
const careful: Readonly<Record<string, string>> = {
  off,
  adopt: "`ilm adopt --dry-run` shows what `ilm adopt` would move.",
  rollback: "`ilm rollback --dry-run` shows what `ilm rollback` would change.",
};

const options: Readonly<Record<string, string>> = {
  "-f": "`ilm check -f FILE` checks a configuration, and `ilm apply -f FILE` activates it.",
  "--file": "`ilm check -f FILE` checks a configuration, and `ilm apply -f FILE` activates it.",
  "-t": "A mapping is an argument, such as `ilm run tcp:8080=127.0.1.10:80`.",
  "--test": dryRun,
  "--check": check,
  "--config": "`--file FILE` names a configuration.",
  "--conf": "`--file FILE` names a configuration.",
  "-c": "`--file FILE` names a configuration.",
  "--namespace": "`--netns PATH` names a network namespace.",
  "--verbose": "`--json` shows everything.",
  "-v": "`ilm --version` shows the version, and `--json` shows everything.",
  "-n": "`--netns PATH` names a network namespace.",
  "-j": "`--json` prints JSON.",
  "--output": "`--json` prints JSON.",
  "--format": "`--json` prints JSON.",
  "--watch": decisions,
  "--follow": decisions,
};

/** What others have `--dry-run` for: commands that activate a file without having one. */
const activating: readonly string[] = ["ilm", "run", "reload"];

/** The words that `meantBy` knows. */
export const knownWords: readonly string[] = [...answers.keys()];

/** Returns which command does what that word asks for, as a sentence; null for unknown words. */
export function meantBy(word: string): string | null {
  return answers.get(word.toLowerCase()) ?? null;
}

/**
 * Returns what to know of a command before it is used, as a sentence; null where a typing error may
 * lead to it without.
 */
export function knowBefore(command: string): string | null {
  return Object.hasOwn(careful, command) ? (careful[command] ?? null) : null;
}

/** Returns the same as `meantBy` for an option of a command, as it was written. */
export function meantByOption(option: string, command: string): string | null {
  const [name = ""] = option.split("=");
  if (name === "--dry-run") return activating.includes(command) ? dryRun : null;
  return Object.hasOwn(options, name) ? (options[name] ?? null) : null;
}
