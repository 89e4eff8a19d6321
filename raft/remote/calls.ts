/** Methods of a NodeHost that another one carries out for it. */

/** Whether each may be asked of a second member when the first did not answer: it changes nothing. */
const methods = {
  waitReady: true,
  getMembership: true,
  addNode: false,
  addObserver: false,
  addWitness: false,
  removeNode: false,
  replaceNode: false,
  transferLeadership: false,
} as const;

/** The name of one. */
export type CallableMethod = keyof typeof methods;

/** Whether something that arrived names one. */
export function isCallable(name: unknown): name is CallableMethod {
  return typeof name === "string" && Object.hasOwn(methods, name);
}

/** Whether it changes nothing. */
export function isHarmless(method: CallableMethod): boolean {
  return methods[method];
}
