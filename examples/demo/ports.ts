/** Ports for processes that come and go. */

/**
 * Ports that are free now, from below the range out of which the system serves outgoing connections: between the
 * death of a NodeHost and its return, one of those could take its port otherwise.
 */
export function freePorts(count: number): number[] {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      ports.add(port);
    } catch (error) {
      if (tries > 1_000) throw error;
    }
  }
  return [...ports];
}
