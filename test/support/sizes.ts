/**
 * How much the suites do that repeat or draw at random: a sample in `make test`, the whole in `make
 * oracle`, `make faults` and the others (the Makefile says ILM_SIZE=whole there). The facts are the
 * same in both.
 */

export interface Sizes {
  /** Packets whose decision is compared with the oracle's; 400 for each rule set. */
  readonly oraclePairs: number;
  /** Decisions while another process changes the rules as fast as it can. */
  readonly decisions: number;
  /** Reloads that swap destinations under full load. */
  readonly stormReloads: number;
  /** Reloads of `run`, and applies, under load. */
  readonly reloads: number;
  readonly applies: number;
  /** Changes after which `run` has no more memory than before. */
  readonly memoryChanges: number;
  /** How long daemons come and go at random. */
  readonly soakSeconds: number;
  /** The runs of each property of the fuzz suites are multiplied by this. */
  readonly fuzzFactor: number;
  /** Rule sets of NAT that are imported, of each of its two languages. */
  readonly importedRuleSets: number;
  /** Packets that the programs at the interfaces are given. */
  readonly fuzzPackets: number;
  /** Restarts of one daemon, for each protocol and family; through a port remap. */
  readonly restarts: number;
  readonly remapRestarts: number;
  /**
   * Steps of a change at which it is killed, for each kind of change; Infinity: every step that it
   * has.
   */
  readonly killSteps: number;
  /** Kills of add and remove over a large file. */
  readonly overlayKills: number;
  /**
   * Older releases that are upgraded from and to: the newest of them, and others that are drawn.
   */
  readonly releases: number;
  /**
   * Files, of the same one and a changed one, that are applied over the state of each older
   * release.
   */
  readonly upgradeFiles: number;
  /** Things that are taken away at each unlucky moment of `run`. */
  readonly tamperings: number;
  /** Rounds of a race against a user for a path. */
  readonly raceRounds: number;
  /** Sockets that a user opens in a race for what comes to another's service. */
  readonly raceTries: number;
  /** Restarts of a unit, whose cgroup is made again each time. */
  readonly unitRestarts: number;
}

const sample: Sizes = {
  oraclePairs: 6_000,
  decisions: 10_000,
  stormReloads: 8,
  reloads: 20,
  applies: 8,
  memoryChanges: 30,
  soakSeconds: 10,
  fuzzFactor: 1,
  importedRuleSets: 3,
  fuzzPackets: 100_000,
  restarts: 150,
  remapRestarts: 50,
  killSteps: 1,
  overlayKills: 4,
  releases: 2,
  upgradeFiles: 1,
  tamperings: 2,
  raceRounds: 2_000,
  raceTries: 1_000,
  unitRestarts: 100,
};

const whole: Sizes = {
  oraclePairs: 1_000_000,
  decisions: 1_000_000,
  stormReloads: 1_000,
  reloads: 100,
  applies: 20,
  memoryChanges: 3_000,
  soakSeconds: 600,
  fuzzFactor: 50,
  importedRuleSets: 300,
  fuzzPackets: 1_000_000,
  restarts: 1_000,
  remapRestarts: 300,
  killSteps: Infinity,
  overlayKills: 60,
  releases: Infinity,
  upgradeFiles: 2,
  tamperings: Infinity,
  raceRounds: 10_000,
  raceTries: 100_000,
  unitRestarts: 1_000,
};

function chosen(): Sizes {
  const word = process.env["ILM_SIZE"] ?? "sample";
  if (word === "sample") return sample;
  if (word === "whole") return whole;
  throw new Error(`ILM_SIZE is "sample" or "whole", and not "${word}"`);
}

export const sizes = chosen();
