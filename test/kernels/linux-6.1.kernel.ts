import { kernelSuite } from "./suite.ts";

kernelSuite("6.1", "bookworm");
