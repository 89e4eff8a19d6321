/** Makes an authority and a certificate for loopback, with `openssl`. */
import { join } from "./deps.ts";

/** Paths of PEM files. */
export interface CertificatePaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/**
 * Makes them in a folder that exists.
 *
 * @throws {Error} if there is no `openssl`, or it fails.
 */
export async function makeCertificates(dir: string): Promise<CertificatePaths> {
  const at = (name: string) => join(dir, name);
  await openssl([
    ...["req", "-x509", ...curve, "-nodes", "-days", "2"],
    ...["-subj", "/CN=bench authority"],
    ...["-keyout", at("ca.key"), "-out", at("ca.pem")],
  ]);
  await openssl([
    ...["req", ...curve, "-nodes", "-subj", "/CN=bench"],
    ...["-keyout", at("host.key"), "-out", at("host.csr")],
  ]);
  await Deno.writeTextFile(
    at("host.ext"),
    "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
  );
  await openssl([
    ...["x509", "-req", "-in", at("host.csr"), "-days", "2"],
    ...["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"],
    ...["-extfile", at("host.ext"), "-out", at("host.pem")],
  ]);
  return { ca: at("ca.pem"), cert: at("host.pem"), key: at("host.key") };
}

async function openssl(args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args })
    .output();
  if (!success) {
    throw new Error(
      `Cannot make certificates: openssl ${args[0]} failed: ${
        new TextDecoder().decode(stderr)
      }`,
    );
  }
}
