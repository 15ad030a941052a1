// Two groups. `unit` runs anywhere. `privileged` needs root, BPF and network namespaces; where one of them is missing its
// suites fail with the reason and are never skipped (test/support/requirements.ts).
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "test/fuzz/**/*.test.ts"],
          testTimeout: 180_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "privileged",
          include: [
            "test/netns/**/*.test.ts",
            "test/fault/**/*.test.ts",
            "test/oracle/**/*.test.ts",
            "test/soak/**/*.test.ts",
          ],
          globalSetup: ["test/support/requirements.ts"],
          setupFiles: ["test/support/require-privileges.ts"],
          // One file at a time: the suites compare what is loaded in the whole kernel, and a fault suite keeps both
          // cores of a small machine busy.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
