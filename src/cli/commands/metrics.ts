/** `ilm metrics`: prints the metrics page, from the daemon or from the kernel. */
import type { MetricsJson } from "../../json/metrics.js";
import { published } from "../../json/published.js";
import { metricsPage } from "../../daemon/collect.js";
import { IlmError } from "../../errors.js";
import { LISTED_MAPPINGS_MAX } from "../../daemon/metrics.js";
import { OpenCounts } from "../../daemon/open-counts.js";
import { RefusalTotals } from "../../daemon/refusal-totals.js";
import { samplesOf } from "../render/samples.js";
import { print, type Context } from "../shell/context.js";
import { withDataPlane } from "../shell/with-data-plane.js";
import { parseMetricsLimit } from "../shell/metrics-options.js";

export interface MetricsOptions {
  readonly metricsLimit?: string;
}

export async function metrics(context: Context, options: MetricsOptions): Promise<void> {
  const limit = parseMetricsLimit(options.metricsLimit) ?? LISTED_MAPPINGS_MAX;
  const daemon = await context.reach.accessDaemon();
  // A socket that a killed daemon left behind answers nothing.
  const own = (await daemon?.metrics()) ?? null;
  if (own !== null && options.metricsLimit !== undefined) {
    throw new IlmError(
      "USAGE",
      "--metrics-limit: the page is the running daemon's, with its own limit",
      {
        remedy: "Give --metrics-limit to `ilm run`, or leave it out here.",
      },
    );
  }
  const page = own ?? (await fromKernel(context, limit));
  await print(context, published<MetricsJson>()(samplesOf(page)), () => page);
}

async function fromKernel(context: Context, limit: number): Promise<string> {
  return await withDataPlane(context, (dataPlane) =>
    metricsPage(dataPlane, {
      limit,
      refusals: new RefusalTotals().add(dataPlane.refusals()),
      open: new OpenCounts(),
      daemon: null,
    }),
  );
}
