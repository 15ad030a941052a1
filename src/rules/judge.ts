/** Judges listeners by the active rules: whose an address is, and who may have what is dialled. */
import { type Address, isLoopback } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import type { Owner, Service, StrangerPolicy } from "../model/mapping.js";
import type { Rules } from "../model/rules.js";
import type { Permitting, Selects } from "./listening.js";
import { type Permit, Permits } from "./permits.js";

/** Reports whether a listener has a permit, as the kernel's programs decide; null is anyone. */
export type IsPermitted = (listener: Listener, permit: Permit | null) => boolean;

export interface OwnedService {
  readonly service: Service;
  readonly owner: Owner;
}

type Place = Pick<Listener, "address" | "port">;

export class Judge {
  /** What happens to strangers on mapped ports. */
  readonly strangers: StrangerPolicy;
  readonly isPermitted: IsPermitted;
  readonly #permits: Permits;
  readonly #firstUnprivileged: number;
  readonly #owned: ReadonlyMap<Address, OwnedService>;

  /** `firstUnprivileged` is the first port that takes no privilege to bind. */
  constructor(
    rules: Rules,
    strangers: StrangerPolicy,
    isPermitted: IsPermitted,
    firstUnprivileged = 0,
  ) {
    this.strangers = strangers;
    this.isPermitted = isPermitted;
    this.#firstUnprivileged = firstUnprivileged;
    const { services } = rules.file;
    this.#permits = new Permits(services);
    this.#owned = new Map(
      services.flatMap((service) => {
        const { addresses, owner } = service;
        return owner === undefined
          ? []
          : addresses.map((address) => [address, { service, owner }] as const);
      }),
    );
  }

  /** Returns the service that the address belongs to, provided it has an owner. */
  ownerOf(address: Address | "*"): OwnedService | undefined {
    return address === "*" ? undefined : this.#owned.get(address);
  }

  /** Reports whether the listener may listen on the address, as far as its service says. */
  mayHave(listener: Listener, address: Address): boolean {
    return this.isPermitted(listener, this.#permits.ofAddress(address));
  }

  /** Returns who may listen on what the mapping covers; null is anyone. */
  permitOf({ to, listeners }: Permitting): Permit | null {
    return this.#permits.ofMapping(to, listeners);
  }

  /**
   * Reports whether the mapping permits the listener to listen on what it covers. What happens to
   * one that it does not permit, `strangers` says.
   */
  permits(listener: Listener, mapping: Permitting): boolean {
    return this.permitsAt(listener, listener, mapping);
  }

  /** Reports the same where the listener would get what is dialled at another address. */
  permitsAt(listener: Listener, dialled: Place, mapping: Permitting): boolean {
    return this.#isOfHost(dialled) || this.isPermitted(listener, this.permitOf(mapping));
  }

  /** Reports whether the endpoint is the host's own business (bpf/permit.h, is_of_host). */
  #isOfHost({ address, port }: Place): boolean {
    return (
      port < this.#firstUnprivileged && isLoopback(address) && this.ownerOf(address) === undefined
    );
  }

  /** On a wildcard address, the mapping permits; on another one, the service that has it. */
  readonly selects: Selects = (listener, address, mapping) => {
    if (address !== "*") return this.mayHave(listener, address);
    return this.strangers !== "refuse" || this.isPermitted(listener, this.permitOf(mapping));
  };
}
