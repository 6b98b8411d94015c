import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Smaller than this, a packed twin saves less than it costs. */
const PACKED_LEAST_BYTES = 600;

/** Puts a packed twin beside each file that shrinks: the bridge only ever hands out what is there. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    writeBundle({ dir }) {
      const from = dir ?? "dist";
      for (const name of readdirSync(from, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|html|svg|json|webmanifest)$/.test(name)) continue;
        const bytes = readFileSync(join(from, name));
        if (bytes.length >= PACKED_LEAST_BYTES) writeFileSync(join(from, `${name}.gz`), gzipSync(bytes, { level: 9 }));
      }
    },
  };
}

// The bridge serves dist/ from inside its own binary under a strict content
// security policy, so nothing may be inlined into index.html.
export default defineConfig({
  base: "/",
  plugins: [packed()],
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
