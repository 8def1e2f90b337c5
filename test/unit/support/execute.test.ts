/** The small shell that starts commands for tests. */
import { expect, it } from "vitest";
import { CommandError, execute } from "../../support/execute.ts";

it("gives what a command prints, whatever stands in its words", () => {
  const words = ["", "a b", "it's", "$HOME `id` \\", "two\nlines", "*", 'ä"'];
  expect(execute("printf", ["%s|", ...words])).toBe(words.map((word) => `${word}|`).join(""));
  expect(execute("true", [])).toBe("");
});

it("gives it its input, and no other one", () => {
  expect(execute("cat", [], "in\nand out")).toBe("in\nand out");
  expect(execute("cat", [])).toBe("");
  const long = "x".repeat(1_000_000);
  expect(execute("cat", [], long)).toBe(long);
});

it("throws what a command says when it does not end well", () => {
  const failing = () => execute("sh", ["-c", "echo out; echo err >&2; exit 3"]);
  expect(failing).toThrow(CommandError);
  expect(failing).toThrow("Command failed (3): sh -c echo out");
  try {
    failing();
  } catch (error) {
    expect(error).toMatchObject({ status: 3, stdout: "out\n", stderr: "err\n" });
  }
  expect(() => execute("no-such-command", [])).toThrow("(127): no-such-command");
  // The next one is as good as ever.
  expect(execute("echo", ["well"])).toBe("well\n");
});
