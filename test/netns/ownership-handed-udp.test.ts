/**
 * Who does not own a service gets none of what is for it, with UDP sockets that have changed
 * hands, namespaces, cgroups or peers. Each attack is seen to succeed while nobody owns the
 * service.
 */
import { handedAttacks } from "../support/attack-list.js";
import { testAttacks } from "../support/attacks.js";

testAttacks("udp", handedAttacks);
