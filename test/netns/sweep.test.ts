/** A look for listeners whose end was not seen, while others come and go. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { rulesFor } from "../support/one-app.js";
import { builtRoot } from "../support/paths.js";

const network = useNetwork();

afterEach(async () => {
  await network.server.reset();
});

test("takes no listener away that comes where one has closed and another is connected", async () => {
  const { server } = network;
  await server.apply(
    rulesFor(7000).replace(
      "mappings:\n",
      'mappings:\n  - { protocol: udp, port: 7001, to: "app:6000" }\n',
    ),
  );
  const [requests, replies] = ["requests", "replies"].map((name) => join(server.folder, name));
  execFileSync("mkfifo", [requests ?? "", replies ?? ""]);
  const place = [requests ?? "", replies ?? "", "127.0.1.10", "6000"];
  const holder = server.startPython("holder.py", place);
  await holder.waitForOutput(/holding/);
  const printed = await server.must(["node", `${builtRoot}test/netns/sweep-worker.js`, ...place]);
  expect(JSON.parse(printed)).toEqual({ sockets: 1 });
});
