// Goal: who may read and who may change is decided by the kernel's word on the peer, and each
// request says which of the two it takes.
import { describe, expect, test } from "vitest";
import { changeRoutes, isChangePath, routeOf, routes, type ApiPath } from "../../../src/api/api.js";
import {
  allows,
  lacksRight,
  mayChooseFile,
  noGroups,
  rightOf,
  type ApiGroups,
} from "../../../src/api/rights.js";

const groups: ApiGroups = {
  readers: { name: "ilm-read", gid: 100 },
  writers: { name: "ilm-write", gid: 200 },
};
const peer = (uid: number, ...gids: number[]) => ({ pid: 42, uid, gids });

describe("the right of a peer", () => {
  test.each([
    ["root", peer(0, 0), "change"],
    ["the daemon's own user", peer(500, 500), "change"],
    ["a member of the readers", peer(1000, 1000, 7, 100), "read"],
    ["whose own group is that of the readers", peer(1000, 100), "read"],
    ["a member of the writers", peer(1000, 1000, 200), "change"],
    ["a member of both", peer(1000, 1000, 100, 200), "change"],
    ["a member of neither", peer(1000, 1000, 101), null],
    ["a user whose number is that of a group", peer(200, 1000), null],
  ])("%s", (_who, one, right) => {
    expect(rightOf(one, groups, 500)).toBe(right);
  });

  test("without groups, only root and the daemon's own user have one", () => {
    expect(rightOf(peer(1000, 0, 100), noGroups, 0)).toBeNull();
    expect(rightOf(peer(0, 0), noGroups, 500)).toBe("change");
  });

  test("to have the daemon follow another file is root's and the daemon's own user's", () => {
    expect(mayChooseFile(peer(0, 0), 500)).toBe(true);
    expect(mayChooseFile(peer(500, 500), 500)).toBe(true);
    expect(mayChooseFile(peer(1000, 200), 500)).toBe(false);
  });

  test("to change includes to read, and not the other way round", () => {
    expect(allows("change", "read")).toBe(true);
    expect(allows("read", "read")).toBe(true);
    expect(allows("read", "change")).toBe(false);
    expect(allows(null, "read")).toBe(false);
  });
});

describe("a request", () => {
  test("needs the right to change exactly when it is a POST, and then has a decoder", () => {
    for (const [path, { method, needs }] of Object.entries(routes)) {
      expect(needs, path).toBe(method === "POST" ? "change" : "read");
      expect(isChangePath(path), path).toBe(needs === "change");
    }
    const changing = Object.keys(routes).filter(
      (path) => routes[path as ApiPath].needs === "change",
    );
    expect(changing).toEqual(Object.keys(changeRoutes));
  });

  test("is known by its method and path, and by no inherited name", () => {
    expect(routeOf("GET", "/v1/status")).toBe("/v1/status");
    expect(routeOf("POST", "/v1/status")).toBeUndefined();
    expect(routeOf("GET", "/v1/unload")).toBeUndefined();
    expect(routeOf("GET", "constructor")).toBeUndefined();
    expect(routeOf(undefined, "/v1/status")).toBeUndefined();
  });
});

test.each([
  ["read", groups, /^Run the command as root, or as a member of the group ilm-read or ilm-write: /],
  ["change", groups, /^Run the command as root, or as a member of the group ilm-write: /],
  ["read", noGroups, /start the daemon with `--readers GROUP` or `--writers GROUP`/],
  ["change", { ...groups, writers: null }, /start the daemon with `--writers GROUP`/],
] as const)("a refusal to %s says who asked and what would help", (needed, given, remedy) => {
  const refusal = lacksRight(peer(1000, 1000), needed, given);
  expect(refusal.code).toBe("NOT_PERMITTED");
  expect(refusal.message).toMatch(/^user 1000 \(process 42\) may not /);
  expect(refusal.remedy).toMatch(remedy);
});
