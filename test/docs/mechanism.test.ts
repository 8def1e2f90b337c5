/** The tests of the documents fail when a snippet breaks: shown on documents made for it. */
import { describe, expect, it } from "vitest";
import { anchorsOf, inlineRulesOf, linksOf, snippetsOf } from "./document.ts";
import { environmentOf } from "./manifest-snippet.ts";
import { commandsOf } from "./shell.ts";
import { problemOf } from "./snippets.ts";

function documentOf(...lines: string[]) {
  return { path: "made.md", text: lines.join("\n") };
}

/** The problem of the last snippet of a document. */
async function problemOfLast(...lines: string[]): Promise<string | undefined> {
  const snippet = snippetsOf(documentOf(...lines)).at(-1);
  if (!snippet) throw new Error("no snippet");
  return problemOf(snippet);
}

const inFence = (language: string, ...lines: string[]) => [`\`\`\`${language}`, ...lines, "```"];

describe("a document", () => {
  it("gives its snippets with line, language and text, also from inside a list", () => {
    const document = documentOf(
      ...["# A", "```js title", "a", "", "b", "```", "- x", "  ```sh", "  ls", "  ```", "````text"],
      ...["```", "````"],
    );
    expect(snippetsOf(document).map(({ line, language, text }) => [line, language, text])).toEqual([
      [2, "js", "a\n\nb\n"],
      [8, "sh", "ls\n"],
      [11, "text", "```\n"],
    ]);
  });

  it("is refused with a fence that is never closed", () => {
    expect(() => snippetsOf(documentOf("```js", "a", "``"))).toThrow("made.md:1");
  });

  it("gives the rules, links and anchors of its prose and not of its snippets", () => {
    const document = documentOf(
      ...["## What it *does*, today", "`tcp actions", "drop` and `actions`, [a](b.md#c)"],
      ...inFence("text", "`udp actions drop` [d](e.md)", "# no heading"),
      '<img src="docs/f.svg">',
    );
    expect(inlineRulesOf(document)).toEqual([{ line: 2, value: "tcp actions drop" }]);
    expect(linksOf(document).map(({ value }) => value)).toEqual(["b.md#c", "docs/f.svg"]);
    expect(anchorsOf(document)).toEqual(new Set(["what-it-does-today"]));
  });
});

describe("rules", () => {
  const marked = [
    "udp dport 2055 actions funnel tcp dport 179 sport 540",
    "tcp port 80 actions accept  # warns: port-matches-either",
    "tcp dport 0 actions drop  # refused: bad-port",
  ];

  it("pass when everything that is to be said is said", async () => {
    expect(await problemOfLast(...inFence("sfunnel", ...marked))).toBeUndefined();
  });

  it.each([
    ["a rule that is malformed", "tcp dport 0 actions drop", 'untold: "refused: bad-port"'],
    ["a warning", "tcp port 80 actions drop", 'untold: "warns: port-matches-either"'],
    ["a warning that is not there", "tcp actions drop # warns: host-bits", 'untrue: "warns: host-'],
    ["another error", "tcp dport 0 actions drop # refused: bad-range", 'untrue: "refused: bad-ra'],
    ["nothing", "# no rule", "no rule"],
  ])("do not pass with %s", async (_, line, problem) => {
    expect(await problemOfLast(...inFence("sfunnel", line))).toContain(problem);
  });
});

describe("a grammar", () => {
  it("passes when its sentences are rules", async () => {
    const lines = ['a = b "actions" ("accept" | "drop")', 'b = "tcp" [ "dport" port ]'];
    expect(await problemOfLast(...inFence("ebnf", ...lines))).toBeUndefined();
  });

  it.each([
    ["a word that the parser does not know", 'a = "tcp" "actions" ("drop" | "dorp")', "dorp"],
    ["words in another order", 'a = "tcp" { port "dport" } "actions" "drop"', "dport"],
    ["a name without a definition", 'a = "tcp" "actions" verb', '"verb"'],
    ["a bracket that stays open", 'a = "tcp" ( "actions" "drop"', ") is missing"],
    ["no rule at all", 'a = ""', "no sentence"],
  ])("does not pass with %s", async (_, line, problem) => {
    expect(await problemOfLast(...inFence("ebnf", line))).toContain(problem);
  });
});

