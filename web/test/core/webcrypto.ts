// Node.js 18 has no `crypto` among its globals; importing this gives it one.

import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto as Crypto;
