// Goal: each way a lookup can end is told in words that name who, where and why, and as the JSON
// that scripts rely on.
import { describe, expect, test } from "vitest";
import type { Address } from "../../../../src/model/address.js";
import pc from "picocolors";
import {
  explanationShape,
  explanationSteps,
  renderExplanation,
  type Explained,
} from "../../../../src/cli/render/explanation.js";
import type { Explanation } from "../../../../src/dataplane/types.js";
import type { Holder, Listener } from "../../../../src/model/listener.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import type { Rules } from "../../../../src/model/rules.js";
import { Judge } from "../../../../src/rules/judge.js";
import { destinationStates } from "../../../../src/rules/listening.js";
import { address, listener, packet } from "../fixtures.js";

const holder: Holder = {
  pid: 812,
  command: "nginx",
  user: "www-data",
  cgroup: "/system.slice/nginx.service",
  canBindLowPorts: false,
};

const web: Mapping = {
  name: "web",
  protocol: "tcp",
  ports: [
    { first: 80, last: 80 },
    { first: 443, last: 443 },
  ],
  on: [],
  to: [
    { address: address("127.0.1.10"), port: "same", service: "web" },
    { address: address("127.0.1.11"), port: 8443 },
  ],
  existing: "exact",
  miss: "pass",
  origin: { file: "rules.yaml", line: 4, column: 5 },
};

const rules: Rules = {
  sources: ["/rules.yaml"],
  file: {
    services: [
      {
        name: "web",
        addresses: [address("127.0.1.10")],
        origin: { file: "rules.yaml", line: 2, column: 3 },
      },
    ],
    mappings: [web],
  },
  runtime: [],
};

const judge = new Judge(rules, "refuse", () => true);

function explained(
  explanation: Partial<Explanation>,
  listeners: readonly Listener[] = [],
  changes: Partial<Explained> = {},
): Explained {
  const full: Explanation = {
    verdict: "missed",
    packet: packet("203.0.113.5", 443),
    mapping: 0,
    matchedBy: "default",
    strangers: false,
    destination: null,
    attempts: [],
    generation: 3,
    cookie: null,
    ...explanation,
  };
  const mapping = full.mapping === null ? null : web;
  return {
    explanation: full,
    obstacles: [],
    rules,
    judge,
    mapping,
    selected: null,
    kernel: null,
    states: mapping === null ? [] : destinationStates(mapping, listeners, judge.selects),
    absenceAt: () => ({ ended: null, neverSince: null }),
    holderOf: () => holder,
    nat: [],
    interfaceName: null,
    entranceBy: "address",
    ...changes,
  };
}

function words(given: Explained): string {
  return explanationSteps(given).join("\n");
}

const there = listener("127.0.1.10", 443, { cookie: "42" });
const selected = explained(
  {
    verdict: "selected",
    destination: 0,
    cookie: "42",
    attempts: [{ destination: 0, outcome: "selected" }],
  },
  [there],
  { selected: there },
);

describe("selected", () => {
  test("names the mapping with its place, the destination and the process", () => {
    const text = words(selected);
    expect(text).toContain("mapping web (rules.yaml:4)");
    expect(text).toContain("127.0.1.10:443 (web)");
    expect(text).toContain("nginx (pid 812) on 127.0.1.10:443 gets the connection");
  });

  test("says what the mapping is for", () => {
    const described = { ...selected, mapping: { ...web, description: "the shop" } };
    expect(words(described)).toContain('the mapping web (rules.yaml:4), "the shop", is chosen');
  });

  test("has the shape that scripts rely on", () => {
    expect(explanationShape(selected)).toMatchObject({
      verdict: "selected",
      mapping: "web",
      destination: { address: "127.0.1.10", port: 443 },
      listener: { pid: 812, cookie: "42", user: "www-data", unit: "nginx.service" },
    });
  });

  test("keeps the cookie when the socket tables no longer have the socket", () => {
    const gone = { ...selected, selected: null };
    expect(explanationShape(gone).listener).toMatchObject({ pid: null, cookie: "42" });
    expect(words(gone)).toContain("socket 42");
  });
});