describe("programs", () => {
  it("pass when they end well, print what they say, and see eth0", async () => {
    const lines = [
      'import { networkInterfaces } from "node:os";',
      'import { parseRules } from "sfunnel";',
      'console.log(parseRules("tcp actions drop").length); // prints: 1',
      "console.log(Object.keys(networkInterfaces()).sort().join()); // prints: eth0,lo",
    ];
    expect(await problemOfLast(...inFence("js", ...lines))).toBeUndefined();
    expect(await problemOfLast(...inFence("ts", ...lines))).toBeUndefined();
  });

  /** Waits so long for a client, which has to start and to load its program first. */
  const service = (milliseconds: number) => [
    "// service side",
    'import { createSocket } from "node:dgram";',
    'import { once } from "node:events";',
    'import { Funnel } from "sfunnel";',
    'const funnel = await Funnel.load({ ingress: "tcp dport 179 actions unfunnel udp" });',
    'await funnel.attach("eth0");',
    'const socket = createSocket("udp4");',
    "socket.bind(2055, () => console.log(1)); // prints: 1",
    `await once(socket, "message", { signal: AbortSignal.timeout(${milliseconds}) });`,
    "socket.close();",
    "await funnel.close();",
  ];
  const client = (rule: string) => [
    "// client side",
    'import { createSocket } from "node:dgram";',
    'import { Funnel } from "sfunnel";',
    `const funnel = await Funnel.load({ egress: "${rule}" });`,
    'await funnel.attach("eth0");',
    'const socket = createSocket("udp4");',
    'socket.send("x", 2055, "192.0.2.10", () => socket.close());',
  ];

  it("pass as a pair when the one reaches the other, funneled", async () => {
    const rule = "udp dport 2055 actions funnel tcp dport 179 sport 540";
    const lines = [...inFence("js", ...service(15_000)), ...inFence("ts", ...client(rule))];
    expect(await problemOfLast(...lines)).toBeUndefined();
  });

  it("do not pass as a pair when the one does not reach the other, or is missing", async () => {
    const lone = inFence("js", ...service(2000));
    const lines = [...lone, ...inFence("js", ...client("udp actions accept"))];
    expect(await problemOfLast(...lines)).toContain("TimeoutError");
    expect(await problemOfLast(...lone)).toContain("one program for each");
  });

  it.each([
    ["js", "a rule that is refused", 'parseRules("tcp actions dorp");', "dorp"],
    ["js", "an export that is not there", 'import { Funel } from "sfunnel";', "Funel"],
    ["js", "other output", "console.log(1); // prints: 2", "says that it prints\n2"],
    ["js", "a status of its own", "process.exitCode = 3;", "ended with 3"],
    ["ts", "a wrong type", "parseRules(1);", "TS2345"],
    ["ts", "a rule that is refused", 'parseRules("tcp actions dorp");', "dorp"],
  ])("in %s do not pass with %s", async (language, _, line, problem) => {
    const source = ['import { parseRules } from "sfunnel";', line, "parseRules('');"];
    expect(await problemOfLast(...inFence(language, ...source))).toContain(problem);
  });
});

describe("commands", () => {
  it("are found behind assignments, in chains, and not in quotes or here documents", () => {
    const text = [
      'A=1 B="x; y" one two && three | four',
      "five \\",
      "  six; C=2",
      "cat > file <<'END'",
      "seven",
      "END",
      "# eight",
    ].join("\n");
    expect(commandsOf(`${text}\n`)).toEqual(["one", "three", "four", "five", "cat"]);
  });

  it("pass when they succeed in a namespace with eth0", async () => {
    const lines = ["npm test", "ip link show eth0", "npm install sfunnel"];
    expect(await problemOfLast(...inFence("sh", ...lines))).toBeUndefined();
  });

  it.each([
    ["one that documents may not use", "curl example.org", '"curl"'],
    ["one that fails", "ip link show eth9\necho done", "eth9"],
    ["a script that does not exist", "npm run demonstrate", "demonstrate"],
    ["another package", "npm install sfunel", "sfunel"],
    ["an option that the played docker does not know", "docker run --prvileged x", "prvileged"],
    ["a manifest that does not exist", "kubectl apply -f examples/none.yaml", "none.yaml"],
    ["a folder without kustomization", "kubectl apply -k examples", "-k and a folder"],
  ])("do not pass with %s", async (_, line, problem) => {
    expect(await problemOfLast(...inFence("sh", line))).toContain(problem);
  });

  it("print what the text behind them shows", async () => {
    const echo = inFence("sh", "echo one");
    expect(await problemOfLast(...echo, ...inFence("text", "one"))).toBeUndefined();
    expect(await problemOfLast(...echo, ...inFence("text", "two"))).toContain("one");
    expect(await problemOfLast(...inFence("text", "one"))).toContain("output of nothing");
  });
});

describe("JSON", () => {
  it("passes line by line, and not with a line that is none", async () => {
    expect(await problemOfLast(...inFence("json", '{"a": 1}', "[2]"))).toBeUndefined();
    expect(await problemOfLast(...inFence("json", '{"a": 1}', "{a: 2}"))).toContain("JSON");
  });
});

describe("a manifest", () => {
  const rules = "tcp dport 80 actions unfunnel tcp allow 8080";
  const manifest = (...value: string[]) => ["env:", "  - name: SFUNNEL_RULESET", ...value];

  it("gives its environment, however a value is written", () => {
    for (const value of [
      [`    value: ${rules}`],
      [`    value: "${rules}"`],
      ["    value: |", `      ${rules}`, "image: x"],
    ]) {
      expect(environmentOf(manifest(...value).join("\n")).get("SFUNNEL_RULESET")).toBe(rules);
    }
  });

  it("does not pass with rules that the command refuses", async () => {
    const lines = manifest("    value: tcp actions dorp");
    expect(await problemOfLast(...inFence("yaml", ...lines))).toContain("dorp");
  });
});

it("does not pass a language that nobody checks", async () => {
  expect(await problemOfLast(...inFence("python", "pass"))).toContain('"python"');
  expect(await problemOfLast(...inFence("", "pass"))).toContain('""');
  expect(await problemOfLast(...inFence("constructor", "pass"))).toContain('"constructor"');
});
