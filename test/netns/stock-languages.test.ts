/** Servers in Node, Python, Java and Go, as docs/daemons.md has them. */
import { languages } from "../support/stock/languages.js";
import { describeStock } from "../support/stock/suite.js";

describeStock("languages", languages);
