/** What travels over the daemon's socket: paths, bodies, and the decoders of both sides. */
import type { ChangeSummary, DrainedBy, NamedMappings } from "../rules/summary.js";
import { errorCatalogue, type ErrorCode, type Problem } from "../errors.js";
import {
  type AddChange,
  type ApplyChange,
  type Change,
  CONFIRM_SECONDS_MAX,
  CONFIRM_SECONDS_MIN,
  type ReapplyChange,
  type RemoveChange,
  type ReviseChange,
} from "../rules/change.js";
import type { AnsweredChange } from "./result.js";
import {
  answer,
  asRecord,
  boolean,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  record,
  text,
  type Decode,
  type Fields,
} from "./decode.js";
import { drained, listeners, mapping, nameText, ruleSet, service } from "./decode-rules.js";
import { type Kept, toColumns } from "../model/mapping-columns.js";
import type { PendingChange } from "../model/pending.js";
import type { Piece } from "../model/revision.js";
import { type FilePart, inMemory } from "../model/rules.js";
import type { ErrorBody } from "./error-body.js";
import type { EndedJson } from "../json/common.js";
import type { DestinationJson, MappingJson } from "../json/mapping.js";
import type { RatesJson } from "../json/mappings.js";
import type { StatusJson } from "../json/status.js";
import type { Counters } from "../model/decision.js";
import { handovers, mptcpModes, protocols, type Service } from "../model/mapping.js";

/** The maximum size of a request body in bytes. A million mappings as JSON take about 250 MB. */
export const applyBodyLimit = 384 * 1024 * 1024;
export const smallBodyLimit = 1024 * 1024;

export interface DaemonStatus {
  readonly pid: number;
  readonly version: string;
  /** When the daemon started: ISO 8601, UTC. */
  readonly startedAt: string;
  /** The first file or folder that is followed; null when there is none. */
  readonly following: string | null;
  /** All files and folders that are followed. */
  readonly followed: readonly string[];
  /** The last time the file was read, successfully or not; null before the first. */
  readonly lastReload: { readonly time: string; readonly error: ErrorBody | null } | null;
  readonly reloads: { readonly done: number; readonly failed: number };
}

/** What `ilm status` tells of the rules and of what they did. */
export type DaemonState = Omit<StatusJson, "daemon" | "writer" | "warnings" | "notes">;

/** A mapping in the form of `ilm mappings --json`. */
export interface ListedMapping extends Omit<MappingJson, "to"> {
  readonly to: readonly (DestinationJson & {
    readonly listening: boolean;
    readonly selected: number | null;
    readonly selectedPerSecond: number | null;
    readonly connections: number | null;
    readonly flows: number | null;
    readonly ended: EndedJson | null;
    readonly neverSince: string | null;
    readonly drained: boolean;
  })[];
  readonly counters: Counters;
  readonly rates: RatesJson | null;
}

export interface MappingList {
  /** How many mappings were chosen, including those beyond the limit. */
  readonly total: number;
  readonly mappings: readonly ListedMapping[];
}

/** What a peer may do: `change` includes `read`. */
export type Right = "read" | "change";

/** The version of the API. It grows when a request or an answer is no longer what it was. */
export const apiVersion = 1;

/** What tells of the daemon before anything else is asked. */
export interface DaemonVersion {
  readonly api: number;
  /** The version of ilm. */
  readonly version: string;
}

interface Route {
  readonly method: "GET" | "POST";
  /** The right that the request takes. */
  readonly needs: Right;
}

/**
 * All requests. The paths below are taken from here, so a request that is missing, or has no right,
 * does not compile.
 */