describe("a packet whose family no destination takes", () => {
  const four = { ...web, to: [{ address: "127.0.1.10" as Address, port: "same" as const }] };

  test("is missed, and told why", () => {
    const given = explained({ packet: packet("2001:db8:77::1", 443) }, [], { mapping: four });
    expect(words(given)).toMatch(/\nno destination of it takes IPv6\nmissed: /);
  });

  test("is of the other family than what is told of", () => {
    const given = explained({ packet: packet("203.0.113.5", 443) }, [], { mapping: four });
    expect(words(given)).not.toContain("takes IPv");
  });
});

describe("failover", () => {
  const ended = { at: new Date(2026, 0, 2, 13, 58).toISOString(), user: "www-data", unit: null };
  const second = listener("127.0.1.11", 8443, { cookie: "43" });
  const given = explained(
    {
      verdict: "selected",
      destination: 1,
      cookie: "43",
      attempts: [
        { destination: 0, outcome: "absent" },
        { destination: 1, outcome: "selected" },
      ],
    },
    [second],
    { selected: second, absenceAt: () => ({ ended, neverSince: null }) },
  );

  test("tells of a destination that nobody has listened there yet", () => {
    const neverSince = new Date(2026, 0, 2, 13, 58).toISOString();
    const steps = words({ ...given, absenceAt: () => ({ ended: null, neverSince }) });
    expect(steps).toContain("(web): nothing listens, none yet since 2026-01-02 13:58\n");
  });

  test("tells what became of each destination, in order", () => {
    const steps = explanationSteps(given);
    expect(steps[3]).toMatch(/127\.0\.1\.10:443 \(web\): nothing listens, ended 2026-01-02 13:58$/);
    expect(steps.findIndex((step) => step.includes("127.0.1.11:8443: nginx"))).toBe(4);
    expect(explanationShape(given).attempts).toEqual([
      { address: "127.0.1.10", port: 443, outcome: "absent", ended, neverSince: null },
      { address: "127.0.1.11", port: 8443, outcome: "selected", ended: null, neverSince: null },
    ]);
  });
});

describe("absent, although a socket seems to be there:", () => {
  const absent = { attempts: [{ destination: 0, outcome: "absent" as const }] };

  test("a wildcard listener is named with both ways to fix it", () => {
    const text = words(explained(absent, [listener("0.0.0.0", 443)]));
    expect(text).toContain("would answer there");
    expect(text).toContain("listen on 127.0.1.10:443 itself");
    expect(text).toContain('"*:443"');
  });

  test("a listener that the registry does not know is told of", () => {
    const text = words(explained(absent, [listener("127.0.1.10", 443)]));
    expect(text).toContain("listens, but ilm does not know it");
  });
});

