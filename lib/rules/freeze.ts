/** Freezes plain data all the way down and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const name in value) {
      deepFreeze(value[name]);
    }
    Object.freeze(value);
  }
  return value;
}