export const routes = {
  "/metrics": { method: "GET", needs: "read" },
  "/version": { method: "GET", needs: "read" },
  "/v1/events": { method: "GET", needs: "read" },
  "/v1/status": { method: "GET", needs: "read" },
  "/v1/state": { method: "GET", needs: "read" },
  "/v1/services": { method: "GET", needs: "read" },
  "/v1/mappings": { method: "GET", needs: "read" },
  "/v1/apply": { method: "POST", needs: "change" },
  "/v1/reapply": { method: "POST", needs: "change" },
  "/v1/revise": { method: "POST", needs: "change" },
  "/v1/add": { method: "POST", needs: "change" },
  "/v1/remove": { method: "POST", needs: "change" },
  "/v1/drain": { method: "POST", needs: "change" },
  "/v1/undrain": { method: "POST", needs: "change" },
  "/v1/unload": { method: "POST", needs: "change" },
  "/v1/rollback": { method: "POST", needs: "change" },
  "/v1/off": { method: "POST", needs: "change" },
  "/v1/on": { method: "POST", needs: "change" },
  "/v1/confirm": { method: "POST", needs: "change" },
  "/v1/back": { method: "POST", needs: "change" },
  "/v1/reload": { method: "POST", needs: "change" },
} as const satisfies Readonly<Record<string, Route>>;

export type ApiPath = keyof typeof routes;
type PathsThatNeed<Needed extends Right> = {
  [Path in ApiPath]: (typeof routes)[Path]["needs"] extends Needed ? Path : never;
}[ApiPath];
export type ReadPath = PathsThatNeed<"read">;
export type ChangePath = PathsThatNeed<"change">;

/** Returns the path of a request, or undefined when there is no such request. */
export function routeOf(method: string | undefined, path: string): ApiPath | undefined {
  if (!Object.hasOwn(routes, path)) return undefined;
  const found = path as ApiPath;
  return routes[found].method === method ? found : undefined;
}

/** Returns the version of the API that a path is for, or null when it is for none. */
export function versionOf(path: string): number | null {
  const found = /^\/v(\d{1,9})(?:\/|$)/.exec(path)?.[1];
  return found === undefined ? null : Number(found);
}

/** A change as the API accepts it. `reload` reads the file again. */
export type ApiChange = Change | ReapplyChange | ReviseChange | { readonly kind: "reload" };

const MAPPINGS_MAX = 2 ** 32;
const kept: Decode<Kept> = object({
  first: integer(0, MAPPINGS_MAX),
  count: integer(1, MAPPINGS_MAX),
  lines: integer(-MAPPINGS_MAX, MAPPINGS_MAX),
});
const added = list(mapping, 1);
const piece: Decode<Piece> = (value, path) =>
  Array.isArray(value) ? added(value, path) : kept(value, path);

/** Keeps the mappings as columns: as the objects they come as, a daemon would hold a million. */
const filePart: Decode<FilePart> = (value, path) => {
  const file = ruleSet(value, path);
  return inMemory({ ...file, mappings: toColumns(file.mappings) });
};

const drainChange = object({ drained: list(drained, 1), force: boolean });

const path = text(4096, 1);
/** One path is a text and none is null, as in versions of ilm that knew no more. */
const sourcesText: Decode<string[]> = (value, at) => {
  if (Array.isArray(value)) return list(path, 2)(value, at);
  return value === null ? [] : [path(value, at)];
};

/** Decodes a change of the file's part, whose `source` stands for all its paths. */
function fromSources<C extends { readonly kind: string; readonly sources: readonly string[] }>(
  kind: C["kind"],
  fields: Fields<Omit<C, "kind" | "sources">>,
): Decode<C> {
  const decodeRest = record(fields);
  return (value, at) => {
    const { source, ...rest } = asRecord(value, at);
    const sources = sourcesText(source, at === "" ? "source" : `${at}.source`);
    return { kind, ...decodeRest(rest, at), sources } as unknown as C;
  };
}

/** Decodes a change of this kind. */
function ofKind<C extends { readonly kind: string }>(
  kind: C["kind"],
  fields: Fields<Omit<C, "kind">>,
): Decode<C> {
  const decode = record(fields);
  return (value, path) => ({ kind, ...decode(value, path) }) as C;
}

/** The fields of every change that may go back by itself. */
const confirmable = { confirmSeconds: number(CONFIRM_SECONDS_MIN, CONFIRM_SECONDS_MAX) };

