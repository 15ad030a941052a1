/**
 * A process in the guest that dials its own daemons through the mapping of port 6000 until its
 * standard input ends, by TCP and UDP. It writes a line when it is ready, for each line that it
 * reads one after its next whole batch, and last a LoadReport.
 */
import { setImmediate } from "node:timers/promises";
import { exchangeConnection, exchangeDatagram } from "./exchange.js";
import { countedSince, readCounted } from "./counted.js";
import { type LoadReport, addExchange, noExchanges } from "./loss.js";
import { app, listen, outside, using } from "./stage.js";

const BATCH = 20;
const to = { address: outside[4], port: 6000 };
let connections = noExchanges;
let datagrams = noExchanges;

const before = readCounted();
const daemons = [listen(app[4], to.port), listen(app[4], to.port, { kind: "udp" })] as const;
const [tcp, udp] = daemons;
let asked = 0;
process.stdin.on("data", (data: Buffer) => {
  asked += data.length;
});
process.stdout.write("ready\n");
while (!process.stdin.readableEnded) {
  const answers = asked;
  asked = 0;
  for (let i = 0; i < BATCH; i++) {
    connections = addExchange(connections, exchangeConnection(to, tcp));
    datagrams = addExchange(datagrams, exchangeDatagram(to, udp, `${datagrams.tried + 1}`));
  }
  process.stdout.write("batch\n".repeat(answers));
  await setImmediate();
}
using(daemons, () => {
  const report: LoadReport = { connections, datagrams, counted: countedSince(before) };
  process.stdout.write(`${JSON.stringify(report)}\n`);
});
