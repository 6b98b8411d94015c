import { defineConfig } from "vitest/config";

// The bridge serves dist/ from inside its own binary under a strict content
// security policy, so nothing may be inlined into index.html.
export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    outDir: "dist",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "third-party-licenses.md" },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/v1": { target: "http://127.0.0.1:7420", ws: true },
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
  },
});
