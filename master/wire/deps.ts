/** What the wire format needs from outside. Nothing here reaches a server's packages. */
// The bare name "cbor-x" reads the environment when it loads, and throws without --allow-env; this sub-path does not.
export { Decoder, Encoder } from "npm:cbor-x@^1.6.0/encode";
export { createHash, timingSafeEqual } from "node:crypto";
