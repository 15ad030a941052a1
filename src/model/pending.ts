/** A change that goes back by itself unless it is confirmed. */
export interface PendingChange {
  /** When it goes back: ISO 8601, UTC. */
  readonly until: string;
  /** The generation that decides again from then on. */
  readonly backTo: number;
}
