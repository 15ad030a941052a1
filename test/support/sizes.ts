/** How much the suites try that are samples. ILM_SIZE=whole: everything. */
const whole = process.env["ILM_SIZE"] === "whole";

/** At how many of its steps each change is killed in test/fault/kills.test.ts. */
export const killSteps: number = whole ? Number.POSITIVE_INFINITY : 2;
