/** What --help says below the list of commands. */
import { RULES_FILE, variables } from "./env.ts";
import { table } from "./output.ts";

const environment = table(
  variables.map(({ name, meaning, fallback }) => [
    name.padEnd(26) + (fallback === "" ? meaning : `${meaning} [${fallback}]`),
  ]),
);

export const rootHelp = `
Without a command, sfunnel does what these variables say, prints what it did and exits.
What it attached stays, and goes with the interface; nothing is left in a bpffs.

Environment [default]:
${environment}
  ${RULES_FILE.padEnd(26)}the rules where no variable holds them

Examples:
  On the service's side (a pod): 2055/udp comes through the service's port 179/tcp
    SFUNNEL_RULESET='tcp dport 179 actions unfunnel udp allow 2055' sfunnel

  On the client's side: the flow leaves as a TCP flow to port 179
    IFACES=eth0 DIRECTION=egress \\
    SFUNNEL_RULESET='udp dport 2055 actions funnel tcp dport 179 sport 540' sfunnel

  sfunnel plan --help            the rules of both sides, made for you
  sfunnel check rules.txt        are these rules good?
  sfunnel stats eth0             what is attached to eth0, and what has it counted?
  CLEAN=1 DIRECTION=both sfunnel take it all off again

Exit codes:
  0  done
  1  it could not be done (bad rules, no such interface, missing capabilities, ...), or check
     found errors; nothing of this run stays attached
  2  the command line or a variable is wrong, or there are no rules

Attaching needs CAP_BPF and CAP_NET_ADMIN. CAP_SYS_ADMIN as well to enter another NETNS, for
show, stats and clean, and for tcx; without it, sfunnel attaches with clsact.
`;

export const checkHelp = `
Reads FILE, or stdin for "-"; without FILE, the rules that sfunnel without a command would load.
Exit code 0 where they can be loaded (warnings or not), 1 where not; with --strict 1 for warnings.
`;

export const planHelp = `
Prints both sides' rules as a shell reads them, to be given to sfunnel (or to a container) there,
and as comments what they cost and what to know before. Nothing is loaded; needs no privileges.

TCP is translated: no packet grows. UDP, and everything over a service port of UDP, gets a carrier,
which costs 20 bytes a packet over TCP and 8 over UDP. The service port's own traffic goes as it is.

Where flows are funneled:
  host                 on the client itself, as they leave (egress)
  gateway              on the one gateway that they pass both ways, as they come in (ingress)
  redundant-gateways   on each of several; answers may take another one. TCP gets carriers too

Examples:
  sfunnel plan --service 179/tcp --address 203.0.113.1 2055,4739,6343/udp
  sfunnel plan --service 2055/udp --address 203.0.113.1 --address 2001:db8::1 2055,4739/udp 179/tcp
`;

export const showHelp = `
Attachments of one program share its counters: sfunnel loads one for all of its interfaces.
`;

export const cleanHelp = `
Removes programs of sfunnel, of any process, and nothing else. A clsact qdisc stays, since
others may count on it.
`;
