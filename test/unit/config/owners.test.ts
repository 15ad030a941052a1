// Goal: whose a service is, who else may listen, and what wildcard binds get, is read as it is
// meant; what is no unit, user, group or policy is refused at its place, with what would be right.
import { describe, expect, test } from "vitest";

import type { Mapping, Owner, Service } from "../../../src/model/mapping.js";
import type { Settings } from "../../../src/model/rules.js";
import { problemsOf, ruleSetOf } from "./support.js";

const withService = (keys: string): string =>
  `version: 1\nservices:\n  web: { address: 127.0.1.10, ${keys} }\n`;
const withMapping = (keys: string): string =>
  `version: 1\nservices: { web: { address: 127.0.1.10 } }\nmappings:\n  - { port: 80, to: web, ${keys} }\n`;
const withKeys = (keys: string): string => `version: 1\nmappings: []\n${keys}\n`;

function serviceOf(keys: string): Service | undefined {
  return ruleSetOf(withService(keys)).services[0];
}

function mappingOf(keys: string): Mapping | undefined {
  return ruleSetOf(withMapping(keys)).mappings.at(0);
}

function settingsOf(keys: string): Settings {
  const { services: _, mappings: __, ...settings } = ruleSetOf(withKeys(keys));
  return settings;
}

describe("the owner of a service", () => {
  const rows: readonly (readonly [keys: string, owner: Owner])[] = [
    ["unit: nginx.service", { unit: "nginx.service" }],
    ["unit: nginx", { unit: "nginx.service" }],
    ["unit: node.js", { unit: "node.js.service" }],
    ["unit: postgresql@16-main", { unit: "postgresql@16-main.service" }],
    ["unit: session-3.scope", { unit: "session-3.scope" }],
    ['unit: "a\\\\x2db.service"', { unit: "a\\x2db.service" }],
    ["user: www-data", { user: "www-data" }],
    ["user: machine$", { user: "machine$" }],
    ["user: root", { user: "root" }],
    ["user: 0", { user: 0 }],
    ["user: 4294967294", { user: 4294967294 }],
    ['user: "1000"', { user: 1000 }],
    ["group: 33, user: 33, unit: x", { unit: "x.service", user: 33, group: 33 }],
  ];
  test.each(rows)("is read from %s", (keys, owner) => {
    expect(serviceOf(keys)?.owner).toEqual(owner);
    // Texts of equal owners are compared.
    expect(Object.keys(serviceOf(keys)?.owner ?? {})).toEqual(Object.keys(owner));
  });

  test("is absent when no key names it", () => {
    expect(serviceOf("handover: auto")).not.toHaveProperty("owner");
  });

  test("has sockets that are never MPTCP sockets, and a policy of its own", () => {
    expect(serviceOf("user: app, mptcp: off, wildcard: deny")).toMatchObject({
      owner: { user: "app" },
      mptcp: "off",
      wildcard: "deny",
    });
  });
});