/** How to request each change: the path, the maximum size, and what the body must be. */
export const changeRoutes: Readonly<
  Record<ChangePath, { readonly limit: number; readonly decode: Decode<ApiChange> }>
> = {
  "/v1/apply": {
    limit: applyBodyLimit,
    decode: fromSources<ApplyChange>("apply", {
      always: { given: list(text(65536, 1)), file: filePart },
      sometimes: confirmable,
    }),
  },
  "/v1/reapply": {
    limit: smallBodyLimit,
    decode: fromSources<ReapplyChange>("reapply", {
      always: {
        given: list(text(65536, 1)),
        fileDigest: text(64, 64),
      },
      sometimes: confirmable,
    }),
  },
  "/v1/revise": {
    limit: smallBodyLimit,
    decode: fromSources<ReviseChange>("revise", {
      always: {
        given: list(text(65536, 1)),
        fileDigest: text(64, 64),
        pieces: list(piece),
        name: nullable(text(65536, 1)),
        result: text(64, 64),
      },
      sometimes: confirmable,
    }),
  },
  "/v1/add": {
    limit: smallBodyLimit,
    decode: ofKind<AddChange>("add", {
      always: { mappings: list(mapping, 1), replace: boolean },
      sometimes: confirmable,
    }),
  },
  "/v1/remove": {
    limit: smallBodyLimit,
    decode: ofKind<RemoveChange>("remove", {
      always: { names: list(nameText, 1) },
      sometimes: confirmable,
    }),
  },
  "/v1/drain": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "drain", ...drainChange(value, path) }),
  },
  "/v1/undrain": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "undrain", ...drainChange(value, path) }),
  },
  "/v1/unload": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "unload", ...object({})(value, path) }),
  },
  "/v1/rollback": {
    limit: smallBodyLimit,
    decode: (value, path) => ({
      kind: "rollback",
      ...object({ to: nullable(integer(1, Number.MAX_SAFE_INTEGER)) })(value, path),
    }),
  },
  "/v1/off": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "off", ...object({})(value, path) }),
  },
  "/v1/on": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "on", ...object({})(value, path) }),
  },
  "/v1/confirm": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "confirm", ...object({})(value, path) }),
  },
  "/v1/back": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "back", ...object({})(value, path) }),
  },
  "/v1/reload": {
    limit: smallBodyLimit,
    decode: (value, path) => ({ kind: "reload", ...object({})(value, path) }),
  },
};

export function isChangePath(path: string): path is ChangePath {
  return Object.hasOwn(changeRoutes, path);
}

/** Returns the path and body for a change: the inverse of `changeRoutes[path].decode`. */
export function encodeChange(change: ApiChange): { path: ChangePath; body: string } {
  const { kind, ...body } = change;
  const { file, ...rest } = "file" in body ? body : { ...body, file: undefined };
  const sent = "sources" in rest ? inOneKey(rest) : rest;
  return { path: `/v1/${kind}`, body: JSON.stringify({ ...sent, file: file?.read() }) };
}

/** The inverse of `fromSources`. */
function inOneKey({ sources, ...rest }: { readonly sources: readonly string[] }): object {
  const [first = null, ...others] = sources;
  return { source: others.length > 0 ? sources : first, ...rest };
}

/** An answer: either a result or an error. */
export type Reply<T> =
  | { readonly ok: true; readonly result: T }
  | { readonly ok: false; readonly error: ErrorBody };

const errorCode: Decode<ErrorCode> = oneOf(...(Object.keys(errorCatalogue) as ErrorCode[]));

const problem: Decode<Problem> = object({
  severity: oneOf<Problem["severity"]>("error", "warning"),
  file: text(65536),
  line: integer(0, 2 ** 32),
  column: integer(0, 2 ** 32),
  path: text(65536),
  message: text(65536),
  hint: text(65536),
});

const errorBodyDecoder: Decode<ErrorBody> = object({
  code: errorCode,
  message: text(65536),
  remedy: nullable(text(65536)),
  problems: list(problem),
});

