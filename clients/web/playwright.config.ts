import { defineConfig } from "@playwright/test";

/** The page against the real binaries, in Debian's Chromium. Nothing is tried twice: what fails once is looked into. */
export default defineConfig({
  testDir: "e2e",
  testMatch: "**/*.spec.ts",
  outputDir: "../../test-artifacts/page",
  fullyParallel: false,
  workers: 2,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    actionTimeout: 15_000,
    colorScheme: "dark",
    viewport: { width: 1440, height: 900 },
    screenshot: "only-on-failure",
    trace: "off",
    launchOptions: {
      executablePath: process.env["BATON_CHROMIUM"] ?? "/usr/bin/chromium",
      // Chromium refuses to start as root with its sandbox; a container's tests run as root.
      chromiumSandbox: process.getuid?.() !== 0,
      args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"],
    },
  },
});
