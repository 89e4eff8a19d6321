/** An implementation of JSON Schema that is not ours: the OpenAPI document is read by others, too. */
export { Ajv2020 } from "npm:ajv@^8/dist/2020.js";
export { connect } from "node:net";
export { createServer as createTlsServer } from "node:tls";
