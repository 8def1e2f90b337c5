/** The interpreter of our programs in Python. */
import { existsSync } from "node:fs";

/** Debian's, which scripts/setup.mjs installs. */
const DEBIAN = "/usr/bin/python3";

/**
 * Debian's own where it is there: what comes before it in the PATH may be a script that starts a dozen
 * processes to find an interpreter.
 */
export const PYTHON = existsSync(DEBIAN) ? DEBIAN : "python3";
