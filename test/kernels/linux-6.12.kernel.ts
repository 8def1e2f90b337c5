import { kernelSuite } from "./suite.ts";

kernelSuite("6.12", "trixie");
