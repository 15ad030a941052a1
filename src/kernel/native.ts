/**
 * Loads koffi's native code before koffi does, which says only that something is missing. It is a
 * package of its own for each kind of machine, and optional to npm: an installation that could not
 * fetch it ends as if it were whole.
 */
import { createRequire } from "node:module";
import { IlmError, shortageInWords, unavailable } from "../errors.js";

const name = `@koromix/koffi-${process.platform}-${process.arch}`;

try {
  createRequire(import.meta.url)(name);
} catch (cause) {
  if (!(cause instanceof Error && "code" in cause)) throw cause;
  const errno = shortageInWords(cause);
  throw (errno && unavailable(`${name} cannot be loaded`, errno, cause)) ?? unusable(cause);
}

/** Explains why there is no native code, by the error of Node's loader. */
function unusable(cause: Error & { readonly code: unknown }): IlmError {
  if (cause.code === "MODULE_NOT_FOUND") {
    return new IlmError(
      "NO_KOFFI",
      `the package ${name} is not installed, through which ilm calls the kernel`,
      {
        cause,
        remedy:
          "npm leaves it out, without an error, where it cannot fetch it, and with --omit=optional: install ilm again with access to npm's registry",
      },
    );
  }
  return new IlmError("NO_KOFFI", `the package ${name} cannot be loaded: ${cause.message}`, {
    cause,
    remedy:
      "Install ilm again with the npm of the Node that runs it, on a system with glibc or musl",
  });
}
