/**
 * A leader's refusal to add a member while another one never was in touch (rule I6): the sentence, and how a master
 * reads it. Both stand here, because what one says the other must understand.
 */

/** Says which node has not been in touch. */
export function unmetText(
  { nodeId, address }: { nodeId: number; address: string },
  version: number,
): string {
  return `node ${nodeId} at ${address} has not been in touch, so it is not known whether it ` +
    `speaks wire version ${version}: start it, or remove it`;
}

const unmetForm =
  /\bnode ([1-9]\d{0,15}) at \S{1,300} has not been in touch, so it is not known whether /;

/** The node that such a refusal names; `undefined` if it is another error's text. */
export function unmetNodeOf(text: string): number | undefined {
  const id = Number(unmetForm.exec(text)?.[1]);
  return Number.isSafeInteger(id) ? id : undefined;
}
