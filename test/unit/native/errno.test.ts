import { expect, test } from "vitest";
import { errnoName } from "../../../lib/native/errno.ts";

test.each([
  [1, "EPERM"],
  [2, "ENOENT"],
  [11, "EAGAIN"],
  [22, "EINVAL"],
  [95, "EOPNOTSUPP"],
  [524, "ENOTSUPP"],
  [4001, "errno 4001"],
])("errno %i is %s", (errno, name) => {
  expect(errnoName(errno)).toBe(name);
});
