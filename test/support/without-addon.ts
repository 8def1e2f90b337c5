/** For files that share a process: none of them may load the addon, which would live on in the next one. */
process.dlopen = () => {
  throw new Error("this file shares its process: it may load no addon (vitest.config.ts)");
};
