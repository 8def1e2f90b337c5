/**
 * The import borders of lib/ are lint rules of biome.json (see ARCHITECTURE.md). Here the rules
 * themselves are tested: that each border stops what must not cross it, and lets pass what may.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What each folder may import. Anything else, named here or not, is across a border. */
const borders: Readonly<Record<string, { may: readonly string[]; mayNot: readonly string[] }>> = {
  rules: {
    may: ["./types.ts", "../errors.ts"],
    mayNot: [
      ...["../compile/limits.ts", "../plan/plan.ts", "../model/frame.ts", "../native/errno.ts"],
      ...["../runtime/funnel.ts", "../cli/main.ts", "../index.ts", "../../test/support/lab.ts"],
      ...["node:fs", "node:fs/promises", "fast-check", "./../native/errno.ts"],
    ],
  },
  compile: {
    may: ["./limits.ts", "../rules/types.ts", "../errors.ts"],
    mayNot: ["../model/frame.ts", "../native/errno.ts", "../runtime/tables.ts", "node:os"],
  },
  "compile/search": {
    may: ["./hash.ts", "../abi.gen.ts", "../../rules/types.ts"],
    mayNot: ["../encode.ts", "../../native/errno.ts", "../../runtime/tables.ts", "node:os"],
  },
  plan: {
    may: ["./plan.ts", "../rules/types.ts", "../errors.ts"],
    mayNot: ["../compile/encode.ts", "../native/errno.ts", "../runtime/tables.ts", "node:os"],
  },
  model: {
    may: ["./frame.ts", "../rules/types.ts", "../errors.ts"],
    mayNot: ["../compile/encode.ts", "../native/binding.ts", "../runtime/tables.ts", "node:os"],
  },
  native: {
    may: ["./errno.ts", "../errors.ts", "node:module", "node:fs/promises"],
    mayNot: ["../rules/types.ts", "../compile/limits.ts", "../runtime/hook.ts", "../cli/main.ts"],
  },
  runtime: {
    may: [
      ...["./hook.ts", "../rules/types.ts", "../compile/limits.ts", "../native/binding.ts"],
      ...["../compile/search/index.ts", "../errors.ts", "node:fs/promises"],
    ],
    mayNot: ["../model/frame.ts", "../cli/main.ts", "../index.ts"],
  },
  cli: {
    may: [
      "./env.ts",
      "../runtime/funnel.ts",
      "../compile/limits.ts",
      "../rules/types.ts",
      "node:fs",
    ],
    mayNot: ["../native/binding.ts"],
  },
};

/** The ways to write an import; a border holds against all of them. */
const spellings: Readonly<Record<string, (module: string) => string>> = {
  import: (module) => `import "${module}";\n`,
  "import type": (module) => `import type { A } from "${module}";\nexport type B = A;\n`,
  export: (module) => `export { a } from "${module}";\n`,
  "import()": (module) => `export const a = await import("${module}");\n`,
};

interface Report {
  readonly diagnostics: readonly {
    readonly category: string;
    readonly location: { readonly path: string | { readonly file: string } };
  }[];
}

/** Files of a lib/ of its own, each with one import, so that one run of the linter tells all. */
class Sources {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfunnel-borders-"));
  #written = 0;

  constructor() {
    copyFileSync(join(root, "biome.json"), join(this.#folder, "biome.json"));
  }

  /** Gives the path of the file, as the linter will name it. */
  write(place: string, source: string): string {
    const path = `lib/${place.replace("*", `source${this.#written++}`)}`;
    mkdirSync(join(this.#folder, path, ".."), { recursive: true });
    writeFileSync(join(this.#folder, path), source);
    return path;
  }

  /** Paths of the files in which an import crosses a border. */
  lint(): Set<string> {
    const { stdout, stderr, error } = spawnSync(
      join(root, "node_modules/.bin/biome"),
      [
        ...["lint", "--only=style/noRestrictedImports", "--vcs-enabled=false"],
        ...["--max-diagnostics=none", "--reporter=json", "."],
      ],
      { cwd: this.#folder, encoding: "utf8" },
    );
    if (error) throw error;
    let report: Report;
    try {
      report = JSON.parse(stdout) as Report;
    } catch (cause) {
      throw new Error(`biome gave no report: ${stderr}`, { cause });
    }
    return new Set(
      report.diagnostics.map(({ category, location: { path } }) => {
        if (category !== "lint/style/noRestrictedImports") throw new Error(category);
        return typeof path === "string" ? path : path.file;
      }),
    );
  }

  delete(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe("import borders", () => {
  const sources = new Sources();
  const written: { path: string; folder: string; module: string; spelling: string }[] = [];
  let errorsPath: string;
  let nestedPath: string;
  let crossing: Set<string>;

  beforeAll(() => {
    for (const [folder, { may, mayNot }] of Object.entries(borders)) {
      for (const module of [...may, ...mayNot]) {
        for (const [spelling, sourceOf] of Object.entries(spellings)) {
          const path = sources.write(`${folder}/*.ts`, sourceOf(module));
          written.push({ path, folder, module, spelling });
        }
      }
    }
    errorsPath = sources.write("errors.ts", 'import "./rules/types.ts";\n');
    nestedPath = sources.write("rules/deeper/*.ts", 'import "../../native/binding.ts";\n');
    crossing = sources.lint();
  });

  afterAll(() => sources.delete());

  it.each(Object.entries(borders))("of %s", (folder, { mayNot }) => {
    for (const spelling of Object.keys(spellings)) {
      const stopped = written
        .filter((each) => each.folder === folder && each.spelling === spelling)
        .filter(({ path }) => crossing.has(path));
      expect(stopped.map(({ module }) => module)).toEqual(mayNot);
    }
  });

  it("lets errors.ts import nothing", () => {
    expect(crossing).toContain(errorsPath);
  });

  it("reaches into folders of folders", () => {
    expect(crossing).toContain(nestedPath);
  });

  it("knows every folder of lib/", () => {
    const folders = readdirSync(join(root, "lib"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    expect(folders.filter((folder) => !Object.hasOwn(borders, folder))).toEqual([]);
  });
});
