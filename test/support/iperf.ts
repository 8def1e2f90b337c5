/** iperf3 between two hosts of a Lab, and what it says of the receiver's side. */
import { eventually, type Host, type Lab, onOneCpu } from "./lab.ts";

export interface IperfOptions {
  readonly port: number;
  /** As iperf3 reads it: "20M". */
  readonly bytes: string;
  /** Of TCP: no more than so many bits a second ("16M"). */
  readonly bitrate?: string;
  /** Of TCP. */
  readonly congestion?: "cubic" | "bbr";
  /** UDP instead, at so many bits a second ("50M"), in datagrams of this length. */
  readonly udp?: { readonly rate: string; readonly length: number };
  /** The server sends. */
  readonly reverse?: boolean;
}

export interface IperfResult {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Of TCP: segments that were sent again. */
  readonly retransmits: number;
  /** Of UDP, as the receiver counts. */
  readonly packets: number;
  readonly lost: number;
  readonly outOfOrder: number;
}

/** What is of use of iperf3's report. */
interface Report {
  readonly end: {
    readonly sum_sent: {
      readonly bytes: number;
      readonly retransmits?: number;
    };
    readonly sum_received: {
      readonly bytes: number;
      readonly packets?: number;
      readonly lost_packets?: number;
    };
    readonly streams: readonly { readonly udp?: { readonly out_of_order?: number } }[];
  };
}

/** One transfer, to the end; throws with what iperf3 says if that fails. */
export async function iperf(
  lab: Lab,
  server: Host,
  client: Host,
  address: string,
  options: IperfOptions,
): Promise<IperfResult> {
  const port = `${options.port}`;
  // On one CPU, where the order of datagrams is looked at.
  const command = options.udp ? onOneCpu("iperf3") : ["iperf3"];
  const served = lab.execute(server, ...command, "--server", "--one-off", "--port", port);
  const listening = () => lab.run(server, "ss", "-Hltn", "sport", "=", `:${port}`);
  await Promise.race([served, eventually(() => listening().includes("LISTEN"))]);
  const reported = lab.execute(
    client,
    ...command,
    ...["--client", address, "--port", port, "--json", "--bytes", options.bytes],
    ...["--connect-timeout", "10000"],
    ...(options.bitrate ? ["--bitrate", options.bitrate] : []),
    ...(options.congestion ? ["--congestion", options.congestion] : []),
    ...(options.udp
      ? ["--udp", "--bitrate", options.udp.rate, "--length", `${options.udp.length}`]
      : []),
    ...(options.reverse ? ["--reverse"] : []),
  );
  const [report] = await Promise.all([reported, served]);
  const { end } = JSON.parse(report) as Report;
  return {
    sentBytes: end.sum_sent.bytes,
    receivedBytes: end.sum_received.bytes,
    retransmits: end.sum_sent.retransmits ?? 0,
    packets: end.sum_received.packets ?? 0,
    lost: end.sum_received.lost_packets ?? 0,
    outOfOrder: end.streams.reduce((sum, { udp }) => sum + (udp?.out_of_order ?? 0), 0),
  };
}
