/** nginx, Apache and HAProxy, as docs/daemons.md has them. */
import { describeStock } from "../support/stock/suite.js";
import { webServers } from "../support/stock/web.js";

describeStock("web", webServers);
