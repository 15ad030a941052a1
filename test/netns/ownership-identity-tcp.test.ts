/**
 * Who does not own a service gets none of what is for it, as who is nearly the owner, with
 * TCP sockets. Each attack is seen to succeed while nobody owns the service.
 */
import { identityAttacks } from "../support/attack-list.js";
import { testAttacks } from "../support/attacks.js";

testAttacks("tcp", identityAttacks);
