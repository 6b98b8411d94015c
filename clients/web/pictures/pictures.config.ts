import base from "../playwright.config";

/** Not a test: writes the pictures of docs/images/page anew, `npm run pictures`. */
export default { ...base, testDir: ".", outputDir: "../../../test-artifacts/pictures", testMatch: "pictures.ts", workers: 1, timeout: 300_000 };
