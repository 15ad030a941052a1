/** The words by which users of other programs ask for what our commands do. */

const show =
  "`ilm mappings` shows the mappings, `ilm listeners` who listens, `ilm status` the state.";
const check = "`ilm check -f FILE` checks a configuration.";
const remove = "`ilm remove NAME` removes a mapping that `ilm add` added.";
const follow = "`ilm run -f FILE` activates a configuration and follows it.";
const apply = "`ilm apply -f FILE` activates a configuration.";
const decisions = "`ilm monitor` shows decisions as they are made.";
const flows =
  "`ilm flows` shows UDP clients; `ss` shows the connections of TCP, which are the daemons' own.";
const dryRun = "`ilm diff` shows what `ilm apply` would change, and changes nothing.";

const commands: Readonly<Record<string, string>> = {
  list: show,
  ls: show,
  show,
  get: show,
  rules: show,
  ps: show,
  dump: "`ilm mappings --json` prints the active mappings.",
  info: "`ilm status` shows the state.",
  state: "`ilm status` shows the state.",
  health: "`ilm status` shows the state, `ilm doctor` checks the host.",
  validate: check,
  verify: check,
  test: check,
  lint: check,
  config: check,
  rm: remove,
  del: remove,
  delete: remove,
  start: follow,
  daemon: follow,
  serve: follow,
  load: apply,
  set: apply,
  update: apply,
  restart: "`ilm reload` has a running `ilm run` read its file again.",
  refresh: "`ilm reload` has a running `ilm run` read its file again.",
  stop: "`ilm off` switches the mappings off, and `ilm on` switches them on again.",
  disable: "`ilm off` switches the mappings off.",
  enable: "`ilm on` switches the mappings on again.",
  log: decisions,
  logs: decisions,
  tail: decisions,
  watch: decisions,
  events: decisions,
  trace: "`ilm explain` shows where a connection goes, and why.",
  why: "`ilm explain` shows where a connection goes, and why.",
  route: "`ilm explain` shows where a connection goes, and why.",
  sockets: "`ilm listeners` shows who listens.",
  connections: flows,
  sessions: flows,
  conntrack: flows,
  plan: dryRun,
  compare: dryRun,
  services: "`ilm address` shows the services with their addresses.",
  addresses: "`ilm address` shows the services with their addresses.",
  counters: "`ilm mappings` shows the counters.",
  stats: "`ilm mappings` shows the counters.",
  version: "`ilm --version` shows the version.",
};

const options: Readonly<Record<string, string>> = {
  "--dry-run": dryRun,
  "--test": dryRun,
  "--check": check,
  "--config": "`--file FILE` names a configuration.",
  "--namespace": "`--netns PATH` names a network namespace.",
  "--verbose": "`--json` shows everything.",
};

/** Returns which command does what that word asks for, as a sentence; null for unknown words. */
export function meantBy(command: string): string | null {
  return Object.hasOwn(commands, command) ? (commands[command] ?? null) : null;
}

/** Returns the same for an option, as it was written. */
export function meantByOption(option: string): string | null {
  const [name = ""] = option.split("=");
  return Object.hasOwn(options, name) ? (options[name] ?? null) : null;
}