export function reply<T>(result: Decode<T>): Decode<Reply<T>> {
  const success = object({ ok: boolean, result });
  const failure = object({ ok: boolean, error: errorBodyDecoder });
  return (value, path) =>
    asRecord(value, path)["ok"] === true
      ? { ok: true, result: success(value, path).result }
      : { ok: false, error: failure(value, path).error };
}

const namedMappings: Decode<NamedMappings> = answer(
  {
    count: integer(0, MAPPINGS_MAX),
    names: list(text(65536)),
    protocols: list(oneOf(...protocols)),
  },
  { protocols: [] },
);
const drainedBy: Decode<DrainedBy> = answer({ destination: text(65536), mappings: namedMappings });
const changeSummary: Decode<ChangeSummary> = answer(
  {
    added: namedMappings,
    removed: namedMappings,
    changed: namedMappings,
    drained: list(drainedBy),
    undrained: list(drainedBy),
  },
  { drained: [], undrained: [] },
);

const pending: Decode<PendingChange> = answer({
  until: text(64),
  backTo: integer(0, Number.MAX_SAFE_INTEGER),
});

export const changeResult: Decode<AnsweredChange> = answer(
  {
    generation: nullable(integer(0, Number.MAX_SAFE_INTEGER)),
    changed: boolean,
    difference: nullable(changeSummary),
    mappings: integer(0, Number.MAX_SAFE_INTEGER),
    incremental: boolean,
    addressesAdded: list(text(64)),
    addressesRemoved: list(text(64)),
    interfacesMissing: list(text(64)),
    kfuncTrouble: nullable(text(65536)),
    repaired: list(text(256)),
    off: boolean,
    takenOverFormat: nullable(integer(0, Number.MAX_SAFE_INTEGER)),
    lost: nullable(text(65536)),
    pending: nullable(pending),
    steps: list(object({ step: text(65536), milliseconds: number(0, Number.MAX_SAFE_INTEGER) })),
  },
  {
    steps: [],
    difference: null,
    repaired: [],
    off: false,
    takenOverFormat: null,
    lost: null,
    pending: null,
  },
);

/** Completes what an earlier version answers: one path, or null, where there is a list now. */
function listed<T>(one: string, all: string, decode: Decode<T>): Decode<T> {
  return (value, at) => {
    const record = asRecord(value, at);
    const first = record[one];
    return decode({ [all]: typeof first === "string" ? [first] : [], ...record }, at);
  };
}

const daemonStatusAnswer: Decode<DaemonStatus> = answer({
  pid: integer(1, 2 ** 31),
  version: text(64),
  startedAt: text(64),
  following: nullable(text(4096)),
  followed: list(text(4096)),
  lastReload: nullable(object({ time: text(64), error: nullable(errorBodyDecoder) })),
  reloads: object({
    done: integer(0, Number.MAX_SAFE_INTEGER),
    failed: integer(0, Number.MAX_SAFE_INTEGER),
  }),
});

export const daemonStatus = listed("following", "followed", daemonStatusAnswer);

const count = integer(0, Number.MAX_SAFE_INTEGER);
const counters: Decode<Counters> = answer({
  existing: count,
  selected: count,
  missed: count,
  errors: count,
});

const ended: Decode<EndedJson> = answer({
  at: text(64),
  user: text(4096),
  unit: nullable(text(4096)),
});

const family: Decode<4 | 6> = (value, path) =>
  value === 4 || value === 6 ? value : (integer(6, 6)(value, path), 6);

const absence = { ended: nullable(ended), neverSince: nullable(text(64)) };
/** Which mapping is meant, where several views name one. */
const named = { name: nameText, protocol: oneOf("tcp", "udp") };

const port: Decode<number | "same"> = (value, path) =>
  value === "same" ? value : integer(1, 65535)(value, path);

