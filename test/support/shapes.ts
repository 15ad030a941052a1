/**
 * The JSON that scripts rely on, as the suites read it. Fields may be added to it, never renamed.
 */
export interface Status {
  readonly loaded: boolean;
  readonly netns: unknown;
  readonly generation: number | null;
  readonly mappings: number;
  readonly listeners: number;
  readonly lookups: Counts;
  readonly warnings: readonly unknown[];
}

interface Counts {
  readonly existing: number;
  readonly selected: number;
  readonly missed: number;
  readonly errors: number;
}

export interface MappingRow {
  readonly name: string;
  readonly protocol: string;
  readonly port: unknown;
  readonly on: unknown;
  readonly to: readonly {
    readonly address: string;
    readonly port: unknown;
    readonly listening: unknown;
  }[];
  readonly counters: Counts;
}

export interface ListenerRow {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  readonly pid: number | null;
  readonly user: string | null;
  readonly mappings: readonly string[];
  readonly wildcard: boolean;
  readonly kind: string;
  readonly command: string | null;
  readonly cgroup: string | null;
  readonly unit: string | null;
  readonly cookie: string;
  readonly handover: string;
}
