/** dnsmasq, unbound and BIND, as docs/daemons.md has them. */
import { nameServers } from "../support/stock/names.js";
import { describeStock } from "../support/stock/suite.js";

describeStock("names", nameServers);
