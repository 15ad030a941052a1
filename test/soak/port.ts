/** One mapped port: its sockets, the dials under way, and what each of them may find. */
import type { Family } from "../support/matrix.js";
import { type Dialled, type Rule, type Socket, whoAnswers } from "./model.js";

interface Flight {
  readonly family: Family;
  readonly dialled: Dialled;
  /** Tags of who may answer; "" for nobody. Grows when something changes meanwhile. */
  readonly allowed: Set<string>;
}

export class Port {
  readonly rule: Rule;
  #sockets: readonly Socket[] = [];
  /** What the sockets will be when the change under way is done. */
  #next: readonly Socket[] | null = null;
  #flights = new Set<Flight>();
  #exclusive = false;
  #idle: (() => void) | null = null;

  constructor(rule: Rule) {
    this.rule = rule;
  }

  get sockets(): readonly Socket[] {
    return this.#sockets;
  }

  /** A change is under way; one at a time. */
  get busy(): boolean {
    return this.#next !== null;
  }

  /**
   * Dials wait while a socket closes: what its queue holds then is lost with every socket, mapped
   * or not.
   */
  get closed(): boolean {
    return this.#exclusive;
  }

  #answers(sockets: readonly Socket[], family: Family, dialled: Dialled): readonly string[] {
    const tags = whoAnswers(this.rule, sockets, family, dialled);
    return tags.length === 0 ? [""] : tags;
  }

  begin(family: Family, dialled: Dialled): Flight {
    const flight: Flight = {
      family,
      dialled,
      allowed: new Set(this.#answers(this.#sockets, family, dialled)),
    };
    if (this.#next !== null) this.#widen(flight, this.#next);
    this.#flights.add(flight);
    return flight;
  }

  #widen(flight: Flight, sockets: readonly Socket[]): void {
    for (const tag of this.#answers(sockets, flight.family, flight.dialled)) {
      flight.allowed.add(tag);
    }
  }

  end(flight: Flight): void {
    this.#flights.delete(flight);
    if (this.#flights.size === 0) this.#idle?.();
  }

  /** `act` makes the sockets `next`. While it does, a dial may find the old or the new ones. */
  async change(next: readonly Socket[], act: () => Promise<void>): Promise<void> {
    this.#next = next;
    for (const flight of this.#flights) this.#widen(flight, next);
    await act();
    this.#sockets = next;
    this.#next = null;
  }

  /** The same, with no dial under way. */
  async changeAlone(next: readonly Socket[], act: () => Promise<void>): Promise<void> {
    this.#next = this.#sockets;
    this.#exclusive = true;
    if (this.#flights.size > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      this.#idle = null;
    }
    await act();
    this.#sockets = next;
    this.#next = null;
    this.#exclusive = false;
  }
}
