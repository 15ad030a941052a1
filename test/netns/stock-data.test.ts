/** Redis, PostgreSQL and sshd, as docs/daemons.md has them. */
import { dataServers } from "../support/stock/data.js";
import { describeStock } from "../support/stock/suite.js";

describeStock("data", dataServers);
