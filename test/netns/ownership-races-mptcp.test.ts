/** Nobody else wins what comes to a service while its daemon restarts, with MPTCP sockets. */
import { races } from "../support/race-list.js";
import { testRaces } from "../support/races.js";

testRaces("mptcp", races);
