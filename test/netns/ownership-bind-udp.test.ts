/**
 * Who does not own a service gets none of what is for it, by bind(), with
 * UDP sockets. Each attack is seen to succeed while nobody owns the service.
 */
import { bindAttacks } from "../support/attack-list.js";
import { testAttacks } from "../support/attacks.js";

testAttacks("udp", bindAttacks);
