/**
 * Who does not own a service gets none of what is for it, by a port that the kernel gives without
 * bind(), with TCP sockets. Each attack is seen to succeed while nobody owns the service.
 */
import { latePortAttacks } from "../support/attack-list.js";
import { testAttacks } from "../support/attacks.js";

testAttacks("tcp", latePortAttacks);
