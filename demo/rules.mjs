// sfunnel's rules for the demo's service, as plan() makes them: port 80 alone decides on the backend.
import { plan } from "sfunnel";

/** All ports of the service go through its first one, which itself goes as it is. */
export function rulesFor({ address, ports }) {
  const [{ transport: protocol, port }, ...others] = ports;
  const { client, service } = plan({
    service: { address, port, protocol },
    flows: others.map((flow) => ({ protocol: flow.transport, port: flow.port })),
  });
  return { client: client.egress, backend: service.ingress };
}
