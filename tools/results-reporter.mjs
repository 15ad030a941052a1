// Vitest's JSON report, and in it what Vitest leaves out: the errors that no test caught. A run with one is a failed run,
// whatever its tests say (tools/verdict.mjs).
import { JsonReporter } from "vitest/node";

export default class ResultsReporter extends JsonReporter {
  unhandledErrors = [];

  constructor(options = {}) {
    super(options);
  }

  async onTestRunEnd(testModules, unhandledErrors) {
    this.unhandledErrors = unhandledErrors.map((error) => error.stack ?? error.message);
    await super.onTestRunEnd(testModules);
  }

  async writeReport(report) {
    const { unhandledErrors } = this;
    await super.writeReport(JSON.stringify({ ...JSON.parse(report), unhandledErrors }));
  }
}
