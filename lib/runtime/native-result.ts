/** From what native calls resolve with to what they were asked for, or to an error. */
import { isFailure, type NativeFailure } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";

/** Throws the error of a failed native call. */
export function check(result: NativeFailure | undefined, operation: string): void {
  if (isFailure(result)) throw errorOf(result, operation, NEEDS.load ?? []);
}

/** What a native call was asked for; throws its error. */
export function must<Value>(result: Value | NativeFailure, operation: string): Value {
  if (isFailure(result)) throw errorOf(result, operation, NEEDS.load ?? []);
  return result;
}