describe("a service whose owner is wrong is refused", () => {
  const unit = "write the name of one systemd unit, such as nginx.service";
  const user =
    "write the name of one user, such as www-data, or a numeric id; leave it out for any";
  const characters =
    'a unit has a-z, A-Z, 0-9 and any of : _ . - @ \\ in its name, such as "nginx.service"';
  const rows: readonly (readonly [keys: string, problem: string])[] = [
    [
      "unit: nginx.socket",
      "37: services.web.unit: the unit nginx.socket is a socket; write nginx.service: the sockets that nginx.socket makes count as its own",
    ],
    [
      "unit: foo@.service",
      '37: services.web.unit: the unit "foo@.service" is a template; write the instance too, such as foo@1.service',
    ],
    [
      "unit: foo@",
      '37: services.web.unit: the unit "foo@" is a template; write the instance too, such as foo@1.service',
    ],
    [
      "unit: system.slice",
      '37: services.web.unit: the unit "system.slice" is a slice, which holds many units; write the service or scope inside it',
    ],
    [
      "unit: backup.timer",
      '37: services.web.unit: the unit "backup.timer" is a timer, and only services and scopes have sockets; write backup.service, if that is what it starts',
    ],
    [
      "unit: /system.slice/nginx.service",
      '37: services.web.unit: the unit "/system.slice/nginx.service" is a path; write nginx.service',
    ],
    [
      'unit: "a b"',
      `37: services.web.unit: the unit "a b" is not the name of a unit; ${characters}`,
    ],
    [
      'unit: "@a.service"',
      `37: services.web.unit: the unit "@a.service" is not the name of a unit; ${characters}`,
    ],
    ['unit: ""', "37: services.web.unit: the unit is empty; write its name, such as nginx.service"],
    [
      `unit: ${"x".repeat(248)}`,
      `37: services.web.unit: the unit "${"x".repeat(67)}..." has 256 characters; the name of a unit has at most 255, with its suffix`,
    ],
    ["unit: 5", `37: services.web.unit: this is the number 5; ${unit}`],
    ["unit: [a, b]", `37: services.web.unit: this is a list; ${unit}`],
    [
      "user: no",
      '37: services.web.user: "no" is not the name of a user; leave user out for any; for a user of this name, write the numeric id',
    ],
    ["user: true", `37: services.web.user: this is the value true; ${user}`],
    ["user:", `37: services.web.user: this is empty; ${user}`],
    [
      "user: -1",
      "37: services.web.user: the id -1 does not exist; the id of a user is 0 to 4294967294",
    ],
    [
      "group: 4294967295",
      "38: services.web.group: the id 4294967295 does not exist; the id of a group is 0 to 4294967294",
    ],
    [
      "user: 007",
      "37: services.web.user: 007 is not a plain decimal number; write 7: whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
    [
      'user: "007"',
      '37: services.web.user: the id "007" does not exist; the id of a user is 0 to 4294967294, without leading zeros',
    ],
    [
      "user: www-data:adm",
      '37: services.web.user: the user "www-data:adm" is a user and a group; write user: www-data and group: adm',
    ],
    [
      "user: DOMAIN\\x",
      '37: services.web.user: the user "DOMAIN\\\\x" is not the name of a user; a name has letters, digits, "_", "-" and ".", such as www-data; for another one, write the numeric id',
    ],
    [
      `group: ${"x".repeat(32)}`,
      `38: services.web.group: the group "${"x".repeat(32)}" has 32 characters; a name has at most 31: write the numeric id`,
    ],
    [
      "uid: 5",
      '31: services.web.uid: the key "uid" is not known; write user, with the name of the user or the numeric id',
    ],
    [
      "owner: www-data",
      '31: services.web.owner: the key "owner" is not known; write unit, user or group, with the systemd unit or the account that the daemon runs as',
    ],
    [
      "systemd: nginx",
      '31: services.web.systemd: the key "systemd" is not known; write unit, with the name of the systemd unit, such as nginx.service',
    ],
    [
      "mptcp: off",
      "31: services.web.mptcp: mptcp is about the service's own sockets, and it is not known whose those are; add unit, user or group to the service",
    ],
    [
      "wildcard: deny",
      "31: services.web.wildcard: wildcard is about the service's own sockets, and it is not known whose those are; add unit, user or group to the service",
    ],
    [
      "user: a, wildcard: rewrite",
      "50: services.web.wildcard: wildcard: rewrite gives sockets of each family an address, and the service has none of IPv6; write address: auto, or add one",
    ],
    [
      "user: a, mptcp: on",
      '47: services.web.mptcp: mptcp cannot be "on"; write mptcp: off, or leave it out (on)',
    ],
  ];
  test.each(rows)("%s", (keys, problem) => {
    expect(problemsOf(withService(keys))).toEqual([`rules.yaml:3:${problem}`]);
  });
});

test("one owner has one policy, however many services are its own", () => {
  const services = (...policies: string[]): string =>
    ["version: 1", "services:"]
      .concat(
        policies.map((keys, i) => `  s${i}: { address: 127.0.1.${i + 1}, unit: nginx${keys} }`),
      )
      .join("\n");
  expect(ruleSetOf(services(", wildcard: deny", "", ", wildcard: deny")).services).toHaveLength(3);
  expect(
    problemsOf(services(", wildcard: deny", ", user: app, wildcard: allow", ", wildcard: allow")),
  ).toEqual([
    "rules.yaml:5:52: services.s2.wildcard: the service s0 at rules.yaml:3:3 has the same owner and wildcard: deny; write the same for both, or leave it out of one",
  ]);
});

describe("who may listen on the dialled address", () => {
  test("is anyone, or owners whose order means nothing", () => {
    expect(mappingOf("listeners: anyone")?.listeners).toBe("anyone");
    expect(mappingOf("listeners: { unit: nginx }")?.listeners).toEqual([{ unit: "nginx.service" }]);
    const some = mappingOf("listeners: [{ user: b }, { user: 7, group: a }, { user: b }]");
    expect(some?.listeners).toEqual([{ user: "b" }, { user: 7, group: "a" }]);
    expect(mappingOf("listeners: [{ group: a, user: 7 }, { user: b }]")?.listeners).toEqual(
      some?.listeners,
    );
    expect(mappingOf("miss: pass")).not.toHaveProperty("listeners");
  });

  const form = "write anyone, { unit: nginx.service }, { user: www-data }, or a list of those";
  const rows: readonly (readonly [keys: string, problem: string])[] = [
    ["listeners: []", `37: mappings[0].listeners: the list is empty; ${form}`],
    [
      "listeners: {}",
      "37: mappings[0].listeners: this names nobody; write { unit: nginx.service }, { user: www-data } or anyone",
    ],
    [
      "listeners: nginx",
      '37: mappings[0].listeners: this is the text "nginx"; write { unit: nginx.service } or { user: nginx }',
    ],
    [
      "listeners: [nginx.service]",
      '38: mappings[0].listeners[0]: this is the text "nginx.service"; write { unit: nginx.service }',
    ],
    [
      "listeners: any",
      '37: mappings[0].listeners: listeners cannot be "any"; did you mean anyone?',
    ],
    ["listeners: [anyone]", `38: mappings[0].listeners[0]: this is the text "anyone"; ${form}`],
    [
      "listeners: { uid: 5 }",
      '39: mappings[0].listeners.uid: the key "uid" is not known; write user, with the name of the user or the numeric id',
    ],
    [
      "listeners: { user: -1 }",
      "45: mappings[0].listeners.user: the id -1 does not exist; the id of a user is 0 to 4294967294",
    ],
    [
      "user: www-data",
      '26: mappings[0].user: the key "user" is not known; write listeners, such as listeners: { unit: nginx.service }, for who may listen on the dialled address; whose a service is, its own entry says',
    ],
  ];
  test.each(rows)("is refused as %s", (keys, problem) => {
    expect(problemsOf(withMapping(keys))).toEqual([`rules.yaml:4:${problem}`]);
  });
});

describe("what the host does with others", () => {
  test("is said once for all, or by who binds, in any order", () => {
    expect(settingsOf("strangers: report\nwildcard: deny")).toEqual({
      strangers: "report",
      wildcard: { default: "deny" },
    });
    const { wildcard } = settingsOf(
      "wildcard: { users: { 33: allow, app: deny }, units: { nginx: deny, a.service: report } }",
    );
    expect(wildcard).toEqual({
      units: { "a.service": "report", "nginx.service": "deny" },
      users: { 33: "allow", app: "deny" },
    });
    expect(Object.keys(wildcard?.units ?? {})).toEqual(["a.service", "nginx.service"]);
  });

  const rows: readonly (readonly [keys: string, problem: string])[] = [
    ["strangers: deny", '12: strangers: strangers cannot be "deny"; write refuse, report or allow'],
    [
      "wildcard: rewrite",
      "11: wildcard: rewrite gives sockets the address of a service, and this is about no service; write wildcard: rewrite in the service whose sockets they are; here, allow, report or deny",
    ],
    [
      "wildcard: {}",
      "11: wildcard: this says nothing; write default, units or users, or remove it",
    ],
    [
      "wildcard: { units: {} }",
      "13: wildcard.units: units has no names; write a name with its policy, or remove units",
    ],
    [
      "wildcard: { units: { nginx: deny, nginx.service: allow } }",
      '35: wildcard.units["nginx.service"]: nginx.service is in the list already; remove one of the two',
    ],
    [
      "wildcard: { users: { no: deny } }",
      '22: wildcard.users.no: "no" is not the name of a user; leave user out for any; for a user of this name, write the numeric id',
    ],
    [
      "wildcard: { units: { nginx: rewrite } }",
      "29: wildcard.units.nginx: rewrite gives sockets the address of a service, and this is about no service; write wildcard: rewrite in the service whose sockets they are; here, allow, report or deny",
    ],
    [
      "wildcard: [deny]",
      "11: wildcard: this is a list; write allow, report or deny, or { default: report, units: { nginx.service: allow } }",
    ],
    [
      "wildcard: { groups: { adm: deny } }",
      '13: wildcard.groups: the key "groups" is not known; the keys here are default, units, users',
    ],
  ];
  test.each(rows)("is refused as %s", (keys, problem) => {
    expect(problemsOf(withKeys(keys))).toEqual([`rules.yaml:3:${problem}`]);
  });
});
