/** Awaits what needs time to pass. */
import type { Timeline } from "../sim/clock.ts";

const stepUs = 100_000;
/** A minute of virtual time. */
const mostSteps = 600;

/** Lets virtual time pass until `work` is over; what takes longer than a minute is then waited for without. */
export async function during<T>(
  timeline: Timeline,
  work: Promise<T>,
): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  for (let i = 0; i < mostSteps && !isOver; i++) {
    await timeline.run(timeline.nowUs + stepUs, () => isOver);
  }
  return await work;
}
