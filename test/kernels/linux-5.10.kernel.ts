import { kernelSuite } from "./suite.ts";

kernelSuite("5.10", "bullseye");