describe("a stranger", () => {
  const owner = { unit: "nginx.service" };
  const [service] = rules.file.services;
  const owned: Rules = {
    ...rules,
    file: { ...rules.file, services: service === undefined ? [] : [{ ...service, owner }] },
  };
  const strict = new Judge(owned, "refuse", (_, permit) => permit === null);
  const at = { rules: owned, judge: strict };

  test("at a destination gets nothing, and is told whose the address is", () => {
    const states = destinationStates(web, [listener("127.0.1.10", 443)], strict.selects);
    const given = explained({ attempts: [{ destination: 0, outcome: "absent" }] }, [], {
      ...at,
      states,
    });
    expect(words(given)).toContain(
      "nginx (pid 812) on 127.0.1.10:443 listens, but gets nothing: the address belongs to service web (unit nginx.service)",
    );
    expect(explanationShape(given).strangers).toMatchObject([
      { pid: 812, at: "destination", permitted: "service web (unit nginx.service)" },
    ]);
  });

  test("on what was dialled keeps nothing, and is named with whom the mapping permits", () => {
    const kernel = listener("203.0.113.5", 443);
    const given = explained({ verdict: "rejected", strangers: true }, [], { ...at, kernel });
    expect(words(given)).toMatch(
      /listens, and is passed over, because the mapping permits only root, service web \(unit nginx\.service\)/,
    );
    expect(words(given)).toContain("rejected: no destination listens, and nginx (pid 812)");
    expect(words(given)).not.toContain("miss: reject");
    expect(explanationShape(given)).toMatchObject({
      listener: null,
      strangers: [{ at: "dialled" }],
    });
  });

  test("on what was dialled is passed over for a destination, too", () => {
    const kernel = listener("203.0.113.5", 443);
    const given = { ...selected, ...at, kernel };
    expect(words(given)).toContain("is passed over");
    expect(words(given)).toContain("gets the connection");
  });

  test("on a service's own address gets nothing, and nobody else does", () => {
    const given = explained(
      {
        verdict: "unmanaged",
        mapping: null,
        matchedBy: "owned",
        strangers: true,
        packet: packet("127.0.1.10", 443),
      },
      [],
      { ...at, kernel: listener("127.0.1.10", 443) },
    );
    expect(words(given)).toContain("unmanaged: nobody gets it, as only nginx (pid 812)");
    expect(explanationShape(given)).toMatchObject({ verdict: "unmanaged", listener: null });
  });

  test("gets what was dialled while strangers are reported", () => {
    const kernel = listener("203.0.113.5", 443);
    const judgeOfAll = new Judge(owned, "report", (_, permit) => permit === null);
    const given = explained({ verdict: "existing" }, [], {
      rules: owned,
      judge: judgeOfAll,
      kernel,
    });
    expect(words(given)).toContain("already listening: nginx");
    expect(explanationShape(given).strangers).toEqual([]);
  });
});

describe("the other outcomes", () => {
  test("existing names who keeps it", () => {
    const own = listener("203.0.113.5", 443);
    const given = explained({ verdict: "existing" }, [], { kernel: own });
    expect(words(given)).toContain("already listening: nginx (pid 812) on 203.0.113.5:443");
    expect(explanationShape(given).listener).toMatchObject({ pid: 812, address: "203.0.113.5" });
  });

  test("missed, and no listener: rejected by the kernel", () => {
    const given = explained({ attempts: [{ destination: 0, outcome: "absent" }] });
    expect(words(given)).toContain("missed: the kernel goes on and rejects it");
    expect(explanationShape(given)).toMatchObject({ destination: null, listener: null });
  });

  test("missed, and a wildcard listener gets it: said so", () => {
    const given = explained({}, [], { kernel: listener("0.0.0.0", 443) });
    expect(words(given)).toContain("gives it to nginx (pid 812) on 0.0.0.0:443");
  });

  test("rejected gives no socket the connection, even when the kernel would", () => {
    const given = explained({ verdict: "rejected" }, [], { kernel: listener("0.0.0.0", 443) });
    expect(words(given)).toContain("miss: reject");
    expect(explanationShape(given).listener).toBeNull();
  });

  test("unmanaged because no mapping has the port", () => {
    const given = explained({
      verdict: "unmanaged",
      mapping: null,
      matchedBy: "none",
      packet: packet("203.0.113.5", 22),
    });
    expect(words(given)).toContain("no mapping has tcp port 22");
  });

  test("unmanaged because the address is a service's own", () => {
    const given = explained({
      verdict: "unmanaged",
      mapping: null,
      matchedBy: "owned",
      packet: packet("127.0.1.10", 443),
    });
    expect(words(given)).toContain("address of the service web itself");
  });
});

test("the name of a process cannot steer the terminal", () => {
  const given = { ...selected, holderOf: () => ({ ...holder, command: "a\u001b[2Jb" }) };
  expect(words(given)).not.toContain("\u001b");
  expect(words(given)).toContain("\\u{1b}[2J");
});

test("on the screen the steps are numbered below the packet", () => {
  const text = renderExplanation(selected, pc.createColors(false));
  expect(text.split("\n")[0]).toBe("tcp 203.0.113.5:443 from 198.51.100.7:5555, generation 3");
  expect(text.split("\n")[1]).toMatch(/^ {2}1\. /);
});
