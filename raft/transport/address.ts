/** Addresses of NodeHosts: `host:port`, with an IPv6 host in brackets. */

/** The two halves of an address. */
export interface HostAndPort {
  /** Name or IP address, without brackets. */
  readonly hostname: string;
  /** 0 to 65535. */
  readonly port: number;
}

/**
 * Splits `host:port`.
 *
 * @throws {TypeError} if it is not of that form.
 */
export function splitAddress(address: string): HostAndPort {
  const colon = address.lastIndexOf(":");
  let hostname = address.slice(0, Math.max(colon, 0));
  const digits = address.slice(colon + 1);
  if (hostname.startsWith("[") && hostname.endsWith("]")) {
    hostname = hostname.slice(1, -1);
  }
  if (hostname === "" || !/^\d{1,5}$/.test(digits) || Number(digits) > 65_535) {
    throw new TypeError(`Cannot use address "${address}": it is not host:port`);
  }
  return { hostname, port: Number(digits) };
}

/** Whether a text is `host:port`. */
export function isAddress(text: string): boolean {
  try {
    splitAddress(text);
    return true;
  } catch {
    return false;
  }
}

/** Joins the two halves. */
export function joinAddress({ hostname, port }: HostAndPort): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${host}:${port}`;
}

/** The host of an address, for counting strangers by machine; the whole text if it is not `host:port`. */
export function hostOf(address: string): string {
  const colon = address.lastIndexOf(":");
  return colon < 0 ? address : address.slice(0, colon);
}
