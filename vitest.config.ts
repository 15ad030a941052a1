// Three groups, one after the other. `unit` runs anywhere. The others need root, BPF and network
// namespaces; where one of them is missing their suites fail with the reason and are never skipped
// (test/support/requirements.ts).
import { defineConfig } from "vitest/config";

/** They count, or load, what the whole machine has: one at a time, and nothing beside them. */
const alone = ["test/netns/unload.test.ts"];

/** Of the fuzz suites, the one that needs the kernel. */
const packets = "test/fuzz/packets.test.ts";

const privileged = {
  pool: "forks",
  globalSetup: ["test/support/requirements.ts"],
  setupFiles: ["test/support/require-privileges.ts"],
  // The product as it is built, also where it is called as a library: it finds its BPF objects
  // beside itself.
  server: { deps: { external: [/\/dist\//] } },
  // For what hangs; nothing is judged by the time that it takes.
  testTimeout: 600_000,
  hookTimeout: 600_000,
} as const;

export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "test/fuzz/**/*.test.ts"],
          exclude: [packets],
          testTimeout: 180_000,
          // Modules are loaded once for all files of a worker: a third of the time went into
          // loading them again.
          isolate: false,
          // Vitest would leave a core for itself.
          maxWorkers: "100%",
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...privileged,
          name: "privileged",
          include: ["test/{netns,fault,oracle,soak}/**/*.test.ts", packets],
          exclude: alone,
          // More than there are cores: a suite waits half of its time.
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...privileged,
          name: "alone",
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
