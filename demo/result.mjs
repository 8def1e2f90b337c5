// What the answers say: who served whom, and did every backend see the client's own address?
import { PORTS } from "./service.mjs";

const unique = (values) => [...new Set(values)];

/** Of one client: `answers` as client.mjs prints them. */
export function judge({ name, address, answers }) {
  const backends = unique(answers.flatMap(({ backend }) => backend ?? []));
  const strange = unique(answers.flatMap((answer) => answer.address ?? [])).filter(
    (seen) => seen !== address,
  );
  return {
    name,
    address,
    answers,
    backends,
    /** Addresses other than its own under which it was seen. */
    strange,
    failed: answers.some(({ error }) => error !== undefined),
    split: backends.length > 1,
  };
}

export const TITLES = [
  "client",
  "address",
  ...PORTS.map(({ title }) => title),
  "one backend?",
  "address kept?",
];

function oneBackend({ failed, split, backends }) {
  if (split) return `no, split over ${backends.length}`;
  return failed ? "no, no answer" : "yes";
}

function addressKept({ strange, backends }) {
  if (strange.length > 0) return `no: ${strange.join(", ")}`;
  return backends.length > 0 ? "yes" : "-";
}

/** Cells of the table. */
export function row(client) {
  return [
    client.name,
    client.address,
    ...PORTS.map(({ title }) =>
      unique(
        client.answers
          .filter((answer) => answer.title === title)
          .map(({ backend, error }) => backend ?? error),
      ).join(", "),
    ),
    oneBackend(client),
    addressKept(client),
  ];
}