const daemonStateAnswer: Decode<DaemonState> = answer(
  {
    loaded: boolean,
    netns: count,
    off: boolean,
    generation: nullable(count),
    pending: nullable(pending),
    wentBackAt: nullable(text(64)),
    given: list(text(65536)),
    copiedAt: nullable(text(64)),
    appliedAt: nullable(text(64)),
    appliedBy: nullable(text(64)),
    earlierFormat: nullable(count),
    engine: nullable(oneOf("kfunc", "registry")),
    mptcp: nullable(oneOf(...mptcpModes)),
    source: nullable(text(4096)),
    sources: list(text(4096)),
    services: count,
    mappings: count,
    runtimeMappings: count,
    drained: list(
      answer({
        destination: text(4096),
        protocol: nullable(oneOf("tcp", "udp")),
        address: nullable(text(64)),
        service: nullable(text(65536)),
        port: nullable(count),
      }),
    ),
    listeners: nullable(count),
    mappedListeners: nullable(count),
    unserved: nullable(
      answer({
        count,
        mappings: list(
          answer(
            {
              ...named,
              owner: nullable(text(4096)),
              ...absence,
            },
            { ended: null, neverSince: null },
          ),
        ),
      }),
    ),
    drainedMappings: nullable(
      answer({
        count,
        mappings: list(answer(named)),
      }),
    ),
    gaps: nullable(
      answer({
        count,
        mappings: list(
          answer({
            ...named,
            family,
            drained: boolean,
            ...absence,
          }),
        ),
      }),
    ),
    degraded: nullable(
      answer({
        count,
        mappings: list(
          answer({
            ...named,
            destinations: count,
            down: list(
              answer({ address: text(64), port, service: nullable(text(65536)), ...absence }),
            ),
          }),
        ),
      }),
    ),
    full: nullable(
      answer({
        count,
        mappings: list(
          answer({
            ...named,
            address: text(64),
            port: integer(1, 65535),
            queue: answer({ waiting: count, limit: count, drops: count }),
          }),
        ),
      }),
    ),
    lookups: nullable(counters),
    flows: nullable(answer({ live: count, capacity: count })),
    faults: nullable(
      answer({
        untracked: count,
        unplaced: count,
        flows: count,
        unanswered: count,
        unsteered: count,
      }),
    ),
    pinPath: text(4096),
  },
  {
    unserved: null,
    drainedMappings: null,
    gaps: null,
    degraded: null,
    full: null,
    drained: [],
    pending: null,
    wentBackAt: null,
    given: [],
    copiedAt: null,
  },
);

export const daemonState = listed("source", "sources", daemonStateAnswer);

export const serviceList: Decode<readonly Service[]> = list(service);

const perSecond = number(0, Number.MAX_SAFE_INTEGER);
const rates: Decode<RatesJson> = answer({
  seconds: perSecond,
  existingPerSecond: perSecond,
  selectedPerSecond: perSecond,
  missedPerSecond: perSecond,
  errorsPerSecond: perSecond,
});

export const mappingList: Decode<MappingList> = answer({
  total: count,
  mappings: list(
    answer(
      {
        name: text(65536),
        protocol: oneOf("tcp", "udp"),
        port: text(1 << 20),
        on: list(text(64)),
        from: list(text(64)),
        interface: list(text(64)),
        to: list(
          answer(
            {
              address: text(64),
              port,
              service: nullable(text(65536)),
              weight: nullable(count),
              handover: oneOf(...handovers),
              dualStack: boolean,
              listening: boolean,
              selected: nullable(count),
              selectedPerSecond: nullable(perSecond),
              connections: nullable(count),
              flows: nullable(count),
              ...absence,
              drained: boolean,
            },
            {
              selected: null,
              selectedPerSecond: null,
              connections: null,
              flows: null,
              ended: null,
              neverSince: null,
              drained: false,
            },
          ),
        ),
        existing: oneOf("exact", "any", "never"),
        miss: oneOf("pass", "reject"),
        listeners: (value, path): MappingJson["listeners"] =>
          Array.isArray(value) && value.length === 0 ? [] : listeners(value, path),
        description: nullable(text(65536)),
        runtime: boolean,
        until: nullable(text(64)),
        origin: text(65536),
        counters,
        rates: nullable(rates),
      },
      { description: null, until: null, rates: null },
    ),
  ),
});
