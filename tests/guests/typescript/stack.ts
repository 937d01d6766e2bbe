/**
 * Wraps the functions that the host calls, so that what they throw reaches it with its
 * stack. Without, only the message would.
 */
export function withStack<T extends object>(functions: T): T {
  const wrap = (run: (...given: unknown[]) => unknown) => (...given: unknown[]) => {
    try {
      return run(...given);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const told = error.name === "Error" ? error.message : `${error}`;
      throw `${told}\n${error.stack}`;
    }
  };
  const wrapped = Object.entries(functions).map(([name, run]) => [name, wrap(run)]);
  return Object.fromEntries(wrapped);
}
