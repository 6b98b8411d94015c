/** Another program's page on the same machine, under a port of its own: what an agent's dev server could serve. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Neighbour {
  url: string;
  end(): Promise<void>;
}

/** Serves this document at every path. */
export async function neighbour(html: string): Promise<Neighbour> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
    response.end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    end: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}
